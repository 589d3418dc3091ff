# SPDX-License-Identifier: Apache-2.0
"""What would become of guests, against what four real QEMUs offer."""

from __future__ import annotations

from typing import Any

import pytest

from mthook.operations.forecast.guests import Guest
from mthook.operations.forecast.outlook import Cure, Outlook, forecast
from mthook.operations.forecast.prospects import Offered, Prospect, Qemu, Released
from tests.offers import OFFERS

NOW, NEXT, LATER = (Offered(OFFERS[version]) for version in ("7.2.22", "10.0.13", "11.1.3"))
UUID = "3f2c1d3e-0000-4000-8000-000000000001"


def outlook(
    qemu: Qemu = LATER, *, defaults: Any = None, enforcing: bool = True, **facts: Any
) -> Outlook:
    """Return the outlook of one guest on a host with Debian 12's QEMU."""
    guest = Guest(UUID, "web-1", "shut off", "x86_64", "kvm", **facts)
    prospect = Prospect(qemu, NOW, enforcing=enforcing, new_defaults=defaults or {})
    (found,) = forecast([guest], prospect)
    return found


def outcomes(found: Outlook) -> dict[str, str]:
    """Return the outcome of each kind of event."""
    return {event.kind: event.outcome for event in found.events}


def test_what_the_next_qemu_has_starts() -> None:
    """Nothing is to be done; its end is known."""
    found = outlook(pin="pc-i440fx-7.2", defined="pc-i440fx-7.2")

    assert (outcomes(found), found.cures, found.breaks) == ({"start": "works"}, [], False)
    assert found.end == (13, 2)


def test_what_it_lacks_is_set_to_a_newer_one_that_lasts() -> None:
    """One that both have: it works before and after."""
    found = outlook(pin="pc-q35-4.2", defined="pc-q35-4.2")
    assert outcomes(found) == {"start": "fails"}
    # All that Debian 12 has too are deprecated: the newest.
    assert found.cures == [Cure("set", "pc-q35-7.2")]

    # The nearest that isn't deprecated.
    found = outlook(NEXT, pin="pc-i440fx-2.3", defined="pc-i440fx-2.3")
    assert found.cures == [Cure("set", "pc-i440fx-7.1")]


def test_a_guest_that_runs_migrates_as_what_it_runs() -> None:
    """And is set while it runs."""
    found = outlook(pin="pc-q35-4.2", defined="pc-q35-4.2", running="pc-q35-4.2", windows=True)

    assert outcomes(found) == {"start": "fails", "migration": "fails"}
    assert found.cures == [Cure("set", "pc-q35-7.2", ("running", "windows"))]


def test_saved_state_has_machine_types_of_its_own() -> None:
    """What can't be restored is resumed under the old QEMU; snapshots are deleted."""
    found = outlook(
        pin="pc-q35-7.2",
        defined="pc-q35-7.2",
        saved="pc-q35-3.1",
        snapshots={"old": ["pc-q35-3.1"], "new": ["pc-q35-7.2"]},
    )

    assert [(e.kind, e.outcome, e.snapshot) for e in found.events] == [
        ("start", "works", None),
        ("restore", "fails", None),
        ("revert", "fails", "old"),
        ("revert", "works", "new"),
    ]
    assert found.cures == [Cure("resume"), Cure("shut_down"), Cure("delete_snapshot", "old")]
    assert found.end == (10, 1)


def test_an_alias_changes_the_hardware() -> None:
    """To freeze it keeps what it is."""
    found = outlook(pin="pc", seen="pc-i440fx-7.2", defined="pc-i440fx-7.2")

    (event,) = found.events
    assert (event.outcome, event.becomes) == ("changes", "pc-i440fx-11.1")
    assert found.cures == [Cure("freeze")]


def test_a_vendors_line_is_judged_by_offers_alone() -> None:
    """By a version number nobody can tell."""
    facts = {"pin": "pc-q35-rhel9.4.0", "defined": "pc-q35-rhel9.4.0"}

    assert outcomes(outlook(**facts)) == {"start": "fails"}
    assert outcomes(outlook(Released((11, 1)), **facts)) == {"start": "unknown"}


def test_the_rule_finds_a_cure_without_a_list() -> None:
    """Among what this host offers now."""
    found = outlook(Released((13, 2)), pin="pc-i440fx-7.2", defined="pc-i440fx-7.2")

    assert (outcomes(found), found.cures) == ({"start": "fails"}, [])
    found = outlook(Released((12, 2)), pin="pc-i440fx-6.2", defined="pc-i440fx-6.2")
    assert found.cures == [Cure("set", "pc-i440fx-7.2")]


def test_nova_defines_by_its_record_and_migrates_by_the_request_spec() -> None:
    """Without either an instance gets the default."""
    facts: dict[str, Any] = {
        "nova": True,
        "in_nova": True,
        "has_spec": True,
        "defined": "pc-i440fx-7.2",
    }

    found = outlook(**facts, recorded="pc-i440fx-7.2", spec=None)
    assert outcomes(found) == {"start": "works", "migration": "changes"}
    assert found.cures == [Cure("specify")]
    assert outcomes(outlook(**facts, recorded=None, spec="pc-i440fx-7.2")) == {
        "start": "changes",
        "migration": "works",
    }


@pytest.mark.parametrize(
    ("facts", "outcome", "cures"),
    [
        ({"defined": "pc-i440fx-7.2"}, "works", []),
        ({"defined": "pc-i440fx-7.2", "nova": True}, "unknown", []),
        ({"defined": "pc-i440fx-7.2", "nova": True, "pin": "pc-i440fx-7.2"}, "works", []),
        ({"defined": "pc-i440fx-7.2", "nova": True, "in_nova": True}, "changes", [Cure("pin")]),
        (
            {
                "defined": "pc-i440fx-7.2",
                "nova": True,
                "in_nova": True,
                "recorded": "pc-i440fx-7.2",
            },
            "works",
            [],
        ),
    ],
)
def test_a_new_default_reaches_those_alone_that_nothing_holds(
    facts: dict[str, Any], outcome: str, cures: list[Cure]
) -> None:
    """A definition of libvirt's has its machine type; Nova's instances may have none."""
    found = outlook(NOW, defaults={"x86_64": "q35"}, **facts)

    assert (outcomes(found), found.cures) == ({"start": outcome}, cures)


def test_nova_without_the_record_of_a_pin_is_told_it() -> None:
    """In audit mode nothing holds the instance to its pin."""
    found = outlook(
        NOW,
        defaults={"x86_64": "q35"},
        enforcing=False,
        nova=True,
        in_nova=True,
        pin="pc-i440fx-7.2",
        defined="pc-i440fx-7.2",
    )

    assert (outcomes(found), found.cures) == ({"start": "changes"}, [Cure("record")])


def test_a_guest_of_another_architecture_cannot_be_judged() -> None:
    """And one whose XML can't be read neither."""
    guest = Guest(UUID, "arm", "shut off", "aarch64", "kvm", defined="virt-7.2")
    broken = Guest(UUID, "odd", "shut off", problem="odd: no <os>")

    found = list(forecast([guest, broken], Prospect(LATER, NOW)))

    assert [one.outcome for one in found] == ["unknown", "unknown"]


def test_a_32_bit_guest_runs_in_the_64_bit_emulator() -> None:
    """As libvirt has it."""
    guest = Guest(UUID, "old", "shut off", "i686", "kvm", defined="pc-i440fx-7.2")

    (found,) = forecast([guest], Prospect(NEXT, NOW))

    assert found.outcome == "works"
