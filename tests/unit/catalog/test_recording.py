# SPDX-License-Identifier: Apache-2.0
"""What the hook writes."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from mthook.catalog.records import Guest, HistoryEntry, HostFacts, Pin, Repair
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError

from .samples import AT, KVM, LATER, LATEST, UUID, pin, summary

NEW = "pc-q35-7.2"
IMAGE = "0a000000-0000-4000-8000-00000000000a"
FIRST_BOOT = HistoryEntry(UUID, AT, "pinned", "hook", None, NEW, "first boot", "because")
RUNNING = Guest(UUID, "web1", "x86_64", "kvm", KVM, None, NEW, "running", seen_at=AT)


def _record(hook: Catalog, machine: str = NEW, at: str = AT, **options: object) -> bool:
    return hook.record_pin(
        summary(),
        machine,
        source="first boot",
        reason="because",
        seen=machine,
        at=at,
        **options,  # type: ignore[arg-type]
    )


def _pinned(machine: str = NEW, at: str = AT) -> Pin:
    return Pin(UUID, machine, "x86_64", "first boot", "hook", AT, at, machine, "because", IMAGE)


def test_a_new_guest_is_pinned(hook: Catalog, catalog: Catalog) -> None:
    """Pin, history and what the guest runs with are there when it returns."""
    assert _record(hook, running=NEW)

    assert _pinned() == catalog.get_pin(UUID)
    assert catalog.history(UUID) == [FIRST_BOOT]
    assert catalog.guests() == [RUNNING]


def test_a_guest_that_does_not_run_yet_is_pinned_too(hook: Catalog, catalog: Catalog) -> None:
    """At ``migrate`` nothing runs here yet, so nothing is said about it."""
    assert _record(hook)

    assert catalog.guests() == []


def test_a_pin_keeps_the_versions_it_was_made_with(hook: Catalog, catalog: Catalog) -> None:
    """QEMU's and libvirt's versions are those of the last sync."""
    catalog.replace_capabilities([], HostFacts("host1", "7.2.22", "9.0.0", AT))
    _record(hook)

    expected = replace(_pinned(), qemu_version="7.2.22", libvirt_version="9.0.0")
    assert expected == catalog.get_pin(UUID)


def test_a_recorded_pin_stays(hook: Catalog, catalog: Catalog) -> None:
    """Of two hooks at once the first wins; the second still sees what runs."""
    catalog.add_pin(pin())
    history = catalog.history(UUID)

    assert not _record(hook, running=NEW)
    assert pin() == catalog.get_pin(UUID)
    assert history == catalog.history(UUID)
    assert catalog.guests() == [RUNNING]


def test_a_released_pin_is_filled(hook: Catalog, catalog: Catalog) -> None:
    """After ``unset`` the next boot records anew, with the row's age kept."""
    catalog.add_pin(pin())
    catalog.unset_pin(UUID, actor="root", at=AT)

    assert _record(hook, at=LATER)
    assert _pinned(at=LATER) == catalog.get_pin(UUID)
    assert [replace(FIRST_BOOT, at=LATER)] == catalog.history(UUID)[2:]


def test_a_rebuild_replaces_a_pin(hook: Catalog, catalog: Catalog) -> None:
    """``replace`` changes a pin and says what it was."""
    catalog.add_pin(pin())

    assert _record(hook, at=LATER, replace=True, actor="rebuild")
    expected = replace(_pinned(at=LATER), actor="rebuild")
    assert expected == catalog.get_pin(UUID)
    change = HistoryEntry(
        UUID, LATER, "changed", "rebuild", "pc-i440fx-7.2", NEW, "first boot", "because"
    )
    assert [change] == catalog.history(UUID)[1:]


@pytest.mark.parametrize("table", ["history", "guests"])
def test_pin_and_history_are_one_transaction(hook: Catalog, catalog: Catalog, table: str) -> None:
    """When any of the rows can't be written, none is; the next call works."""
    with catalog.transaction() as direct:
        direct.execute(
            f"CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(FAIL, 'no'); END"
        )
    with pytest.raises(CatalogError):
        _record(hook, running=NEW)
    state = (catalog.get_pin(UUID), catalog.history(UUID), catalog.guests())
    with catalog.transaction() as direct:
        direct.execute("DROP TRIGGER broken")

    assert state == (None, [], [])
    assert _record(hook)


def test_a_commit_that_fails_leaves_nothing(path: str, catalog: Catalog, hook: Catalog) -> None:
    """A write that SQLite refuses only at its end is undone and reported, too."""
    hook.connection.execute("PRAGMA foreign_keys = ON")
    hook.connection.execute(
        "CREATE TABLE late (uuid TEXT REFERENCES guests (uuid) DEFERRABLE INITIALLY DEFERRED)"
    )
    hook.connection.execute(
        "CREATE TRIGGER broken AFTER INSERT ON pins BEGIN INSERT INTO late VALUES ('x'); END"
    )
    with pytest.raises(CatalogError) as caught:
        _record(hook)

    assert f"the catalog {path} can't be used: FOREIGN KEY constraint failed" == str(caught.value)
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
    assert not hook.connection.in_transaction
    assert catalog.get_pin(UUID) is None


def test_any_other_error_undoes_the_transaction(hook: Catalog, catalog: Catalog) -> None:
    """Errors that are not SQLite's pass through, and nothing is written."""
    guest = summary()
    guest.name = "\ud800"  # what XML can't hold and SQLite can't store

    with pytest.raises(UnicodeEncodeError):
        hook.record_stop(guest, NEW, "pc", "prepare", AT)
    assert not hook.connection.in_transaction
    assert catalog.repairs() == []


def test_drift_is_recorded(hook: Catalog, catalog: Catalog) -> None:
    """The history says pin, finding and operation; the pin stays."""
    catalog.add_pin(pin())
    hook.record_drift(summary(), "pc-i440fx-7.2", NEW, "started", AT)

    drift = HistoryEntry(UUID, AT, "drift", "hook", "pc-i440fx-7.2", NEW, None, "started")
    assert [drift] == catalog.history(UUID)[1:]
    assert catalog.guests() == [RUNNING]
    assert pin() == catalog.get_pin(UUID)


def test_the_same_drift_is_recorded_once(hook: Catalog, catalog: Catalog) -> None:
    """Every restart of libvirtd finds it again, which is no news and writes nothing."""
    hook.record_drift(summary(), "pc-i440fx-7.2", NEW, "started", AT)
    before = hook.connection.total_changes
    hook.record_drift(summary(), "pc-i440fx-7.2", NEW, "reconnect", LATER)

    assert before == hook.connection.total_changes
    assert len(catalog.history(UUID)) == 1


def test_the_same_drift_of_a_guest_renamed_updates_the_guest(
    hook: Catalog, catalog: Catalog
) -> None:
    """Only what is new is written."""
    hook.record_drift(summary(), "pc-i440fx-7.2", NEW, "started", AT)
    renamed = summary(name="web2")
    hook.record_drift(renamed, "pc-i440fx-7.2", NEW, "reconnect", LATER)

    assert len(catalog.history(UUID)) == 1
    assert [replace(RUNNING, name="web2", seen_at=LATER)] == catalog.guests()


def test_drift_after_a_repair_is_new(hook: Catalog, catalog: Catalog) -> None:
    """When something happened in between, the same finding is another event."""
    hook.record_drift(summary(), "pc-i440fx-7.2", NEW, "started", AT)
    catalog.add_history(UUID, "repaired", actor="mthook-sync")
    hook.record_drift(summary(), "pc-i440fx-7.2", NEW, "started", LATER)

    assert [entry.event for entry in catalog.history(UUID)] == ["drift", "repaired", "drift"]


def test_what_runs_is_recorded(hook: Catalog, catalog: Catalog) -> None:
    """A guest that the catalog has never seen is seen when it starts."""
    hook.record_running(summary(), NEW, AT)

    assert catalog.guests() == [RUNNING]
    assert catalog.history(UUID) == []


def test_what_is_known_to_run_is_not_written_again(hook: Catalog, catalog: Catalog) -> None:
    """A start that changes nothing costs no write."""
    hook.record_running(summary(), NEW, AT)
    before = hook.connection.total_changes
    hook.record_running(summary(), NEW, LATER)

    assert before == hook.connection.total_changes
    assert catalog.guests() == [RUNNING]


def test_what_a_sync_knows_of_a_guest_stays(hook: Catalog, catalog: Catalog) -> None:
    """The hook sees neither definition nor snapshots; a guest that was gone is back."""
    known = Guest(UUID, "web1", "x86_64", "kvm", None, "pc-i440fx-7.2", None, snapshots=2)
    catalog.see_guests([known], AT)
    catalog.see_guests([], LATER)
    hook.record_running(summary(), NEW, LATEST)

    expected = replace(RUNNING, defined="pc-i440fx-7.2", snapshots=2, seen_at=LATEST)
    assert [expected] == catalog.guests()


@pytest.mark.parametrize(("nova", "restart"), [(False, True), (True, False)])
def test_a_stopped_start_waits_for_its_repair(
    hook: Catalog, catalog: Catalog, nova: bool, restart: bool
) -> None:
    """A plain guest is to be started again, Nova's is Nova's business."""
    guest = summary(nova=nova)
    hook.record_stop(guest, "pc-i440fx-7.2", NEW, "prepare", AT)

    stop = HistoryEntry(UUID, AT, "stopped", "hook", "pc-i440fx-7.2", NEW, None, "prepare")
    assert [Repair(UUID, "web1", AT, "pc-i440fx-7.2", NEW, nova, restart)] == catalog.repairs()
    assert [stop] == catalog.history(UUID)


def test_a_second_stop_renews_the_repair(hook: Catalog, catalog: Catalog) -> None:
    """One repair per guest, with the latest finding; every stop is in the history."""
    hook.record_stop(summary(), "pc-i440fx-7.2", "q35", "prepare", AT)
    hook.record_stop(summary(), "pc-i440fx-7.2", NEW, "prepare", LATER)

    assert [Repair(UUID, "web1", LATER, "pc-i440fx-7.2", NEW, False, True)] == catalog.repairs()
    assert [entry.new for entry in catalog.history(UUID)] == ["q35", NEW]


@pytest.mark.parametrize("operation", ["migrate", "restore"])
def test_what_was_not_let_in_needs_no_repair(
    hook: Catalog, catalog: Catalog, operation: str
) -> None:
    """What arrives has no definition here that could be at fault."""
    hook.record_stop(summary(), "pc-i440fx-7.2", NEW, operation, AT)

    stop = HistoryEntry(UUID, AT, "stopped", "hook", "pc-i440fx-7.2", NEW, None, operation)
    assert [stop] == catalog.history(UUID)
    assert catalog.repairs() == []


def test_an_arrival_is_taken_once(hook: Catalog) -> None:
    """The ``prepare`` that follows takes it, the next finds none and writes nothing."""
    hook.record_arrival(UUID, "pc-i440fx-7.2", AT)
    hook.record_arrival(UUID, NEW, LATER)
    first = hook.take_arrival(UUID)
    before = hook.connection.total_changes

    assert first == NEW
    assert hook.take_arrival(UUID) is None
    assert before == hook.connection.total_changes
