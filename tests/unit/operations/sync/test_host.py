# SPDX-License-Identifier: Apache-2.0
"""What is kept of the host and its guests, and for how long."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest

from mthook.catalog.records import Guest
from mthook.hook import seen
from mthook.operations.readiness.context import Context
from mthook.operations.sync import steps
from mthook.text import now
from tests.unit.host.fakes import (
    CAPABILITIES,
    QEMU,
    UUID,
    FakeDomain,
    domain_xml,
)
from tests.unit.operations.sync.setting import Setting

#: Seconds.
DAY = 24 * 3600


def test_notes_of_starts_that_failed_are_swept(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh one may belong to a start that is under way; one of the future is of a clock that was ahead."""
    monkeypatch.setattr(steps, "CLEARED", str(tmp_path / "cleared"))
    notes = {name: tmp_path / "cleared" / name for name in ("old", "new", "ahead")}
    (tmp_path / "cleared").mkdir()
    for note, age in zip(notes.values(), (700, 5, -700)):
        note.touch()
        os.utime(note, (time.time() - age,) * 2)

    setting.sync("--dry-run")
    assert all(note.exists() for note in notes.values())
    setting.sync()

    assert [name for name, note in notes.items() if note.exists()] == ["new"]


def test_records_in_libvirts_container_are_swept(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hook keeps them there."""
    records = tmp_path / seen.RECORDS.lstrip("/")
    records.mkdir(parents=True)
    (records / "ended").write_text("1\n")
    os.utime(records / "ended", (1, 1))
    monkeypatch.setattr(Context, "root", str(tmp_path))

    setting.sync()

    assert list(records.iterdir()) == []


def steady(setting: Setting, since: float, last: float) -> None:
    """Say since when there have been syncs, and when the last one was, in seconds before now."""
    with setting.catalog() as catalog:
        catalog.set_steady(now(time.time() - since))
        catalog.set_last_sync(now(time.time() - last), ok=True)


@pytest.mark.parametrize(
    ("since", "last"),
    [(400 * DAY, 365 * DAY), (20 * DAY, DAY), (-365 * DAY, DAY), (400 * DAY, -365 * DAY)],
)
def test_a_clock_that_jumps_makes_nobody_long_gone(
    setting: Setting, since: float, last: float
) -> None:
    """Nor does a host that was off: only days with syncs in them count, also once the clock stays as it is."""
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")
        catalog.see_guests([Guest(UUID, "web-1", "x86_64", "kvm")], now(time.time() - 366 * DAY))
        catalog.see_guests([], now(time.time() - 365 * DAY))
    steady(setting, since, last)

    setting.sync()
    setting.sync()

    assert UUID in setting.pins()


def test_a_guest_seen_by_a_clock_that_was_ahead_is_seen_again(setting: Setting) -> None:
    """And is gone when it is."""
    with setting.catalog() as catalog:
        ahead = [Guest(UUID, "web-1", "x86_64", "kvm", running="pc-i440fx-6.2")]
        catalog.see_guests(ahead, now(time.time() + 365 * DAY))
    setting.libvirt.domains = [FakeDomain()]

    setting.sync()
    seen = setting.guests()[UUID]
    assert (seen.running, seen.gone_since) == (None, None)

    with setting.catalog() as catalog:
        catalog.see_guests(ahead, now(time.time() + 365 * DAY))
    setting.libvirt.domains = []
    setting.sync()
    assert setting.guests()[UUID].gone_since is not None


@pytest.mark.parametrize(
    ("days", "nova", "known"), [(29, False, True), (31, False, False), (31, True, True)]
)
def test_only_guests_gone_for_a_month_are_forgotten(
    setting: Setting, days: int, nova: bool, known: bool
) -> None:
    """Not one that has just moved away, and never one of Nova's; the history stays in any case."""
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")
        catalog.see_guests(
            [Guest(UUID, "web-1", "x86_64", "kvm", nova=nova)], now(time.time() - days * DAY - 60)
        )
        catalog.see_guests([], now(time.time() - days * DAY))
    steady(setting, 400 * DAY, DAY)

    assert setting.sync() == (0, "", "")
    assert (UUID in setting.pins()) is known
    assert (setting.events()[-1][0] == "pruned") is not known


def test_a_guest_that_comes_back_is_no_longer_gone(setting: Setting) -> None:
    """One that moved away and back keeps its pin for good."""
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-7.2", source="operator", actor="root")
        catalog.see_guests([Guest(UUID, "web-1", "x86_64", "kvm")], now(time.time() - 32 * DAY))
        catalog.see_guests([], now(time.time() - 31 * DAY))
    setting.libvirt.domains = [FakeDomain()]

    setting.sync()

    assert (setting.pins()[UUID][0], setting.guests()[UUID].gone_since) == ("pc-i440fx-7.2", None)


def test_a_gone_guest_without_a_pin_is_forgotten_in_silence(setting: Setting) -> None:
    """There is no pin to tell of."""
    with setting.catalog() as catalog:
        catalog.see_guests([Guest(UUID, "web-1", "x86_64", "kvm")], now(time.time() - 32 * DAY))
        catalog.see_guests([], now(time.time() - 31 * DAY))
    steady(setting, 400 * DAY, DAY)

    assert "forgotten" not in setting.sync("-v")[2]
    assert setting.guests() == {}


def test_a_full_run_says_when_and_how_it_ended(setting: Setting) -> None:
    """A run with errors is not a good one; a run of one step says nothing about the whole."""
    outcomes = []
    for domains, args in (([], []), ([FakeDomain("<domain>")], []), ([], ["--only", "seed"])):
        setting.libvirt.domains = domains
        setting.sync(*args)
        with setting.catalog() as catalog:
            outcomes.append(catalog.host().last_sync_ok)

    assert outcomes == [True, False, False]


def test_capabilities_are_written_when_they_changed(setting: Setting) -> None:
    """A host that is as it was costs no write; one with a new QEMU does."""
    setting.sync()
    with setting.catalog() as catalog:
        seen = [catalog.host().seen_at]
    for capabilities in (CAPABILITIES, CAPABILITIES.replace("6.2", "6.1")):
        setting.libvirt.capabilities = capabilities
        setting.sync()
        with setting.catalog() as catalog:
            seen.append(catalog.host().seen_at)
            names = [one.machine for one in catalog.capabilities()]

    assert seen[0] == seen[1] != seen[2]
    assert "pc-i440fx-6.1" in names


def test_a_new_qemu_is_noticed_by_its_version_alone(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small update brings no machine type, but pins keep the version they were seen with."""
    setting.sync()
    monkeypatch.setattr(setting.libvirt, "getVersion", lambda: 7002023)

    setting.sync()

    with setting.catalog() as catalog:
        assert catalog.host().qemu_version == "7.2.23"


def test_guests_are_kept_as_they_are(setting: Setting) -> None:
    """All that the lists of mthook-admin show comes from here."""
    domain = FakeDomain(running=domain_xml("pc-i440fx-6.2"))
    setting.libvirt.domains = [domain]

    setting.sync("--only", "seed")

    guest = setting.guests()[UUID]
    assert dataclasses.replace(guest, seen_at="") == Guest(
        UUID, "web-1", "x86_64", "kvm", QEMU, "pc-i440fx-7.2", "pc-i440fx-6.2", "running"
    )


def test_pins_that_this_host_cant_run_are_named(setting: Setting) -> None:
    """In one line, also of guests whose definitions say the same; the command that it names lists them all."""
    uuids = [f"3f2c1d3e-0000-4000-8000-{number:012}" for number in range(5)]
    setting.libvirt.domains = [
        FakeDomain(domain_xml("pc-i440fx-1.0", uuid=uuid), uuid=uuid, name=f"web-{number}")
        for number, uuid in enumerate(uuids)
    ]
    setting.libvirt.supported["pc-i440fx-1.1"] = "pc-i440fx-1.1"
    setting.libvirt.domains[4].defined = domain_xml("pc-i440fx-1.1", uuid=uuids[4])

    named = "; ".join(f"web-{number}: pc-i440fx-1.0" for number in range(3))
    assert setting.sync() == (
        1,
        "",
        "mthook-sync: QEMU on this host doesn't offer the pins of 4 guests, which can't start here"
        f" ({named}; ...): 'mthook-admin list --unsupported' lists them all\n",
    )
    assert setting.sync("--only", "realign") == (0, "", "")
