# SPDX-License-Identifier: Apache-2.0
"""What follows from the figures of hosts."""

from __future__ import annotations

import pytest

from mthook.operations.report.aggregates import Aggregates
from mthook.operations.report.judged import (
    ATTENTION,
    GONE,
    LATER,
    LONG,
    PROBLEMS,
    PROTECTED,
    SOON,
    UNKNOWN,
    UNPROTECTED,
    UNRULED,
    Report,
    judge,
    left_until,
)

from .fleet import AT, NEW, OLD, alone, fleet, host, machine

YESTERDAY = "2026-11-28T12:00:00.000000Z"


def of(*hosts: Aggregates) -> Report:
    """Return what follows from one host."""
    (one,) = hosts
    return judge(one, AT)


def test_a_host_that_lacks_nothing_is_protected() -> None:
    """And nothing is left to do."""
    found = of(alone(host(), machine(NEW, 5)))

    assert (found.standing, found.hosts[0].problems, found.steps) == (PROTECTED, (), [])


@pytest.mark.parametrize(
    ("more", "problems", "standing"),
    [
        ({"mode": "audit"}, ("audit",), UNPROTECTED),
        ({"mode": "off"}, ("off",), UNPROTECTED),
        ({"proven": False}, ("unproven",), UNPROTECTED),
        ({"unpinned": 1}, ("unpinned",), UNPROTECTED),
        ({"ran_at": None}, ("never_synced",), UNKNOWN),
        ({"ran_at": "2026-11-29T11:59:59.000000Z"}, ("stale",), UNKNOWN),
        ({"ran_at": YESTERDAY, "as_of": YESTERDAY}, ("stale",), UNKNOWN),
        ({"errors": 2}, ("errors",), ATTENTION),
        ({"drifting": 2}, ("drift",), ATTENTION),
        ({"unstartable": 2}, ("unstartable",), ATTENTION),
        ({"unstartable": None}, (), PROTECTED),
        ({"mode": "<b>"}, ("unproven",), UNPROTECTED),
        ({"ran_at": "lately"}, ("stale",), UNKNOWN),
        ({"ran_at": "2027-11-29T12:58:00.000000Z"}, ("stale",), UNKNOWN),
        ({"ran_at": "2026-11-29T13:10:00.000000Z"}, (), PROTECTED),  # a clock that is ahead
        ({"ran_at": None, "proven": False}, ("never_synced", "unproven"), UNPROTECTED),
    ],
)
def test_a_host_stands_as_its_worst_problem(
    more: dict[str, object], problems: tuple[str, ...], standing: str
) -> None:
    """A sync runs every few minutes; figures that were carried here are believed for a day."""
    found = of(alone(host(**more)))

    assert found.hosts[0].problems == problems
    assert found.hosts[0].standing == standing


def test_without_a_sync_nothing_is_known() -> None:
    """It is never called protected, and the first step is to set mthook up."""
    found = of(alone(host(ran_at=None, proven=False, mode="audit", guests=0)))

    assert (found.known, found.standing) == (False, UNKNOWN)
    assert [one.kind for one in found.steps] == ["set_up"]
    assert (judge(Aggregates(), AT).known, judge(Aggregates(), AT).standing) == (False, UNKNOWN)


def test_the_worst_hosts_come_first() -> None:
    """The whole stands as they do."""
    found = judge(fleet(), AT)

    assert found.standing == UNPROTECTED
    assert [one.host.name[-1] for one in found.hosts] == list("5674123")
    assert found.standings == {UNPROTECTED: 2, UNKNOWN: 1, ATTENTION: 1, PROTECTED: 3}


def test_steps_come_in_the_order_of_the_problems() -> None:
    """With the hosts and numbers that they are about; what ends comes last."""
    steps = judge(fleet(), AT).steps

    assert [(one.kind, one.number, *one.hosts) for one in steps] == [
        ("stale", 0, "compute-7"),
        ("errors", 5, "compute-5"),
        ("unpinned", 2, "compute-5"),
        ("unstartable", 1, "compute-5"),
        ("drift", 3, "compute-4"),
        ("audit", 0, "compute-6"),
        ("ending", 18),
    ]
    assert steps[-1].release == (11, 2)
    assert {one.kind for one in steps} < {*PROBLEMS, "ending"}


def test_families_are_sorted_by_age() -> None:
    """Those with most guests first; what no rule tells last; no pin without a guest."""
    families = judge(fleet(), AT).families

    assert [(one.name, one.guests) for one in families] == [
        ("i440fx", 121),
        ("q35", 71),
        ("virt", 8),
    ]
    assert [one.figures.name for one in families[0].types] == [
        "pc-i440fx-2.3",
        "pc-i440fx-5.2",
        OLD,
        "pc-i440fx-7.2",
    ]
    assert [one.left for one in families[0].types] == [GONE, SOON, LATER, LATER]
    assert [one.left for one in families[1].types] == [LATER, LONG, UNRULED]


def test_pins_end_with_releases_in_their_order() -> None:
    """What QEMU deleted by hand too; aliases and other vendors' machine types last."""
    endings = judge(fleet(), AT).endings

    assert [(one.release, one.month, one.pins) for one in endings] == [
        ((9, 1), "2024-08", 1),
        ((11, 2), "2026-12", 17),
        ((12, 2), "2027-12", 81),
        ((13, 2), "2028-12", 62),
        ((15, 2), "2030-12", 8),
        ((16, 0), "2031-04", 20),
        (None, "", 15),
    ]
    assert [one.name for one in endings[-1].types] == ["pc-q35-rhel9.4.0", "pc"]


@pytest.mark.parametrize(
    ("release", "left"),
    [
        ((11, 1), GONE),  # August
        ((11, 2), SOON),  # December
        ((12, 1), SOON),
        ((12, 2), LATER),
        ((14, 1), LATER),
        ((14, 2), LONG),
        (None, UNRULED),
    ],
)
def test_how_long_a_release_is_away(release: tuple[int, int] | None, left: str) -> None:
    """As of November 2026."""
    assert left_until(release, AT) == left


def test_numbers_that_make_no_sense_are_left_out() -> None:
    """They come from hosts, too."""
    found = of(alone(host(), machine(OLD, -3), machine(NEW, 0, 0)))

    assert (found.families, found.endings) == ([], [])


def test_a_name_that_no_machine_type_has_is_a_family_of_its_own() -> None:
    """As is a guest whose machine type isn't known."""
    found = of(alone(host(), machine("a b", 1), machine("", 2)))

    assert [(one.name, one.guests) for one in found.families] == [("", 3)]
