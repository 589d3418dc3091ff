# SPDX-License-Identifier: Apache-2.0
"""Pins and their history, through the store."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Callable

import pytest

from mthook.catalog import pins, starts
from mthook.catalog.records import Compared, Guest, HistoryEntry, HostFacts, Pin
from mthook.catalog.store import ANY, Catalog
from mthook.errors import CatalogConflict, CatalogError

from .samples import AT, LATER, LATEST, OTHER, THIRD, UUID, pin, summary

NEW = "pc-i440fx-8.0"
OLD = "pc-i440fx-7.2"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is always one second after the samples were made."""
    for module in (pins, starts):
        monkeypatch.setattr(module, "now", lambda: LATER)


def test_a_pin_comes_back_whole(catalog: Catalog) -> None:
    """Every field is kept, and the history says that it was recorded."""
    assert catalog.add_pin(pin())

    assert pin() == catalog.get_pin(UUID)
    entry = HistoryEntry(
        UUID, AT, "pinned", "mthook-sync", None, OLD, "running guest", "first sync"
    )
    assert [entry] == catalog.history(UUID)


def test_no_row_is_no_pin(catalog: Catalog) -> None:
    """A stranger has neither pin nor history."""
    assert catalog.get_pin(UUID) is None
    assert catalog.history(UUID) == []


def test_recording_never_replaces(catalog: Catalog) -> None:
    """A row, also a released one, stays as it is and no history is written."""
    catalog.add_pin(pin())
    catalog.add_pin(pin(OTHER, None))

    assert not catalog.add_pin(pin(machine=NEW))
    assert not catalog.add_pin(pin(OTHER, NEW))
    assert [pin(), pin(OTHER, None)] == list(catalog.pins())
    assert len(catalog.history(UUID)) == 1


def test_all_pins_come_by_uuid(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in several batches, and while the reader writes."""
    monkeypatch.setattr(pins, "_BATCH", 2)
    for uuid in (THIRD, UUID, OTHER):
        catalog.add_pin(pin(uuid))
    found = []
    for one in catalog.pins():
        catalog.unset_pin(one.uuid, actor="root")
        found.append(one)

    assert [pin(UUID), pin(OTHER), pin(THIRD)] == found


def test_an_operator_changes_a_pin(catalog: Catalog) -> None:
    """The row says who, why and when; the history what it was."""
    catalog.add_pin(pin())
    catalog.replace_capabilities([], HostFacts("host1", "8.0.0", "9.5.0", AT))
    changed = catalog.set_pin(UUID, NEW, source="operator", actor="root", reason="CVE", seen=NEW)

    expected = Pin(
        uuid=UUID,
        machine=NEW,
        arch="x86_64",
        source="operator",
        actor="root",
        created_at=AT,
        updated_at=LATER,
        seen=NEW,
        reason="CVE",
        root_image="0a000000-0000-4000-8000-00000000000a",
        qemu_version="8.0.0",
        libvirt_version="9.5.0",
    )
    assert expected == changed == catalog.get_pin(UUID)
    entry = HistoryEntry(UUID, LATER, "changed", "root", OLD, NEW, "operator", "CVE")
    assert [entry] == catalog.history(UUID)[1:]


@pytest.mark.parametrize("seen_before", [True, False])
def test_an_operator_pins_what_had_no_pin(catalog: Catalog, seen_before: bool) -> None:
    """A new row takes the architecture from the guest as last seen, if it was."""
    if seen_before:
        catalog.see_guests([Guest(UUID, "web1", "x86_64", "kvm")], AT)
    made = catalog.set_pin(UUID, NEW, source="operator", actor="root")

    arch = "x86_64" if seen_before else ""
    assert Pin(UUID, NEW, arch, "operator", "root", LATER, LATER) == made == catalog.get_pin(UUID)
    entry = HistoryEntry(UUID, LATER, "pinned", "root", None, NEW, "operator")
    assert [entry] == catalog.history(UUID)


def test_another_machine_type_forgets_what_was_seen(catalog: Catalog) -> None:
    """What a guest ran with says nothing about another pin."""
    catalog.add_pin(pin())

    assert catalog.set_pin(UUID, NEW, source="operator", actor="root").seen is None


def test_the_same_pin_from_another_source_keeps_what_was_seen(catalog: Catalog) -> None:
    """An operator who confirms a pin takes it over."""
    catalog.add_pin(pin())
    confirmed = catalog.set_pin(UUID, OLD, source="operator", actor="root")

    assert (confirmed.seen, confirmed.source, confirmed.updated_at) == (OLD, "operator", LATER)
    assert (catalog.history(UUID)[1].old, catalog.history(UUID)[1].new) == (OLD, OLD)


def test_setting_what_is_set_writes_nothing(catalog: Catalog) -> None:
    """Neither row nor history change."""
    catalog.add_pin(pin())

    assert pin() == catalog.set_pin(UUID, OLD, source="running guest", actor="root")
    assert pin() == catalog.get_pin(UUID)
    assert len(catalog.history(UUID)) == 1


@pytest.mark.parametrize(
    ("now_there", "expected"), [(None, None), ("released", None), (OLD, OLD), (OLD, pins.ANY)]
)
def test_compare_and_set_succeeds(
    catalog: Catalog, now_there: str | None, expected: object
) -> None:
    """The pin changes when it is what the caller has seen."""
    _have(catalog, now_there)

    changed = catalog.set_pin(UUID, NEW, source="operator", actor="root", expect=expected)
    assert changed == catalog.get_pin(UUID)
    assert changed.machine == NEW


@pytest.mark.parametrize(
    ("now_there", "expected", "shown", "shown_expected"),
    [
        (None, OLD, "unset", OLD),
        ("released", OLD, "unset", OLD),
        (OLD, None, OLD, "unset"),
        (OLD, NEW, OLD, NEW),
    ],
)
def test_compare_and_set_loses(
    path: str,
    catalog: Catalog,
    now_there: str | None,
    expected: str | None,
    shown: str,
    shown_expected: str,
) -> None:
    """The pin stays when somebody else changed it."""
    _have(catalog, now_there)
    before = (catalog.get_pin(UUID), catalog.history(UUID))
    with pytest.raises(CatalogConflict) as caught:
        catalog.set_pin(UUID, "q35", source="operator", actor="root", expect=expected)

    message = (
        f"the pin of {UUID} is {shown} now, not {shown_expected}: "
        "somebody else changed it, look again"
    )
    assert (message, path) == (str(caught.value), caught.value.path)
    assert before == (catalog.get_pin(UUID), catalog.history(UUID))


def _have(catalog: Catalog, machine: str | None) -> None:
    if machine:
        catalog.add_pin(pin())
    if machine == "released":
        catalog.unset_pin(UUID, actor="root")


def test_unset_releases(catalog: Catalog) -> None:
    """The row stays, without machine type; the history says what it was."""
    catalog.add_pin(pin())

    assert catalog.unset_pin(UUID, actor="root", reason="rebuilt")
    released = replace(
        pin(), machine=None, seen=None, actor="root", reason="rebuilt", updated_at=LATER
    )
    assert released == catalog.get_pin(UUID)
    entry = HistoryEntry(UUID, LATER, "unset", "root", OLD, None, None, "rebuilt")
    assert [entry] == catalog.history(UUID)[1:]


def test_there_must_be_something_to_unset(catalog: Catalog) -> None:
    """Neither a stranger nor a released pin is released (again)."""
    catalog.add_pin(pin(OTHER, None))

    assert not catalog.unset_pin(UUID, actor="root")
    assert not catalog.unset_pin(OTHER, actor="root")
    assert (catalog.history(UUID), len(catalog.history(OTHER))) == ([], 1)


def test_forget_leaves_only_history(catalog: Catalog, hook: Catalog) -> None:
    """A pruned guest is nowhere but in the history; others stay."""
    for uuid in (UUID, OTHER):
        catalog.add_pin(pin(uuid))
        hook.record_running(summary(uuid), OLD, AT)
        hook.record_stop(summary(uuid), OLD, NEW, "prepare", AT)
        hook.record_arrival(uuid, OLD, AT)

    assert catalog.forget(UUID, actor="mthook-sync", reason="gone")
    entry = HistoryEntry(UUID, LATER, "pruned", "mthook-sync", OLD, None, None, "gone")
    assert entry == catalog.history(UUID)[-1]
    assert hook.take_arrival(UUID) is None
    assert [one.uuid for one in catalog.pins()] == [OTHER]
    assert [one.uuid for one in catalog.repairs()] == [OTHER]
    assert [one.uuid for one in catalog.guests()] == [OTHER]
    assert hook.take_arrival(OTHER) == OLD


def test_a_guest_that_came_back_is_not_forgotten(catalog: Catalog) -> None:
    """Between the look at the list and the removal it may return; what was seen has to hold still."""
    catalog.add_pin(pin())
    catalog.see_guests([Guest(UUID, "web1", "x86_64", "kvm")], AT)
    catalog.see_guests([], LATER)
    (gone,) = catalog.guests()
    catalog.see_guests([Guest(UUID, "web1", "x86_64", "kvm")], LATEST)

    assert not catalog.forget(UUID, actor="me", reason=None, gone_since=gone.gone_since)
    assert [one.uuid for one in catalog.pins()] == [UUID]
    catalog.see_guests([], LATEST + "1")
    (gone,) = catalog.guests()
    assert catalog.forget(UUID, actor="me", reason=None, gone_since=gone.gone_since)


def test_forget_says_whether_there_was_a_pin(catalog: Catalog) -> None:
    """A guest without pin's row is forgotten without history."""
    catalog.see_guests([Guest(UUID, "web1", "x86_64", "kvm")], AT)

    assert not catalog.forget(UUID, actor="mthook-sync", reason=None)
    assert (catalog.guests(), catalog.history(UUID)) == ([], [])


@pytest.mark.parametrize(
    "change",
    [
        lambda catalog: catalog.add_pin(pin(OTHER)),
        lambda catalog: catalog.set_pin(UUID, NEW, source="operator", actor="root"),
        lambda catalog: catalog.unset_pin(UUID, actor="root"),
        lambda catalog: catalog.forget(UUID, actor="root", reason=None),
        lambda catalog: catalog.merge_pin(pin(machine=NEW, updated_at=LATER), actor="root"),
    ],
)
def test_no_pin_changes_without_history(
    path: str, catalog: Catalog, change: Callable[[Catalog], object]
) -> None:
    """When the history row can't be written, the pin is as before; then it works again."""
    catalog.add_pin(pin())
    trigger = "CREATE TRIGGER no BEFORE INSERT ON history BEGIN SELECT RAISE(ABORT, 'no'); END"
    with catalog.transaction() as direct:
        direct.execute(trigger)
    with pytest.raises(CatalogError) as caught:
        change(catalog)
    after = list(catalog.pins())
    with catalog.transaction() as direct:
        direct.execute("DROP TRIGGER no")
    change(catalog)

    assert f"the catalog {path} can't be used: no" == str(caught.value)
    assert [pin()] == after
    assert after != list(catalog.pins())


def test_transactions_nest(catalog: Catalog) -> None:
    """What is called inside a transaction is part of it: an error undoes all."""
    with pytest.raises(re.error), catalog.transaction():
        catalog.add_pin(pin())
        assert catalog.get_pin(UUID) == pin()
        raise re.error("any")

    assert catalog.get_pin(UUID) is None


def test_history_takes_any_event(catalog: Catalog) -> None:
    """Every field is kept; the time is now unless given."""
    catalog.add_history(
        UUID, "realigned", actor="mthook-sync", old=OLD, new=NEW, source="Nova", reason="why", at=AT
    )
    catalog.add_history(UUID, "repaired", actor="mthook-sync")

    first = HistoryEntry(UUID, AT, "realigned", "mthook-sync", OLD, NEW, "Nova", "why")
    assert [first, HistoryEntry(UUID, LATER, "repaired", "mthook-sync")] == catalog.history(UUID)


def test_a_change_is_later_than_what_it_replaces(catalog: Catalog) -> None:
    """Also where the clock was ahead when that was written, to the last microsecond of a second."""
    for at in ("2999-12-31T23:59:59.999999Z", "2999-12-31T23:59:59.999998Z"):
        catalog.add_pin(pin(at, updated_at=at))
        catalog.set_pin(at, "q35", source="operator", actor="root")
        catalog.unset_pin(at, actor="root")

    assert [one.updated_at for one in catalog.pins()] == [
        "3000-01-01T00:00:00.000000Z",
        "3000-01-01T00:00:00.000001Z",
    ]


def test_what_was_changed_since_the_look_is_noticed(catalog: Catalog) -> None:
    """By its time, which no two changes share, and by what is kept of Nova's record."""
    catalog.expect(UUID, None, None)
    catalog.add_pin(pin())
    catalog.expect(UUID, AT, None)
    catalog.set_compared(Compared(UUID, "pc", 1, None), expect=None)
    catalog.expect(UUID, AT, ("pc", 1, None))

    for since, compared in ((None, ANY), (LATER, ANY), (AT, None), (AT, ("pc", 2, None))):
        with pytest.raises(CatalogConflict, match="was changed meanwhile"):
            catalog.expect(UUID, since, compared)
    with pytest.raises(CatalogConflict):
        catalog.set_compared(Compared(UUID, "q35", 2, None), expect=None)
    with pytest.raises(CatalogConflict):
        catalog.forget(UUID, actor="mthook-sync", reason="gone", since=LATER)
    assert catalog.get_pin(UUID) == pin()
    assert catalog.compared() == {UUID: Compared(UUID, "pc", 1, None)}
