# SPDX-License-Identifier: Apache-2.0
"""Figures of hosts, added up."""

from __future__ import annotations

from mthook.operations.report.aggregates import NAMED, Aggregates, together

from .fleet import NEW, OLD, alone, drifter, host, machine


def test_hosts_stay_apart_and_their_guests_are_added_up() -> None:
    """By machine type; hosts by name."""
    beta = alone(host("beta"), machine(OLD, 2), machine(NEW, 1), drift={"running": 1})
    alpha = alone(host("alpha"), machine(OLD, 3), drift={"running": 2, "nova": 1})

    assert together([beta, alpha]) == Aggregates(
        [host("alpha"), host("beta")],
        [machine(OLD, 5, hosts=2), machine(NEW, 1)],
        {"running": 3, "nova": 1},
        [],
    )


def test_only_the_first_of_each_kind_are_named() -> None:
    """By host and name, however many there are."""
    some = [drifter(number % 10, on=f"host-{number}") for number in range(9, 0, -1)]
    stopped = drifter(1, "stopped")

    found = together([alone(host(), drifters=[one]) for one in (*some, stopped)])

    assert found.drifters == [*some[::-1][:NAMED], stopped]
