# SPDX-License-Identifier: Apache-2.0
"""Whether Nova knows the pins of its guests, so that what it defines anew is right."""

from __future__ import annotations

import pytest

from mthook.catalog.records import Compared

from .clouds import Cell, Nova
from .conftest import DATABASE, DB, NOVA, OLD, WEB, Answer, Desk

TITLE = "Pins known to Nova"


def test_a_host_without_nova_is_well(web: Desk) -> None:
    """Nobody defines its guests anew."""
    assert web.check(TITLE) == Answer(0, "This host has no guests of Nova.")


RECORDED = (
    "<metadata><n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'><n:image><n:properties>"
    "<n:property name='hw_machine_type'>{}</n:property></n:properties></n:image></n:instance></metadata>"
)


@pytest.mark.parametrize("mode", ["enforce", "audit", "off"])
def test_nova_guests_without_a_database_are_a_failure(web: Desk, mode: str) -> None:
    """As far as is known they get the new default, and a start that is stopped leaves them in ERROR."""
    web.configure(f"[hook]\nmode = {mode}\n")
    web.guest("db-1", DB, OLD, NOVA)

    assert web.check(TITLE) == Answer(
        2,
        f"Nova redefines 1 guest (db-1 ({DB})) at each start, and nothing here shows that it knows their"
        " pins: they may get the new default, and in mode enforce such a start is stopped and the"
        " instance ends in ERROR. Configure [database] connection, or use the gate in mode enforce."
        " The gate isn't in use.",
    )


@pytest.mark.parametrize(("recorded", "kind"), [(OLD, "in_definitions"), ("pc", "no_database")])
def test_what_novas_definition_has_recorded_is_known(desk: Desk, recorded: str, kind: str) -> None:
    """As Nova 32 and newer tell; an alias is no promise of a version."""
    desk.guest("web-1", WEB, OLD, RECORDED.format(recorded))
    desk.pin(WEB, OLD)

    assert desk.findings("stopped_starts")[0]["kind"] == kind


@pytest.fixture
def compared(desk: Desk, nova: Nova) -> Desk:
    """A compute host with a database and an instance that a sync has compared with it."""
    nova.cells.append(Cell())
    desk.guest("web-1", WEB, OLD, NOVA)
    desk.pin(WEB, OLD)
    with desk.catalog() as catalog:
        catalog.set_compared(Compared(WEB, OLD, 1, None))
    return desk


def test_with_a_database_nova_knows_the_pins(compared: Desk) -> None:
    """It defines its guests by them."""
    assert compared.check(TITLE) == Answer(
        0,
        "Nova has the pins: mthook-sync writes them to its database. The gate isn't in use.",
    )


def test_a_database_that_no_sync_has_read_is_a_failure(compared: Desk) -> None:
    """That it is configured says nothing."""
    compared.guest("db-1", DB, OLD, NOVA)

    protection, _ = compared.findings("stopped_starts")

    assert (protection["kind"], protection["severity"]) == ("not_compared", "failure")
    assert protection["subjects"] == [
        {"uuid": DB, "name": "db-1", "facts": {}, "display_name": None}
    ]
    assert protection["remedy"] == "mthook-sync -v"


def test_what_nova_has_deleted_need_not_be_compared(compared: Desk, nova: Nova) -> None:
    """No sync ever will."""
    compared.guest("db-1", DB, OLD, NOVA)
    nova.gone = {DB}

    assert compared.findings("stopped_starts")[0]["kind"] == "written_back"


def test_a_database_that_gets_no_pins_has_to_have_them(compared: Desk) -> None:
    """What it lacks is a failure, what it could lose a warning."""
    compared.configure(f"{DATABASE}[sync]\nwrite_back = false\n")
    assert compared.check(TITLE) == Answer(
        1,
        f"[sync] write_back = false: if Nova loses or overwrites the machine types of 1 guest (web-1 ({WEB})),"
        " nothing puts them back. The gate isn't in use.",
    )

    with compared.catalog() as catalog:
        catalog.set_compared(Compared(WEB, None, None, None))

    assert compared.check(TITLE) == Answer(
        2,
        f"Nova has no machine type recorded for 1 guest (web-1 ({WEB})), and [sync] write_back = false: they get"
        " the new default. Set [sync] write_back = true, or use the gate in mode enforce. The gate"
        " isn't in use.",
    )
