# SPDX-License-Identifier: Apache-2.0
"""Who wins between a pin and Nova's record, in every case there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import pytest

from mthook import reconcile
from mthook.reconcile import (
    ASK_GUEST,
    FILLED_IN,
    KEEP,
    NOBODY_KNOWS,
    NOVA,
    OVERRULE,
    PULL,
    PUSH,
    REFUSED,
    SOMEBODY,
    UNSURE,
)

if TYPE_CHECKING:
    from mthook.reconcile import Action, Compared

OLD, NEW = "pc-i440fx-7.2", "pc-i440fx-8.0"
DEFAULT = "q35"


@pytest.mark.parametrize("by_operator", [False, True])
@pytest.mark.parametrize(
    ("pin", "recorded", "outcome"),
    [
        (OLD, OLD, KEEP),
        (OLD, None, PUSH),
        (None, OLD, PULL),
        (None, None, ASK_GUEST),
    ],
)
@pytest.mark.parametrize("compared", [None, (OLD, 7, None), (None, None, None)])
@pytest.mark.parametrize("author", [SOMEBODY, NOVA, FILLED_IN, NOBODY_KNOWS])
def test_where_one_side_has_nothing_the_other_counts(
    pin: Optional[str],
    recorded: Optional[str],
    outcome: str,
    by_operator: bool,
    compared: Optional[Compared],
    author: str,
) -> None:
    """A missing record is nobody's wish, whatever was there before."""
    assert outcome == reconcile.reconcile(
        *(pin, recorded, 7),
        by_operator=by_operator,
        compared=compared,
        rebuilt=False,
        default=DEFAULT,
        author=author,
    )


@pytest.mark.parametrize(
    ("compared", "by_operator", "outcomes"),
    [
        # What somebody put into Nova's record wins, known before or not; what Nova wrote there itself never does.
        (None, False, {SOMEBODY: PULL, NOVA: PUSH, NOBODY_KNOWS: UNSURE}),
        ((OLD, 7, None), False, {SOMEBODY: PULL, NOVA: PUSH, NOBODY_KNOWS: UNSURE}),
        ((NEW, 7, None), False, {SOMEBODY: PULL, NOVA: PUSH, NOBODY_KNOWS: UNSURE}),
        # An operator's pin which Nova hasn't got yet wins over what Nova had when it was set …
        (None, True, {SOMEBODY: PUSH, NOVA: PUSH, NOBODY_KNOWS: PUSH}),
        ((NEW, 7, None), True, {SOMEBODY: PUSH, NOVA: PUSH, NOBODY_KNOWS: PUSH}),
        # … but not over what somebody put there since.
        (("q35", 7, None), True, {SOMEBODY: OVERRULE, NOVA: PUSH, NOBODY_KNOWS: UNSURE}),
        ((None, None, None), True, {SOMEBODY: OVERRULE, NOVA: PUSH, NOBODY_KNOWS: UNSURE}),
        # Nova had it: its record was changed since.
        ((OLD, 7, None), True, {SOMEBODY: PULL, NOVA: PUSH, NOBODY_KNOWS: UNSURE}),
    ],
)
def test_where_both_differ(
    compared: Optional[Compared], by_operator: bool, outcomes: dict[str, str]
) -> None:
    """The pin is OLD, Nova has NEW."""
    assert outcomes == {
        author: reconcile.reconcile(
            *(OLD, NEW, 7),
            by_operator=by_operator,
            compared=compared,
            rebuilt=False,
            default=DEFAULT,
            author=author,
        )
        for author in outcomes
    }


@pytest.mark.parametrize(
    ("row", "recorded", "default", "outcome"),
    [
        (8, "q35", "q35", PUSH),
        # Nobody fills in what is there, and nova-compute nothing but its default.
        (7, "q35", "q35", UNSURE),
        (8, "q35", "pc", UNSURE),
        (8, "q35", None, UNSURE),
    ],
)
@pytest.mark.parametrize("by_operator", [False, True])
def test_what_nova_fills_in_from_its_configuration_is_no_wish(
    row: int, recorded: str, default: Optional[str], outcome: str, by_operator: bool
) -> None:
    """It had the pin, lost it, and nova-compute started again: the new row has another number."""
    assert outcome == reconcile.reconcile(
        *(OLD, recorded, row),
        by_operator=by_operator,
        compared=(OLD, 7, None),
        rebuilt=False,
        default=default,
        author=FILLED_IN,
    )


@pytest.mark.parametrize(
    ("recorded", "compared", "outcome"),
    [
        ("pc", None, PULL),
        ("pc", (OLD, 7, None), UNSURE),  # frozen before
        ("q35", None, UNSURE),
        ("pc; reboot", None, UNSURE),
    ],
)
@pytest.mark.parametrize("author", [FILLED_IN, NOBODY_KNOWS])
def test_an_alias_for_what_runs_is_novas_first_record(
    author: str, recorded: str, compared: Optional[Compared], outcome: str
) -> None:
    """Of an instance whose creation nobody remembers."""
    assert outcome == reconcile.reconcile(
        *(OLD, recorded, 8),
        by_operator=False,
        compared=compared,
        rebuilt=False,
        default="virt",
        author=author,
    )


CREATE: Action = ("create", 0.0, 9.0)


@pytest.mark.parametrize("name", reconcile.OVERWRITING)
@pytest.mark.parametrize("renewed", [True, False])
@pytest.mark.parametrize(
    ("began", "ended", "author"),
    [
        (100.0, 130.0, NOVA),
        (120.0, 120.0, NOVA),
        (100.0, None, NOVA),  # it goes on
        (100.0, 118.0, NOVA),  # what comes after an action's last event
        (100.0, 117.0, None),
        (123.0, 130.0, None),
    ],
)
def test_what_is_written_in_an_action_is_novas(
    name: str, renewed: bool, began: float, ended: Optional[float], author: Optional[str]
) -> None:
    """At 120, in place or in a row of its own. Else an operator was at it, or nova-compute's start."""
    otherwise = SOMEBODY if renewed else FILLED_IN
    assert (author or otherwise) == reconcile.author(
        120.0, renewed=renewed, actions=[CREATE, (name, began, ended)], moves=[]
    )


@pytest.mark.parametrize(
    ("what", "renewed", "actions", "moves", "author"),
    [
        ("nova-manage on a stopped instance", True, [CREATE, ("stop", 100, 101)], [], SOMEBODY),
        ("then a start", True, [CREATE, ("start", 121, None)], [], SOMEBODY),
        ("in the same second", True, [CREATE, ("start", 120, None)], [], NOBODY_KNOWS),
        ("then a cold migration", True, [CREATE, ("migrate", 121, None)], [], SOMEBODY),
        ("before a confirmed resize", True, [CREATE, ("resize", 20, 40)], [(20, 60)], SOMEBODY),
        ("a first record", False, [("create", 100, 125)], [], SOMEBODY),
        ("a first record, rescheduled", True, [("create", 100, 125)], [], SOMEBODY),
        ("a rebuild", False, [CREATE, ("rebuild", 119, 150)], [], SOMEBODY),
        ("a refused rebuild", False, [CREATE, (REFUSED, 119, 121)], [], NOVA),
        ("lost, then a hard reboot", False, [CREATE, ("reboot", 115, 121)], [], NOVA),
        ("put right meanwhile", True, [CREATE, ("reboot", 115, 121)], [], NOVA),
        ("lost, then a start of nova-compute", False, [CREATE], [], FILLED_IN),
        ("purged", True, [], [], NOBODY_KNOWS),
        ("purged up to later", True, [("reboot", 200, 201)], [], NOBODY_KNOWS),
        ("purged, at a migration", True, [], [(110, 130)], NOVA),
        ("purged, long after one", True, [], [(20, 60)], NOBODY_KNOWS),
        ("a migration without an action", True, [CREATE], [(110, 130)], NOBODY_KNOWS),
        ("a service that died half-way", True, [("migrate", 1, 2)], [(2, None)], NOBODY_KNOWS),
        ("and came back", True, [CREATE, ("migrate", 110, 112)], [(111, 300)], NOBODY_KNOWS),
        ("nothing at all", False, [], [], FILLED_IN),
    ],
)
def test_who_wrote_is_told_by_what_was_done(
    what: str,
    renewed: bool,
    actions: list[Action],
    moves: list[tuple[float, Optional[float]]],
    author: str,
) -> None:
    """At 120."""
    assert author == reconcile.author(120.0, renewed=renewed, actions=actions, moves=moves), what


def test_a_record_without_a_time_tells_nothing() -> None:
    """Whatever was done."""
    actions = [CREATE, ("migrate", 0.0, None)]
    assert (
        reconcile.author(None, renewed=False, actions=actions, moves=[]) == reconcile.NOBODY_KNOWS
    )


@pytest.mark.parametrize(("recorded", "outcome"), [(None, ASK_GUEST), (OLD, PULL), (NEW, PULL)])
@pytest.mark.parametrize("by_operator", [False, True])
def test_after_a_rebuild_the_pin_counts_no_more(
    recorded: Optional[str], outcome: str, by_operator: bool
) -> None:
    """Not even an operator's."""
    assert outcome == reconcile.reconcile(
        OLD,
        recorded,
        7,
        by_operator=by_operator,
        compared=(OLD, 7, None),
        rebuilt=True,
        default=DEFAULT,
        author=NOVA,
    )


BEFORE, PINNED, AFTER = (f"2026-11-22T1{hour}:00:00.000000Z" for hour in range(3))


@pytest.mark.parametrize(
    ("rebuild", "began", "compared", "by_operator", "rebuilt"),
    [
        (None, "", None, False, False),
        (None, "", (OLD, 7, 3), False, False),
        # Never compared: times tell.
        (4, AFTER, None, False, True),
        (4, BEFORE, None, False, False),
        # Compared: rows tell, for the clocks of two hosts may differ.
        (4, BEFORE, (OLD, 7, 3), False, True),
        (4, BEFORE, (OLD, 7, None), False, True),
        (3, AFTER, (OLD, 7, 3), False, False),
        # What an operator said after the rebuild holds.
        (4, BEFORE, (OLD, 7, 3), True, False),
        (4, AFTER, (OLD, 7, 3), True, True),
        (3, AFTER, (OLD, 7, 3), True, False),
        (4, AFTER, None, True, True),
    ],
)
def test_a_rebuild_is_known_by_its_row(
    rebuild: Optional[int],
    began: str,
    compared: Optional[Compared],
    by_operator: bool,
    rebuilt: bool,
) -> None:
    """The pin is from between two rebuilds."""
    assert rebuilt is reconcile.is_rebuilt(
        rebuild, began, compared, PINNED, by_operator=by_operator
    )


@pytest.mark.parametrize(
    ("arch", "configured", "machine"),
    [
        ("x86_64", [], "pc"),
        ("x86_64", ["x86_64=q35", "aarch64=virt-6.2"], "q35"),
        ("aarch64", ["x86_64=q35", "aarch64=virt-6.2"], "virt-6.2"),
        ("aarch64", ["x86_64=q35"], "virt"),
        ("x86_64", ["q35", "x86_64=", "x86_64 = pc-q35-7.2", " x86_64=q35", "X86_64=q35"], "pc"),
        ("x86_64", ["x86_64=", "x86_64=pc-q35-7.2"], "pc-q35-7.2"),
        ("x86_64", ["x86_64= q35"], " q35"),
        ("x86_64", ["x86_64=q35", "x86_64=pc"], "q35"),
        ("armv7l", [], "virt"),
        ("ppc64le", [], "pseries"),
        ("s390", [], "s390-ccw-virtio"),
        ("s390x", [], "s390-ccw-virtio"),
        ("i686", [], "pc"),
        ("riscv64", [], None),
        ("riscv64", ["riscv64=virt"], "virt"),
    ],
)
def test_the_default_is_novas(arch: str, configured: list[str], machine: Optional[str]) -> None:
    """The first entry for an architecture counts, entries that say nothing don't."""
    assert reconcile.default_machine(arch, configured) == machine
