# SPDX-License-Identifier: Apache-2.0
"""``freeze`` with Nova's database: the alias is replaced there, too."""

from __future__ import annotations

import libvirt
import pytest

from mthook.catalog.records import Compared
from mthook.catalog.store import Catalog
from mthook.errors import HostError
from mthook.host import domains
from mthook.text import now
from tests.programs import Said

from .cloud import Cell, Cloud
from .conftest import DB, WEB, Run, defined, events, guest, pin, xml

#: What makes a domain one of Nova's.
METADATA = (
    "<metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'/></metadata>"
    "<os>"
)


@pytest.fixture
def aliased(cloud: Cloud, catalog: Catalog, driver: libvirt.virConnect) -> Cloud:
    """Nova and the pin have ``pc``; the guest was seen with pc-i440fx-2.0."""
    catalog.see_guests([guest(nova=True)], now())
    pin(catalog, WEB, "pc", seen="pc-i440fx-2.0")
    cloud.add(WEB, machine="pc", vm_state="active")
    driver.defineXML(xml("pc-i440fx-7.2").replace("<os>", METADATA))
    return cloud


def test_nova_pin_and_definition_get_the_versioned_name(
    run: Run, aliased: Cloud, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """Whatever the instance's state: its hardware doesn't change."""
    assert run("freeze", WEB) == Said(0, "", f"web-1 ({WEB}): pc → pc-i440fx-2.0\n")
    assert aliased.machine(WEB) == "pc-i440fx-2.0"
    assert defined(driver) == "pc-i440fx-2.0"
    assert catalog.compared() == {WEB: Compared(WEB, "pc-i440fx-2.0", 1, None)}
    frozen = catalog.get_pin(WEB)
    assert frozen is not None
    assert (frozen.machine, frozen.seen, frozen.reason) == (
        "pc-i440fx-2.0",
        "pc-i440fx-2.0",
        "frozen",
    )


def test_all_takes_in_guests_that_are_not_novas(
    run: Run, aliased: Cloud, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """They are frozen here alone."""
    pin(catalog, DB, "pc", seen="pc-i440fx-6.2")
    driver.defineXML(xml("pc-i440fx-6.2", uuid=DB, name="db"))

    said = run("freeze", "--all")

    assert said == Said(
        0, "", f"web-1 ({WEB}): pc → pc-i440fx-2.0\ndb ({DB}): pc → pc-i440fx-6.2\n"
    )
    assert run("get", "db").out == "pc-i440fx-6.2\n"


@pytest.mark.parametrize(
    ("facts", "complaint"),
    [
        ({"machine": "q35"}, "pinned to pc, but Nova has q35: run mthook-sync first"),
        ({"machine": None}, "pinned to pc, but Nova has none: run mthook-sync first"),
        ({"host": "beta"}, "Nova has it on beta, not here ([DEFAULT] host = here)"),
        ({"host": None}, "Nova has it on no host, not here ([DEFAULT] host = here)"),
    ],
)
def test_what_nova_has_otherwise_is_not_frozen(
    run: Run, aliased: Cloud, catalog: Catalog, facts: dict[str, object], complaint: str
) -> None:
    """First the two must agree."""
    aliased.add(WEB, **{"machine": "pc", **facts})

    said = run("freeze", WEB)

    assert said == Said(1, "", f"mthook-admin: web (web-1, {WEB}): {complaint}\n")
    assert (aliased.cells["c1"].written, len(events(catalog))) == (0, 1)


@pytest.mark.parametrize("host", [None, "beta"])
def test_all_leaves_alone_an_instance_that_was_here_once(
    run: Run, aliased: Cloud, catalog: Catalog, driver: libvirt.virConnect, host: str | None
) -> None:
    """Offloaded, or moved; a later run succeeds as well."""
    catalog.see_guests([], now())
    driver.lookupByUUIDString(WEB).undefine()
    aliased.add(WEB, machine="pc", vm_state="shelved_offloaded", host=host)

    for _ in range(2):
        assert run("freeze", "--all") == Said(
            0, "", f"web-1 ({WEB}): not on this host any more, left alone\n"
        )
    assert aliased.machine(WEB) == "pc"


def test_an_instance_that_nova_deleted_is_code_2(run: Run, aliased: Cloud) -> None:
    """Its guest is still there."""
    del aliased.cells["c1"].instances[WEB]

    assert run("freeze", WEB).code == 2


def test_a_definition_that_cannot_follow_is_a_warning(
    run: Run, aliased: Cloud, driver: libvirt.virConnect
) -> None:
    """Nova makes it anew."""
    domain = driver.lookupByUUIDString(WEB)
    domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>")

    said = run("freeze", WEB)

    assert (said.code, said.err.count("\n")) == (0, 2)
    assert said.err.startswith(
        f"mthook-admin: warning: web-1 ({WEB}): left alone: it has snapshots (1)"
    )
    assert aliased.machine(WEB) == "pc-i440fx-2.0"


def test_a_conflict_does_not_keep_the_others_from_it(
    run: Run,
    aliased: Cloud,
    catalog: Catalog,
    driver: libvirt.virConnect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody else changed one meanwhile."""
    aliased.add(DB, machine="pc", vm_state="active")
    pin(catalog, DB, "pc", seen="pc-i440fx-6.2")
    driver.defineXML(xml("pc-i440fx-6.2", uuid=DB, name="db").replace("<os>", METADATA))
    record = Cell.record

    def meanwhile(cell: Cell, uuid: str, machine: str, **options: object) -> int:
        if uuid == WEB:
            aliased.add(WEB, machine="q35")
        return record(cell, uuid, machine, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Cell, "record", meanwhile)

    said = run("freeze", "--all")

    assert (said.code, said.err.count("\n")) == (1, 2)
    assert said.err.endswith(f"db ({DB}): pc → pc-i440fx-6.2\n")


def test_a_database_that_fails_ends_it(run: Run, aliased: Cloud) -> None:
    """It would fail for the next one too: one line."""
    aliased.cells["c1"].fault = "Lost connection"

    assert run("freeze", WEB, WEB) == Said(
        1, "", "mthook-admin: Nova's cell cell1: Lost connection\n"
    )


def test_when_libvirt_refuses_nova_gets_the_alias_back(
    run: Run, aliased: Cloud, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the pin."""

    def refuse(*_: object) -> None:
        raise HostError("libvirt refuses the new definition")

    monkeypatch.setattr(domains, "redefine", refuse)

    said = run("freeze", WEB)

    assert (said.code, aliased.machine(WEB)) == (1, "pc")
    assert said.err.endswith("Nova's database has its old value again\n")
