# SPDX-License-Identifier: Apache-2.0
"""Whether every instance has a machine type, and every guest a pin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import libvirt
import pytest

from mthook.catalog.records import Guest
from mthook.catalog.store import Catalog
from mthook.nova.cell import NovaInstance
from mthook.text import now
from tests.programs import WAY_OUT
from tests.unit.host.fakes import FakeDomain, failure

from .clouds import Cell, Nova
from .conftest import DATABASE, DB, NOVA, OLD, UNREACHABLE, WEB, Answer, Desk, libvirt_has

TITLE = "Machine types recorded"


UNSET = NovaInstance(DB, "db-1", "alpha", "active", None)


def test_a_pinned_guest_is_well(web: Desk) -> None:
    """There is nothing to do."""
    assert web.check(TITLE) == Answer(0, "The only guest on this host is pinned.")


def test_guests_without_a_pin_are_counted(web: Desk) -> None:
    """A few are named; libvirt is asked, so that no sync needs to have seen them."""
    new = [f"3f2c1d3e-0000-4000-8000-00000000010{number}" for number in range(4)]
    for uuid in new:
        web.guest(f"new-{uuid[-1]}", uuid, OLD)

    assert web.check(TITLE) == Answer(
        2,
        f"Without a pin: 4 guests (new-0 ({new[0]}); new-1 ({new[1]}); new-2 ({new[2]}); ...) of this host."
        " They get the new default."
        " 'mthook-admin list --unset' lists them; 'mthook-sync' pins them, or their next start does where"
        " a pin was released.",
    )


def test_as_data_all_guests_are_named(web: Desk) -> None:
    """However many there are; one that is pinned isn't among them."""
    uuids = [f"3f2c1d3e-0000-4000-8000-00000000010{number}" for number in range(4)]
    for uuid in uuids:
        web.guest(f"new-{uuid[-1]}", uuid, OLD)

    assert web.findings("machine_types_recorded") == [
        {
            "kind": "guests_unpinned",
            "severity": "failure",
            "subjects": [
                {"uuid": one, "name": f"new-{one[-1]}", "facts": {}, "display_name": None}
                for one in uuids
            ],
            "facts": {"guests": 5, "listed_by": "mthook-admin list --unset"},
            "remedy": "mthook-sync",
        }
    ]


def test_as_data_novas_instances_are_named_with_their_hosts(desk: Desk, nova: Nova) -> None:
    """For whoever has to record them; a cell that fails is told beside them."""
    nova.cells += [Cell([UNSET]), Cell(error="Nova's cell cell1: no luck")]

    failed, unset, guests = desk.findings("machine_types_recorded")

    assert failed == {
        "kind": "unavailable",
        "severity": "failure",
        "subjects": [],
        "facts": {"cause": "nova", "reason": "Nova's cell cell1: no luck"},
        "remedy": None,
    }
    assert unset == {
        "kind": "instances_unset",
        "severity": "failure",
        "subjects": [
            {"uuid": DB, "name": "db-1", "facts": {"host": "alpha"}, "display_name": "db-1"}
        ],
        "facts": {"cells": 1},
        "remedy": "mthook-admin list --unset --guests-only",
    }
    assert (guests["kind"], guests["facts"]) == ("guests_ok", {"guests": 0})


def test_a_released_pin_is_none(web: Desk) -> None:
    """Its guest would be anything at the next start."""
    with web.catalog() as catalog:
        catalog.unset_pin(WEB, actor="operator")

    assert web.check(TITLE).details.startswith(
        f"Without a pin: 1 guest (web-1 ({WEB})) of this host."
    )


def test_a_guest_that_cannot_be_looked_at_counts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the last sync saw it."""
    with desk.catalog() as catalog:
        catalog.see_guests([Guest(DB, "db-1", "x86_64", "kvm")], now())
    error = failure(libvirt.VIR_ERR_INTERNAL_ERROR)
    libvirt_has(monkeypatch, FakeDomain(name="db-1", uuid=DB, failing=error))

    assert desk.check(TITLE).details.startswith(
        f"Without a pin: 1 guest (db-1 ({DB})) of this host."
    )


def test_without_libvirt_the_last_sync_tells(web: Desk) -> None:
    """And that it is no more than that."""
    with web.catalog() as catalog:
        catalog.see_guests([], "2026-01-01T00:00:00.000000Z")
    web.configure(uri=UNREACHABLE)

    found = web.check(TITLE)

    assert found.code == 1
    assert found.details.startswith(f"libvirt at {UNREACHABLE} can't be reached: ")
    assert found.details.endswith(
        "this is how the last sync saw the guests. There are no guests on this host."
    )


def test_where_nobody_has_ever_seen_the_guests_nothing_is_well(desk: Desk, tmp_path: Path) -> None:
    """Neither libvirt nor a sync tells whether there are any."""
    Catalog.open(str(tmp_path / "new" / "catalog.sqlite")).close()
    desk.configure(f"[catalog]\npath = {tmp_path}/new/catalog.sqlite\n", uri=UNREACHABLE)

    for check in ("machine_types_recorded", "drift", "stopped_starts", "request_specs"):
        (found,) = desk.findings(check)
        assert (found["kind"], found["severity"]) == ("unavailable", "failure")
        assert found["facts"]["cause"] == "libvirt"


def test_where_no_guest_is_pinned_nothing_is_well(desk: Desk) -> None:
    """That nothing is unlike a pin says nothing then."""
    desk.guest("web-1", WEB, OLD)

    for check in ("drift", "pins_supported", "definitions_and_saved_state"):
        assert desk.findings(check) == [
            {
                "kind": "nothing_pinned",
                "severity": "failure",
                "subjects": [],
                "facts": {"guests": 1},
                "remedy": "mthook-sync",
            }
        ]
    assert desk.check("Drift").details == (
        "No pin of the 1 guest on this host is known: run 'mthook-sync' first."
    )


def test_a_cell_where_all_have_one_is_well(web: Desk, nova: Nova) -> None:
    """All cells that the configuration leads to."""
    nova.cells += [Cell(), Cell()]

    assert web.check(TITLE) == Answer(
        0,
        "Every instance in 2 cells of Nova has a recorded machine type."
        " The only guest on this host is pinned.",
    )


def test_novas_instances_without_one_are_counted_over_all_cells(desk: Desk, nova: Nova) -> None:
    """A failure: they get the new default."""
    nova.cells += [Cell([UNSET] * 2), Cell([UNSET] * 3)]

    assert desk.check(TITLE) == Answer(
        2,
        "Nova has no machine type recorded for 5 instances. They get the new default."
        " 'mthook-admin list --unset --guests-only' lists them; 'mthook-sync' on their hosts records it,"
        " and 'mthook-sync --cloud' on a controller for those on no host."
        " There are no guests on this host.",
    )


def test_with_a_database_guests_without_a_pin_are_listed_by_list(desk: Desk, nova: Nova) -> None:
    """There, list --unset lists Nova's instances."""
    nova.cells.append(Cell())
    desk.guest("db-1", DB, OLD)

    assert "'mthook-admin list' lists them;" in desk.check(TITLE).details


def test_one_cell_that_fails_is_named_and_the_others_are_counted(desk: Desk, nova: Nova) -> None:
    """A failure: nobody knows what is in it."""
    nova.cells += [Cell(error="Nova's cell cell1: no luck"), Cell([UNSET])]

    found = desk.check(TITLE)

    assert found.code == 2
    assert found.details.startswith(
        "Nova's cell cell1: no luck. Nova has no machine type recorded for 1 instance."
    )


def test_an_api_database_that_fails_is_a_failure(desk: Desk, nova: Nova) -> None:
    """The guests of this host are counted all the same."""
    assert desk.check(TITLE) == Answer(
        2, "Nova's API database: no luck. There are no guests on this host."
    )


def test_without_a_catalog_nova_is_asked_all_the_same(
    desk: Desk, nova: Nova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on an administrator's host."""
    nova.cells.append(Cell([UNSET]))
    desk.configure(DATABASE.replace("[database]", "[catalog]\npath = /nonexistent/c\n[database]"))

    found = desk.check(TITLE)

    assert found.code == 2
    assert "for 1 instance" in found.details
    assert found.details.endswith(f"no catalog: /nonexistent does not exist: {WAY_OUT}.")


def test_what_is_no_guest_of_libvirts_is_counted_apart(desk: Desk, nova: Nova) -> None:
    """It is no hindrance, and a program finds it all the same."""
    metal = replace(UNSET, ironic=True)
    failed = replace(UNSET, host=None, vm_state="error")
    nova.cells.append(Cell([metal, failed, failed]))

    assert desk.check(TITLE) == Answer(
        0,
        "Every instance in 1 cell of Nova has a recorded machine type. Not counted, because they aren't"
        " libvirt guests: 1 Ironic instance and 2 failed builds without a host."
        " There are no guests on this host.",
    )
    apart = desk.findings("machine_types_recorded")[1]
    assert (apart["kind"], apart["severity"], apart["facts"]) == (
        "not_counted",
        "success",
        {"ironic": 1, "failed": 2},
    )
    assert len(apart["subjects"]) == 3


def test_of_one_host_that_alone_is_looked_at(desk: Desk, nova: Nova) -> None:
    """In the cells that have it; one that isn't there is a failure, not well."""
    nova.cells += [Cell([UNSET], host="alpha"), Cell([UNSET] * 7, host="gamma"), Cell(host="beta")]

    assert "for 1 instance." in desk.check(TITLE, "--host", "alpha").details
    code, details = desk.check(TITLE, "--host", "beta")
    assert (code, details.split(" There ")[0]) == (
        0,
        "Every instance that Nova has on beta has a recorded machine type.",
    )
    code, details = desk.check(TITLE, "--host", "delta")
    assert (code, details.split(" There ")[0]) == (2, "Nova has no compute host delta.")


def test_a_guest_whose_instance_nova_has_deleted_is_named(desk: Desk, nova: Nova) -> None:
    """With what helps: no sync pins it, as it is none of Nova's any more."""
    nova.cells.append(Cell())
    desk.guest("instance-1", DB, OLD, NOVA)
    desk.guest("instance-2", WEB, OLD, NOVA)
    desk.pin(WEB, OLD)
    nova.gone = {DB}

    code, details = desk.check(TITLE)

    assert code == 1
    assert details.endswith(
        f"Nova has deleted the instances of 1 guest (instance-1 ({DB})), which are still here. When nobody"
        " needs them any more, stop them and remove each with 'virsh undefine --managed-save"
        " --snapshots-metadata --nvram NAME'."
    )
    assert "Without a pin" not in details
    assert nova.asked[0] == {DB, WEB}


def test_where_the_database_fails_a_guest_is_not_taken_for_deleted(desk: Desk, nova: Nova) -> None:
    """It is without a pin, as far as is known."""
    desk.guest("instance-1", DB, OLD, NOVA)

    assert f"Without a pin: 1 guest (instance-1 ({DB}))" in desk.check(TITLE).details
