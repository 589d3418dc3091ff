# SPDX-License-Identifier: Apache-2.0
"""Guests as last seen and their repairs, through the store."""

from __future__ import annotations

from dataclasses import replace

from mthook.catalog.records import Guest, HistoryEntry, Repair
from mthook.catalog.store import Catalog

from .samples import AT, KVM, LATER, LATEST, OTHER, THIRD, UUID, pin, summary

WEB = Guest(
    uuid=UUID,
    name="web1",
    arch="x86_64",
    virt_type="kvm",
    emulator=KVM,
    defined="pc-q35-7.2",
    running="pc-i440fx-7.2",
    state="running",
    managed_save=True,
    snapshots=3,
    nova=True,
    windows=True,
)
DB = Guest(OTHER, "db1", "x86_64", "kvm")


def test_guests_come_back_whole(catalog: Catalog) -> None:
    """By name, with the time they were seen."""
    catalog.see_guests([WEB, DB], AT)

    assert [replace(DB, seen_at=AT), replace(WEB, seen_at=AT)] == catalog.guests()


def test_a_guest_not_listed_is_gone(catalog: Catalog) -> None:
    """Since the first listing without it; it runs no more."""
    catalog.see_guests([WEB, DB], AT)
    catalog.see_guests([DB], LATER)
    catalog.see_guests([DB], LATEST)

    gone = replace(WEB, running=None, seen_at=AT, gone_since=LATER)
    assert [replace(DB, seen_at=LATEST), gone] == catalog.guests()


def test_a_guest_that_is_back_is_not_gone(catalog: Catalog) -> None:
    """Everything about it is as listed."""
    catalog.see_guests([WEB], AT)
    catalog.see_guests([], LATER)
    catalog.see_guests([replace(WEB, name="web2")], LATEST)

    assert [replace(WEB, name="web2", seen_at=LATEST)] == catalog.guests()


def test_a_guest_started_while_guests_were_listed_stays(catalog: Catalog, hook: Catalog) -> None:
    """The hook knew better: neither is a new guest gone nor an old one back to what it was."""
    catalog.see_guests([replace(WEB, running=None)], AT)
    hook.record_running(summary(), "pc-q35-8.0", LATEST)
    hook.record_running(summary(THIRD, "new"), "pc-q35-8.0", LATEST)
    catalog.see_guests([replace(WEB, running=None, state="shut off")], LATER)

    found = {guest.name: (guest.running, guest.gone_since) for guest in catalog.guests()}
    assert found == {"web1": ("pc-q35-8.0", None), "new": ("pc-q35-8.0", None)}


def test_one_guest_can_be_seen_by_itself(catalog: Catalog) -> None:
    """A new one is there, another isn't gone for it, one that was gone is back."""
    catalog.see_guests([WEB], AT)
    catalog.see_guests([], LATER)
    catalog.see_guest(DB, LATER)
    catalog.see_guest(WEB, LATEST)

    assert [replace(DB, seen_at=LATER), replace(WEB, seen_at=LATEST)] == catalog.guests()


def test_a_guest_that_somebody_saw_later_stays_as_it_was_seen(catalog: Catalog) -> None:
    """The hook was faster."""
    catalog.see_guest(WEB, LATEST)
    catalog.see_guest(replace(WEB, running=None, state="shut off"), LATER)

    assert [replace(WEB, seen_at=LATEST)] == catalog.guests()


def test_a_definition_that_was_just_mended_is_known(catalog: Catalog) -> None:
    """Only that guest's, and nothing else of it."""
    catalog.see_guests([WEB, DB], AT)
    catalog.touch_defined(UUID, "pc-i440fx-7.2")

    mended = replace(WEB, defined="pc-i440fx-7.2", seen_at=AT)
    assert catalog.guests() == [replace(DB, seen_at=AT), mended]


def test_a_guest_is_found_by_uuid_and_by_name(catalog: Catalog) -> None:
    """The UUID in any case, the name as it is."""
    catalog.see_guests([WEB, DB], AT)

    assert [replace(WEB, seen_at=AT)] == catalog.find(UUID.upper())
    assert [replace(WEB, seen_at=AT)] == catalog.find("web1")
    assert catalog.find("WEB1") == []


def test_a_name_used_again_finds_the_present_guest_first(catalog: Catalog) -> None:
    """The one that is gone comes last."""
    catalog.see_guests([WEB], AT)
    catalog.see_guests([replace(DB, name="web1")], LATER)

    assert [guest.uuid for guest in catalog.find("web1")] == [OTHER, UUID]


def test_strange_names_are_kept_as_they_are(catalog: Catalog) -> None:
    """Names are data: quotes, line ends and options mean nothing."""
    names = ["'; DROP TABLE pins; --", "--help", "a\nb", "../x", "ü %s ?"]
    guests = [replace(WEB, uuid=f"{UUID[:-2]}{index:02}", name=n) for index, n in enumerate(names)]
    catalog.see_guests(guests, AT)

    assert [replace(one, seen_at=AT) for one in guests] == [catalog.find(name)[0] for name in names]


def test_the_oldest_repair_comes_first(catalog: Catalog, hook: Catalog) -> None:
    """Whoever waits longest is mended first."""
    hook.record_stop(summary(OTHER, "db1"), "pc", "q35", "prepare", LATER)
    hook.record_stop(summary(), "pc", "q35", "prepare", AT)

    first = Repair(UUID, "web1", AT, "pc", "q35", False, True)
    second = Repair(OTHER, "db1", LATER, "pc", "q35", False, True)
    assert [first, second] == catalog.repairs()


def test_a_guest_stopped_once_more_is_left_stopped(catalog: Catalog, hook: Catalog) -> None:
    """Starting it again and again would never end; only a stop since the repair counts."""
    for guest in (summary(), summary(OTHER, "db1")):
        hook.record_stop(guest, "pc", "q35", "prepare", AT)
    begun = catalog.repairs()
    hook.record_stop(summary(), "pc", "q35", "prepare", LATER)
    for repair in begun:
        catalog.leave_stopped(repair)

    other = Repair(OTHER, "db1", AT, "pc", "q35", False, True)
    again = Repair(UUID, "web1", LATER, "pc", "q35", False, False)
    assert catalog.repairs() == [other, again]


def test_a_finished_repair_is_history(catalog: Catalog, hook: Catalog) -> None:
    """It waits no more, and how it ended can be read."""
    hook.record_stop(summary(), "pc", "q35", "prepare", AT)

    (repair,) = catalog.repairs()

    catalog.finish_repair(repair, event="repaired", reason="started", actor="mthook-sync")

    entry = catalog.history(UUID)[-1]
    expected = HistoryEntry(UUID, entry.at, "repaired", "mthook-sync", "q35", "pc", None, "started")
    assert expected == entry
    assert catalog.repairs() == []


def test_a_start_that_was_stopped_during_the_repair_waits_for_the_next_one(
    catalog: Catalog, hook: Catalog
) -> None:
    """The hook has recorded that, and nobody may take it for the one that was mended."""
    hook.record_stop(summary(), "pc", "q35", "prepare", AT)
    (repair,) = catalog.repairs()
    hook.record_stop(summary(), "virt", "q35", "prepare", LATER)

    catalog.finish_repair(repair, event="repaired", reason="it runs", actor="mthook-sync")

    assert [(one.at, one.pin) for one in catalog.repairs()] == [(LATER, "virt")]


def test_a_name_is_the_guests_that_started_by_it_last(catalog: Catalog, hook: Catalog) -> None:
    """The one that had it is gone: libvirt has no two of a name. The next sync needn't come for that."""
    hook.record_running(summary(OTHER), "pc", AT)
    hook.record_running(summary(UUID), "pc", LATER)

    found = {guest.uuid: guest.gone_since for guest in catalog.find("web1")}
    assert found == {UUID: None, OTHER: LATER}


def test_what_nova_calls_a_guest_is_kept_by_the_hook_too(hook: Catalog) -> None:
    """A guest is known by that name from its first start on."""
    guest = summary()
    guest.display = "shop"
    hook.record_running(guest, "pc", AT)

    assert [one.display for one in hook.guests()] == ["shop"]


def test_a_guest_is_found_by_novas_name_or_by_how_its_uuid_begins(catalog: Catalog) -> None:
    """So is what has no guest here: a pin, an instance that Nova has on this host. Nothing else is a pattern."""
    catalog.see_guests([DB], AT)
    catalog.see_guests([replace(WEB, display="shop")], LATER)
    catalog.add_pin(pin(THIRD))
    catalog.see_instances({THIRD: ("shop", "error")})

    assert catalog.find_like("shop") == [(UUID, True), (THIRD, False)]
    assert catalog.find_like(UUID[:4].upper()) == [(UUID, True), (OTHER, False), (THIRD, False)]
    assert catalog.find_like(THIRD) == [(THIRD, False)]
    for text in ("", "3f2", "3f2*", "*", "sho", "SHOP", "----"):
        assert catalog.find_like(text) == []


def test_instances_are_those_of_the_last_sync(catalog: Catalog) -> None:
    """What is known already isn't written anew; an instance that was forgotten is none."""
    catalog.see_instances({UUID: ("shop", "active"), THIRD: ("db", "error")})
    before = catalog.connection.total_changes
    catalog.see_instances({UUID: ("shop", "active"), THIRD: ("db", "error")})

    assert catalog.connection.total_changes == before
    catalog.forget(UUID, actor="mthook-sync", reason="gone")
    assert catalog.instances() == {THIRD: ("db", "error")}
    catalog.see_instances({})
    assert catalog.instances() == {}
