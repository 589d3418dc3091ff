# SPDX-License-Identifier: Apache-2.0
"""The figures of this host, from a catalog that says what there is."""

from __future__ import annotations

from mthook.operations.report import here
from mthook.operations.report.aggregates import Aggregates, MachineFigures
from mthook.text import now
from tests.unit.operations.test_metrics import (
    GONE,
    NEW,
    OLD,
    OLDEST,
    Place,
    guest,
    place,
    uuid,
)

__all__ = ["place"]


def figures(place: Place) -> Aggregates:
    """Return those of the place."""
    with place.context() as context:
        return here.figures(context)


def test_report_and_figures_agree(place: Place) -> None:
    """Guests by machine type, pins, drift, what can't start, what is deprecated, the guard and the sync."""
    place.configure("[hook]\nmode = audit\n[DEFAULT]\nhost = alpha\n")
    for number, machine in enumerate((OLD, OLDEST, "pc", OLDEST, GONE)):
        place.pin(number, machine)
    place.see(guest(9, OLD))  # it leaves
    place.see(
        guest(0, NEW, NEW),  # drifted
        guest(1, OLDEST),
        guest(2, "pc"),
        guest(3, NEW),
        guest(4, GONE),
        guest(5, OLD, OLD),  # without a pin
    )
    with place.catalog() as catalog:
        catalog.set_run(now(), 2)
    found, told = figures(place), place.figures()

    (host,) = found.hosts
    guests: dict[str, float] = {}
    for (machine, _, _), number in told["mthook_guests"].items():
        guests[machine] = guests.get(machine, 0) + number
    assert {one.name: one.guests for one in found.machines if one.guests} == guests
    assert sum(one.pins for one in found.machines) == sum(told["mthook_pins_ending"].values()) == 5
    assert {(kind,): number for kind, number in found.drift.items()} == told["mthook_drift"]
    assert host.unpinned == told["mthook_unpinned_guests"][()] == 1
    assert host.unstartable == told["mthook_unstartable_guests"][()] == 1
    deprecated = [n for (*_, word), n in told["mthook_guests"].items() if word == "yes"]
    assert host.deprecated == sum(deprecated) == 2
    assert (host.name, host.mode, host.errors) == ("alpha", "audit", 2)
    assert (host.proven, told["mthook_guard_proven"][()]) == (False, 0)
    assert (host.guests, host.running, host.drifting) == (6, 2, 2)


def test_a_guest_and_its_pin_can_be_of_different_machine_types(place: Place) -> None:
    """Each counts as what it is; who drifts is named, by Nova's name where there is one."""
    place.pin(0, OLD)
    place.see(guest(0, OLD, NEW))
    with place.catalog() as catalog:
        catalog.see_instances({uuid(0): ("web-1", "active")})

    found = figures(place)

    assert found.machines == [MachineFigures(OLD, 0, 0, 1, 1), MachineFigures(NEW, 1, 1, 0, 1)]
    (drifter,) = found.drifters
    assert (drifter.name, drifter.pin, drifter.where, drifter.machine) == (
        "web-1",
        OLD,
        "running",
        NEW,
    )


def test_of_a_host_without_a_sync_nothing_is_made_up(place: Place) -> None:
    """No time, no machine types."""
    found = figures(place)

    (host,) = found.hosts
    assert (host.ran_at, host.guests, found.machines) == (None, 0, [])
