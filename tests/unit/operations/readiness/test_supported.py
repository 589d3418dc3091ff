# SPDX-License-Identifier: Apache-2.0
"""Whether this host's QEMU can run every pin."""

from __future__ import annotations

import pytest

from mthook.catalog.offers import key_of
from mthook.catalog.records import Capability, Guest, HostFacts, Pin
from mthook.host import capabilities
from mthook.text import now

from .conftest import DB, NEW, OLD, UNREACHABLE, WEB, Answer, Desk

TITLE = "Pins supported by QEMU"
QEMU = "/usr/bin/qemu-system-x86_64"
_REMEDY = (
    "It has to offer them before their next start, or 'mthook-admin set' changes them."
    " 'mthook-admin list --unsupported' lists them all."
)


def offer(desk: Desk, *offered: Capability) -> None:
    """Replace what the host's emulators offer."""
    with desk.catalog() as catalog:
        catalog.replace_capabilities(offered, HostFacts("here", "7.2.22", "9.0.0"))


def test_a_pin_that_qemu_offers_is_well(web: Desk) -> None:
    """However many there are."""
    web.guest("db-1", DB, NEW)
    web.pin(DB, NEW)

    assert web.check(TITLE) == Answer(0, "This host's QEMU can run both pinned machine types.")


def test_an_alias_keeps_no_version(web: Desk) -> None:
    """A new QEMU gives it another one: a warning, unless aliases are what is wanted."""
    web.guest("db-1", DB, NEW)
    web.pin(DB, "pc", seen=NEW)

    (found,) = web.findings("pins_supported")

    assert (found["kind"], found["severity"]) == ("aliases", "warning")
    assert found["subjects"] == [
        {"uuid": DB, "name": "db-1", "facts": {"pin": "pc", "seen": NEW}, "display_name": None}
    ]
    assert found["remedy"] == "mthook-admin freeze"
    web.configure("[pin]\nstyle = alias\n")
    assert web.check(TITLE).code == 0


def test_a_pin_that_qemu_lacks_is_a_failure(web: Desk) -> None:
    """The nearest are named, to choose from."""
    web.guest("db-1", DB, OLD)
    web.pin(DB, "pc-i440fx-5.0")

    assert web.check(TITLE) == Answer(
        2,
        f"This host's QEMU can't run the pins of 1 guest (db-1 ({DB}): pc-i440fx-5.0, nearest"
        f" {OLD}, {NEW}, pc-i440fx-2.0). {_REMEDY}",
    )


def test_a_saved_guest_of_such_a_pin_gets_advice_that_works(web: Desk) -> None:
    """Neither can its image be restored, nor its pin be changed as long as that is there."""
    with web.catalog() as catalog:
        catalog.see_guests(
            [Guest(DB, "db-1", "x86_64", "kvm", QEMU, state="saved", managed_save=True)], now()
        )
    web.pin(DB, "pc-i440fx-5.0")
    web.configure(uri=UNREACHABLE)

    assert web.check(TITLE).details.endswith(
        f"Nor can it restore the managed-save images of 1 guest (db-1 ({DB})). A host whose QEMU offers their pins"
        " can, or 'virsh managedsave-remove NAME' discards the memory, as a power cut does; only then can"
        " 'mthook-admin set' change the pin."
    )


def test_as_data_it_is_pins_and_the_nearest(desk: Desk) -> None:
    """A pin whose guest isn't here has no name."""
    desk.pin(DB, "pc-i440fx-5.0")

    found = desk.findings("pins_supported")

    facts = {"pin": "pc-i440fx-5.0", "nearest": [OLD, NEW, "pc-i440fx-2.0"]}
    assert found == [
        {
            "kind": "unsupported",
            "severity": "failure",
            "subjects": [{"uuid": DB, "name": None, "facts": facts, "display_name": None}],
            "facts": {"pins": 1},
            "remedy": "mthook-admin set",
        }
    ]


def test_an_alias_of_another_vendors_line_is_none(desk: Desk) -> None:
    """Its guest would get other hardware."""
    offer(desk, Capability("", "x86_64", "test", "pc", "pc-i440fx-rhel7.6.0"))
    desk.guest("web-1", WEB, OLD)
    desk.pin(WEB, "pc", seen=NEW)

    assert desk.check(TITLE).details.startswith(
        f"This host's QEMU can't run the pins of 1 guest (web-1 ({WEB}): pc, nearest "
    )


def test_a_deprecated_pin_is_a_warning(desk: Desk) -> None:
    """The next QEMU may lack it."""
    desk.guest("web-1", WEB, "pc-i440fx-2.0")
    desk.pin(WEB, "pc-i440fx-2.0")

    assert desk.check(TITLE) == Answer(
        1,
        f"This host's QEMU deprecates the pins of 1 guest (web-1 ({WEB}): pc-i440fx-2.0)."
        " 'mthook-admin list --deprecated' lists them.",
    )


def see(desk: Desk, *guests: Guest) -> None:
    """Let the catalog have seen guests, where libvirt can't be asked."""
    desk.configure(uri=UNREACHABLE)
    with desk.catalog() as catalog:
        catalog.see_guests(guests, now())


def test_each_emulator_answers_for_its_own_guests(desk: Desk) -> None:
    """Two QEMUs on one host offer different machine types."""
    offer(
        desk,
        Capability("/opt/qemu", "x86_64", "kvm", NEW),
        Capability(QEMU, "x86_64", "kvm", OLD),
        Capability(QEMU, "x86_64", "qemu", NEW),
        Capability(QEMU, "i686", "kvm", NEW),
    )
    see(desk, Guest(WEB, "web-1", "x86_64", "kvm", QEMU, defined=NEW))
    desk.pin(WEB, NEW)

    assert desk.check(TITLE).details.startswith(
        f"This host's QEMU can't run the pins of 1 guest (web-1 ({WEB}): {NEW}, nearest {OLD})"
    )


def test_a_pin_without_a_guest_may_use_any_emulator(desk: Desk) -> None:
    """Such as that of an instance whose domain Nova has undefined."""
    offer(desk, Capability(QEMU, "x86_64", "kvm", OLD))
    with desk.catalog() as catalog:
        for uuid, machine in ((WEB, OLD), (DB, NEW)):
            catalog.add_pin(
                Pin(uuid, machine, "x86_64", "configuration", "mthook-sync", now(), now())
            )

    assert desk.check(TITLE).details.startswith(
        f"This host's QEMU can't run the pins of 1 guest ({DB}: {NEW}, nearest {OLD})"
    )


def test_a_guest_that_has_left_does_not_count(desk: Desk) -> None:
    """Its pin is kept for a while, in case it comes back."""
    see(desk, Guest(WEB, "web-1", "x86_64", "test"))
    see(desk)
    desk.pin(WEB, "pc-i440fx-5.0")

    assert desk.check(TITLE) == Answer(0, "There are no pins.")


def test_libvirt_is_asked_for_what_its_list_lacks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It doesn't list all that an emulator can run."""
    offer(desk, Capability(QEMU, "x86_64", "test", OLD))
    desk.guest("web-1", WEB, NEW, f"<devices><emulator>{QEMU}</emulator></devices>")
    desk.pin(WEB, NEW)
    asked = []

    def supports(host: object, guest: Guest, machine: str) -> bool:
        asked.append((key_of(guest), machine))
        return True

    monkeypatch.setattr(capabilities, "supports", supports)

    assert desk.check(TITLE).code == 0
    assert asked == [((QEMU, "x86_64", "test"), NEW)]


def test_without_capabilities_nothing_is_known(web: Desk) -> None:
    """A failure: the first sync takes them down."""
    offer(web)

    assert web.check(TITLE) == Answer(
        2, "What this host's QEMU offers isn't known yet: run 'mthook-sync -v'."
    )
