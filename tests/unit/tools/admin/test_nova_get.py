# SPDX-License-Identifier: Apache-2.0
"""``get`` with Nova's database: what Nova has recorded, wherever the instance is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mthook.catalog.store import Catalog
from mthook.text import now
from tests.programs import Said

from .cloud import Cloud
from .conftest import DB, NOBODY, WEB, Run, guest, pin

pytestmark = pytest.mark.usefixtures("unreachable")


@pytest.mark.parametrize("how", [WEB, WEB.upper(), WEB.replace("-", "")])
def test_what_nova_has_is_all_that_is_printed(run: Run, cloud: Cloud, how: str) -> None:
    """There is no catalog here, and libvirt can't be reached: nothing is said of that."""
    cloud.add(WEB, machine="pc-i440fx-7.2", host="elsewhere", cell="c2")

    assert run("get", how) == Said(0, "pc-i440fx-7.2\n", "")


def test_nova_counts_and_not_the_pin(run: Run, cloud: Cloud, catalog: Catalog) -> None:
    """The next sync brings it here."""
    cloud.add(WEB, machine="pc-i440fx-7.2")
    pin(catalog, WEB, "pc-i440fx-6.2")

    assert run("get", WEB).out == "pc-i440fx-7.2\n"


def test_none_recorded_is_code_3(run: Run, cloud: Cloud, catalog: Catalog) -> None:
    """Whatever the pin."""
    cloud.add(WEB, name="my\nserver")
    pin(catalog, WEB, "pc-i440fx-6.2")

    assert run("get", WEB) == Said(
        3, "", f"mthook-admin: my\\nserver ({WEB}): Nova has no machine type recorded\n"
    )


def test_an_unknown_instance_is_code_2(run: Run, cloud: Cloud) -> None:
    """As nova-manage has it."""
    assert run("get", NOBODY) == Said(2, "", f"mthook-admin: no instance has the UUID {NOBODY}\n")


@pytest.mark.parametrize("text", ["instance-00000001", "shop", WEB, WEB[:13].upper(), "3f2c"])
def test_an_instance_is_named_by_uuid_its_beginning_or_either_name(
    run: Run, cloud: Cloud, catalog: Catalog, text: str
) -> None:
    """Nova's own name, and libvirt's, where this host's catalog has that."""
    cloud.add(WEB, machine="pc-i440fx-7.2", name="shop")
    catalog.see_guests([guest(name="instance-00000001", nova=True)], now())

    assert run("get", text) == Said(0, "pc-i440fx-7.2\n", "")


@pytest.mark.parametrize("text", ["web", WEB[:9]])
def test_nova_knows_names_without_a_catalog(run: Run, cloud: Cloud, text: str) -> None:
    """As on a controller; what Nova doesn't know is code 2."""
    cloud.add(WEB, machine="pc-i440fx-7.2")

    assert run("get", text) == Said(0, "pc-i440fx-7.2\n", "")
    assert run("get", "web-1") == Said(
        2, "", "mthook-admin: no instance has the UUID or name 'web-1'\n"
    )


def test_a_name_that_several_instances_have_means_none(
    run: Run, cloud: Cloud, catalog: Catalog
) -> None:
    """On whichever host they are: names in Nova are anybody's. libvirt's name is one guest's, and counts first."""
    cloud.add(WEB, machine="pc-i440fx-7.2", name="shop")
    cloud.add(DB, machine="pc-q35-7.2", name="shop", host="beta")
    catalog.see_guests([guest(name="instance-00000001", nova=True, display="shop")], now())

    assert run("get", "shop") == Said(
        1,
        "",
        f"mthook-admin: several guests match 'shop', say which: shop (instance-00000001, {WEB}), {DB}\n",
    )
    cloud.add(NOBODY, machine="pc", name="instance-00000001", host="beta")
    assert run("get", "instance-00000001").out == "pc-i440fx-7.2\n"


@pytest.mark.parametrize("nova", [True, False])
def test_a_guest_that_is_not_novas_is_this_hosts_business(
    run: Run, cloud: Cloud, catalog: Catalog, nova: bool
) -> None:
    """A plain guest beside Nova's has its pin in the catalog alone; one of Nova's is deleted."""
    catalog.see_guests([guest(DB, "db", nova=nova)], now())
    pin(catalog, DB, "pc-i440fx-6.2")

    said = run("get", "db")

    assert (said.code, said.out) == ((2, "") if nova else (0, "pc-i440fx-6.2\n"))


def test_a_database_that_fails_is_code_1(run: Run, cloud: Cloud) -> None:
    """One line."""
    cloud.add(WEB)
    cloud.cells["c1"].fault = "Access denied"

    assert run("get", WEB) == Said(1, "", "mthook-admin: Nova's cell cell1: Access denied\n")


def test_verbose_tells_what_is_asked(run: Run, cloud: Cloud, catalog: Catalog) -> None:
    """By the option, for its value holds a password; and why the catalog isn't."""
    cloud.add(WEB, machine="pc")
    Path(catalog.path).chmod(0o644)

    said = run("-v", "get", WEB)

    assert (said.code, said.out) == (0, "pc\n")
    lines = said.err.splitlines()
    assert lines[0] == "mthook-admin: Nova's database: [api_database] connection"
    assert lines[1].startswith(f"mthook-admin: {catalog.path} has mode 0644")


@pytest.mark.parametrize("options", [["-vv"], ["--debug"], ["-vv", "--debug"]])
def test_no_output_has_the_databases_password(run: Run, cloud: Cloud, options: list[str]) -> None:
    """A traceback neither."""
    cloud.add(WEB)
    cloud.cells["c1"].fault = "Access denied"

    said = run(*options, "get", WEB)

    assert said.code == 1
    assert "Access denied" in said.err
    assert "sesame" not in said.err


def test_an_address_that_is_none_is_code_1_without_the_address(run: Run, config: Path) -> None:
    """A password may stand in it."""
    config.write_text(f"{config.read_text()}[database]\nconnection = nova:sesame@db\n")

    said = run("--debug", "get", WEB)

    assert said.code == 1
    assert said.err.startswith("mthook-admin: [database] connection is no database URL such as ")
    assert "sesame" not in said.err


def test_with_a_format_it_is_what_nova_has(run: Run, cloud: Cloud, catalog: Catalog) -> None:
    """With the names on both sides, and when it was recorded."""
    at = "2026-01-02T03:04:05.000000Z"
    cloud.add(WEB, machine="pc-i440fx-7.2", name="shop", recorded_at=at)
    catalog.see_guests([guest(name="instance-00000001", nova=True)], now())

    found = json.loads(run("get", "shop", "-f", "json").out)

    assert {key: value for key, value in found.items() if value is not None} == {
        "pin": "pc-i440fx-7.2",
        "uuid": WEB,
        "name": "instance-00000001",
        "display_name": "shop",
        "source": "Nova",
        "updated": at,
    }
