# SPDX-License-Identifier: Apache-2.0
"""Whether definitions, saved images and snapshots have the machine type of the pin."""

from __future__ import annotations

import libvirt
import pytest

from tests.unit.host.fakes import FakeConnection, FakeDomain, domain_xml, failure

from .conftest import DB, NEW, OLD, UNREACHABLE, WEB, Answer, Desk, libvirt_has, snapshot

TITLE = "Definitions and saved state"
_WELL = "Definition, saved image and snapshots of the only pinned guest match its pin."


def test_a_definition_like_its_pin_is_well(web: Desk) -> None:
    """A guest without a pin has nothing to be unlike of."""
    web.guest("db-1", DB, NEW)

    assert web.check(TITLE) == Answer(0, _WELL)


def test_a_definition_unlike_its_pin_is_a_warning(web: Desk) -> None:
    """Its next start would be stopped."""
    web.pin(WEB, NEW)

    assert web.check(TITLE) == Answer(
        1,
        f"Defined unlike their pins: 1 guest (web-1 ({WEB}): {OLD} instead of {NEW}). 'mthook-sync --only realign'"
        " mends definitions; with -v it tells which it leaves alone.",
    )


def test_a_snapshot_unlike_the_pin_is_a_warning(desk: Desk) -> None:
    """One like the pin isn't."""
    desk.guest("web-1", WEB, OLD, snapshot("web-1", WEB, NEW))
    desk.guest("db-1", DB, OLD, snapshot("db-1", DB, OLD))
    desk.pin(WEB, OLD)
    desk.pin(DB, OLD)

    assert desk.check(TITLE) == Answer(
        1,
        f"With another machine type in a saved image or in snapshots: 1 guest (web-1 ({WEB}): {NEW})."
        " A restore or revert brings it back.",
    )


def test_as_data_it_is_machine_types_by_guest(desk: Desk) -> None:
    """Those of the definition, and those that are kept elsewhere."""
    desk.guest("web-1", WEB, OLD, snapshot("web-1", WEB, OLD))
    desk.pin(WEB, NEW)

    defined, saved = desk.findings("definitions_and_saved_state")

    assert (defined["kind"], defined["remedy"]) == (
        "defined_unlike_pin",
        "mthook-sync --only realign",
    )
    assert defined["subjects"] == [
        {"uuid": WEB, "name": "web-1", "facts": {"pin": NEW, "defined": OLD}, "display_name": None}
    ]
    assert (saved["kind"], saved["facts"]) == ("saved_unlike_pin", {"guests": 1})
    assert saved["subjects"] == [
        {"uuid": WEB, "name": "web-1", "facts": {"pin": NEW, "saved": [OLD]}, "display_name": None}
    ]


def test_a_saved_image_unlike_the_pin_is_a_warning(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may even be one that the next QEMU can't restore."""
    libvirt_has(monkeypatch, FakeDomain(domain_xml(OLD, uuid=WEB), saved=domain_xml(NEW), uuid=WEB))
    desk.pin(WEB, OLD)

    assert f"1 guest (web-1 ({WEB}): {NEW})" in desk.check(TITLE).details


def test_a_saved_image_like_the_pin_is_well(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It restores what was saved."""
    libvirt_has(monkeypatch, FakeDomain(domain_xml(OLD, uuid=WEB), saved=domain_xml(OLD), uuid=WEB))
    desk.pin(WEB, OLD)

    assert desk.check(TITLE) == Answer(0, _WELL)


def test_a_domain_that_cannot_be_looked_at_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, with libvirt's reason."""
    broken = FakeDomain(name="db-1", uuid=DB, failing=failure(libvirt.VIR_ERR_INTERNAL_ERROR))
    libvirt_has(monkeypatch, FakeDomain(domain_xml(OLD, uuid=WEB), uuid=WEB), broken)
    desk.pin(WEB, OLD)

    assert desk.check(TITLE) == Answer(
        1, f"Can't be looked at: 1 guest (db-1 ({DB}): can't be looked at: no luck)."
    )


def test_without_libvirt_nothing_can_be_looked_at(web: Desk) -> None:
    """In words."""
    web.configure(uri=UNREACHABLE)

    found = web.check(TITLE)

    assert found.code == 1
    assert found.details.startswith(f"libvirt at {UNREACHABLE} can't be reached: ")
    assert found.details.endswith(": what guests are defined as can't be looked at.")


def test_a_guest_that_vanishes_meanwhile_is_no_trouble(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was listed, and its snapshots are gone with it."""
    leaving = FakeDomain(domain_xml(OLD, uuid=WEB), uuid=WEB)
    leaving.snapshots = 1
    libvirt_has(monkeypatch, leaving)
    monkeypatch.setattr(
        FakeConnection,
        "lookupByUUIDString",
        lambda *_: FakeConnection([])._only(lambda domain: True),
    )
    desk.pin(WEB, OLD)

    assert desk.check(TITLE) == Answer(0, _WELL)
