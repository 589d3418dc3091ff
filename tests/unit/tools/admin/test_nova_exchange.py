# SPDX-License-Identifier: Apache-2.0
"""``export --host`` and ``import`` with Nova's database: for hosts that can't reach it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mthook import reconcile
from mthook.catalog.store import Catalog
from tests.programs import Said

from .cloud import Cell, Cloud
from .conftest import DB, NOBODY, WEB, Run, pin

OLD = "2026-01-02T03:04:05.000000Z"


@pytest.fixture
def exported(run: Run, cloud: Cloud, tmp_path: Path) -> Path:
    """What Nova has of host beta."""
    cloud.add(DB, host="beta", machine="pc", recorded_at=OLD, arch="x86_64")
    cloud.add(WEB, host="beta", machine="q35")
    cloud.add(NOBODY, host="beta")
    cloud.add("11111111-0000-4000-8000-000000000001", machine="pc")
    said = run("export", "--host", "beta")
    assert (said.code, said.err) == (0, "")
    file = tmp_path / "pins"
    file.write_text(said.out)
    return file


def test_the_pins_of_a_host_are_those_that_nova_has(exported: Path) -> None:
    """As old as Nova's record; by UUID."""
    first, second = (json.loads(line) for line in exported.read_text().splitlines())

    assert (first["uuid"], first["updated_at"]) == (WEB, "1970-01-01T00:00:00.000000Z")
    assert {name: value for name, value in second.items() if value is not None} == {
        "format": "mthook-pin-1",
        "uuid": DB,
        "machine": "pc",
        "arch": "x86_64",
        "source": "Nova",
        "actor": "operator alice",
        "created_at": OLD,
        "updated_at": OLD,
        "display_name": "web",
    }


def test_a_host_without_instances_has_no_pins_and_one_that_isnt_there_is_an_error(
    run: Run, cloud: Cloud
) -> None:
    """A typo would otherwise be an export of nothing."""
    assert run("export", "--host", "empty") == Said(0, "", "")

    said = run("export", "--host", "gamma")

    assert said == Said(2, "", "mthook-admin: Nova has no compute host gamma\n")


@pytest.mark.parametrize("author", [reconcile.NOVA, reconcile.FILLED_IN, reconcile.NOBODY_KNOWS])
def test_what_nova_wrote_by_itself_is_older_than_any_pin(
    run: Run, cloud: Cloud, author: str
) -> None:
    """The host's pin stays where it is imported."""
    cloud.add(DB, host="beta", machine="q35", recorded_at=OLD, author=author)

    (line,) = run("export", "--host", "beta").out.splitlines()

    assert json.loads(line)["updated_at"] == "1970-01-01T00:00:00.000000Z"


def test_the_host_imports_them_once(run: Run, exported: Path, catalog: Catalog) -> None:
    """A pin recorded there since is newer, and stays."""
    pin(catalog, WEB, "pc-q35-7.2")

    assert "\n1 added, 0 changed, 1 unchanged\n" in run("import", str(exported)).err
    assert "\n0 added, 0 changed, 2 unchanged\n" in run("import", str(exported)).err
    assert catalog.get_pin(WEB).machine == "pc-q35-7.2"  # type: ignore[union-attr]


def test_a_name_that_no_machine_type_has_is_left_out(run: Run, cloud: Cloud) -> None:
    """The other host would refuse the whole file for it."""
    cloud.add(WEB, host="beta", machine="pc q35")
    cloud.add(DB, host="beta", machine="pc")

    said = run("export", "--host", "beta")

    assert (said.code, said.out.count("\n")) == (1, 1)
    assert said.err.startswith(
        f"mthook-admin: web ({WEB}) is left out: machine type 'pc q35' holds "
    )


def test_a_host_needs_a_database(run: Run, catalog: Catalog) -> None:
    """Without one, this host's own pins are all there is."""
    assert run("export", "--host", "beta") == Said(
        2, "", "mthook-admin: --host needs [database] or [api_database] connection\n"
    )


@pytest.fixture
def pins(run: Run, cloud: Cloud, catalog: Catalog, config: Path, tmp_path: Path) -> Path:
    """Exported pins of two instances; another catalog is configured by now."""
    pin(catalog, WEB, "pc-i440fx-6.2")
    pin(catalog, DB, "pc-q35-7.2")
    file = tmp_path / "pins"
    file.write_text(run("export").out)
    config.write_text(config.read_text().replace("/lib/", "/other/"))
    return file


def test_import_writes_what_nova_lacks(run: Run, cloud: Cloud, pins: Path) -> None:
    """Never over what it has; unknown instances are none of its business."""
    cloud.add(WEB, cell="c2", host="beta")

    assert run("import", str(pins)) == Said(
        0,
        "",
        f"2 added, 0 changed, 0 unchanged\n{DB}: not written to Nova: Nova has no such instance\n"
        "1 written to Nova\n",
    )
    assert cloud.machine(WEB) == "pc-i440fx-6.2"

    cloud.add(DB, machine="pc")
    assert run("import", str(pins)).err.endswith(
        f"\n{DB}: not written to Nova: Nova has pc recorded\n0 written to Nova\n"
    )
    assert cloud.machine(DB) == "pc"


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"vm_state": "building"}, "Nova is building or rebuilding it"),
        ({"task_state": "rebuild_spawning"}, "Nova is building or rebuilding it"),
        (
            {"rebuild": 1, "rebuild_at": "9999-01-01T00:00:00.000000Z"},
            "Nova rebuilt it after its pin was recorded",
        ),
    ],
)
def test_import_writes_no_pin_of_a_guest_that_is_made_anew(
    run: Run, cloud: Cloud, pins: Path, facts: dict[str, object], why: str
) -> None:
    """A rebuild has released it."""
    cloud.add(WEB, **facts)

    said = run("import", str(pins))

    assert f"\n{WEB}: not written to Nova: {why}\n" in said.err
    assert said.err.endswith("\n0 written to Nova\n")
    assert cloud.machine(WEB) is None


def test_a_newer_pin_here_is_what_nova_gets(
    run: Run, cloud: Cloud, pins: Path, config: Path
) -> None:
    """What is imported is old."""
    assert run("import", str(pins)).code == 0
    catalog = config.read_text().split("path = ")[1].split("\n")[0]
    with Catalog.open(catalog) as here:
        here.unset_pin(DB, actor="operator alice")
        pin(here, WEB, "pc-i440fx-7.2")
    cloud.add(WEB)
    cloud.add(DB)

    assert run("import", str(pins)).err.endswith("1 written to Nova\n")
    assert (cloud.machine(WEB), cloud.machine(DB)) == ("pc-i440fx-7.2", None)


def test_write_back_off_writes_nothing(run: Run, cloud: Cloud, pins: Path, config: Path) -> None:
    """Nor is the database asked."""
    cloud.add(WEB)
    cloud.cells["c1"].fault = "not asked"
    config.write_text(f"{config.read_text()}[sync]\nwrite_back = false\n")

    assert run("import", str(pins)) == Said(0, "", "2 added, 0 changed, 0 unchanged\n")


def test_somebody_faster_is_no_error(
    run: Run, cloud: Cloud, pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nova has one now, which is all that was wanted."""
    cloud.add(WEB)
    record = Cell.record

    def meanwhile(cell: Cell, uuid: str, machine: str, **options: object) -> int:
        cloud.add(WEB, machine="pc")
        return record(cell, uuid, machine, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Cell, "record", meanwhile)

    said = run("import", str(pins))

    assert (said.code, cloud.machine(WEB)) == (0, "pc")
    assert f"\n{WEB}: not written to Nova: somebody has just changed it there\n" in said.err
    assert said.err.endswith("\n0 written to Nova\n")


def test_a_database_that_fails_is_code_1(run: Run, cloud: Cloud, pins: Path) -> None:
    """The catalog has them all the same, and says so first."""
    cloud.cells["c1"].fault = "Access denied"

    assert run("import", str(pins)) == Said(
        1,
        "",
        "2 added, 0 changed, 0 unchanged\nmthook-admin: Nova's cell cell1: Access denied\n",
    )
