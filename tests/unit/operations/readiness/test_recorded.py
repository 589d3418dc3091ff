# SPDX-License-Identifier: Apache-2.0
"""Whether every instance has a machine type, and every guest a pin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import libvirt
import pytest

from mthook.catalog.records import Guest
from mthook.errors import NovaError
from mthook.nova import cells
from mthook.nova.cell import NovaInstance
from mthook.text import now
from tests.unit.host.fakes import FakeDomain, failure

from .conftest import DATABASE, DB, OLD, UNREACHABLE, WEB, Answer, Desk, libvirt_has

TITLE = "Machine types recorded"


class Cell:
    """A cell of Nova's with so many instances without a machine type, all alike, or an error."""

    def __init__(self, unset: int = 0, error: str = "") -> None:
        self.unset_number, self.error = unset, error

    def unset(self) -> Iterator[NovaInstance]:
        """As in :class:`mthook.nova.cell.Cell`."""
        for _ in range(self.unset_number):
            yield NovaInstance(DB, "db-1", "alpha", "active", None)
        if self.error:
            raise NovaError(self.error)


@pytest.fixture
def nova(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """Nova's cells; an empty list is an API database that can't be reached."""
    desk.configure(DATABASE)
    found: list[Cell] = []

    class Cells:
        def all(self) -> list[Cell]:
            if not found:
                raise NovaError("Nova's API database: no luck")
            return found

    @contextmanager
    def opened(conf: Any) -> Iterator[Cells]:
        yield Cells()

    monkeypatch.setattr(cells, "opened", opened)
    return found


def test_a_pinned_guest_is_well(web: Desk) -> None:
    """There is nothing to do."""
    assert web.check(TITLE) == Answer(0, "Of 1 guest on this host none is without a pin.")


def test_guests_without_a_pin_are_counted(web: Desk) -> None:
    """A few are named; libvirt is asked, so that no sync needs to have seen them."""
    for number in range(4):
        web.guest(f"new-{number}", f"3f2c1d3e-0000-4000-8000-00000000010{number}", OLD)

    assert web.check(TITLE) == Answer(
        1,
        "Without a pin: 4 guests (new-0; new-1; new-2; ...) of this host. 'mthook-admin list"
        " --unset' lists them; mthook-sync pins them, or their next start where a pin was released.",
    )


def test_as_data_all_guests_are_named(web: Desk) -> None:
    """However many there are; one that is pinned isn't among them."""
    uuids = [f"3f2c1d3e-0000-4000-8000-00000000010{number}" for number in range(4)]
    for uuid in uuids:
        web.guest(f"new-{uuid[-1]}", uuid, OLD)

    assert web.findings("machine_types_recorded") == [
        {
            "kind": "guests_unpinned",
            "severity": "warning",
            "subjects": [{"uuid": one, "name": f"new-{one[-1]}", "facts": {}} for one in uuids],
            "facts": {"guests": 5, "listed_by": "mthook-admin list --unset"},
            "remedy": "mthook-sync",
        }
    ]


def test_as_data_novas_instances_are_named_with_their_hosts(desk: Desk, nova: list[Cell]) -> None:
    """For whoever has to record them; a cell that fails is told beside them."""
    nova += [Cell(1), Cell(error="Nova's cell cell1: no luck")]

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
        "severity": "warning",
        "subjects": [{"uuid": DB, "name": "db-1", "facts": {"host": "alpha"}}],
        "facts": {"cells": 1},
        "remedy": "mthook-admin list --unset",
    }
    assert (guests["kind"], guests["facts"]) == ("guests_ok", {"guests": 0})


def test_a_released_pin_is_none(web: Desk) -> None:
    """Its guest would be anything at the next start."""
    with web.catalog() as catalog:
        catalog.unset_pin(WEB, actor="operator")

    assert web.check(TITLE).details.startswith("Without a pin: 1 guest (web-1) of this host.")


def test_a_guest_that_cannot_be_looked_at_counts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the last sync saw it."""
    with desk.catalog() as catalog:
        catalog.see_guests([Guest(DB, "db-1", "x86_64", "kvm")], now())
    error = failure(libvirt.VIR_ERR_INTERNAL_ERROR)
    libvirt_has(monkeypatch, FakeDomain(name="db-1", uuid=DB, failing=error))

    assert desk.check(TITLE).details.startswith("Without a pin: 1 guest (db-1) of this host.")


def test_without_libvirt_the_last_sync_tells(web: Desk) -> None:
    """And that it is no more than that."""
    with web.catalog() as catalog:
        catalog.see_guests([], "2026-01-01T00:00:00.000000Z")
    web.configure(uri=UNREACHABLE)

    found = web.check(TITLE)

    assert found.code == 1
    assert found.details.startswith(f"libvirt at {UNREACHABLE} can't be reached: ")
    assert found.details.endswith(
        "this is how the last sync saw the guests. Of 0 guests on this host none is without a pin."
    )


def test_a_cell_where_all_have_one_is_well(web: Desk, nova: list[Cell]) -> None:
    """All cells that the configuration leads to."""
    nova += [Cell(), Cell()]

    assert web.check(TITLE) == Answer(
        0,
        "In 2 cells of Nova's every instance has one."
        " Of 1 guest on this host none is without a pin.",
    )


def test_novas_instances_without_one_are_counted_over_all_cells(
    desk: Desk, nova: list[Cell]
) -> None:
    """As nova-status warns of them."""
    nova += [Cell(2), Cell(3)]

    assert desk.check(TITLE) == Answer(
        1,
        "Without a recorded machine type: 5 instances of Nova's. 'mthook-admin list --unset' lists"
        " them, mthook-sync on their hosts records it."
        " Of 0 guests on this host none is without a pin.",
    )


def test_with_a_database_guests_without_a_pin_are_listed_by_list(
    desk: Desk, nova: list[Cell]
) -> None:
    """There, list --unset lists Nova's instances."""
    nova.append(Cell())
    desk.guest("db-1", DB, OLD)

    assert "'mthook-admin list' lists them;" in desk.check(TITLE).details


def test_one_cell_that_fails_is_named_and_the_others_are_counted(
    desk: Desk, nova: list[Cell]
) -> None:
    """A failure: nobody knows what is in it."""
    nova += [Cell(error="Nova's cell cell1: no luck"), Cell(1)]

    found = desk.check(TITLE)

    assert found.code == 2
    assert found.details.startswith(
        "Nova's cell cell1: no luck. Without a recorded machine type: 1 instance of Nova's."
    )


def test_an_api_database_that_fails_is_a_failure(desk: Desk, nova: list[Cell]) -> None:
    """The guests of this host are counted all the same."""
    assert desk.check(TITLE) == Answer(
        2, "Nova's API database: no luck. Of 0 guests on this host none is without a pin."
    )


def test_without_a_catalog_nova_is_asked_all_the_same(
    desk: Desk, nova: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on an administrator's host."""
    nova.append(Cell(1))
    desk.configure(DATABASE.replace("[database]", "[catalog]\npath = /nonexistent/c\n[database]"))

    found = desk.check(TITLE)

    assert found.code == 2
    assert "1 instance of Nova's" in found.details
    assert found.details.endswith("no catalog: /nonexistent does not exist: run mthook-sync.")
