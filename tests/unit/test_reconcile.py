# SPDX-License-Identifier: Apache-2.0
"""Who wins between a pin and Nova's record, in every case there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import pytest

from mthook import reconcile
from mthook.reconcile import ASK_GUEST, KEEP, OVERRULE, PULL, PUSH

if TYPE_CHECKING:
    from mthook.reconcile import Compared

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
def test_where_one_side_has_nothing_the_other_counts(
    pin: Optional[str],
    recorded: Optional[str],
    outcome: str,
    by_operator: bool,
    compared: Optional[Compared],
) -> None:
    """A missing record is nobody's wish, whatever was there before."""
    assert outcome == reconcile.reconcile(
        pin, recorded, 7, by_operator=by_operator, compared=compared, rebuilt=False, default=DEFAULT
    )


@pytest.mark.parametrize(
    ("compared", "by_operator", "outcome"),
    [
        # Nova's record wins, known before or not.
        (None, False, PULL),
        ((OLD, 7, None), False, PULL),
        ((NEW, 7, None), False, PULL),
        # An operator's pin which Nova hasn't got yet wins over what Nova had when it was set …
        (None, True, PUSH),
        ((NEW, 7, None), True, PUSH),
        # … but not over what somebody put there since.
        (("pc-i440fx-6.2", 7, None), True, OVERRULE),
        ((None, None, None), True, OVERRULE),
        # Nova had it: its record was changed since, and wins.
        ((OLD, 7, None), True, PULL),
    ],
)
def test_where_both_differ(compared: Optional[Compared], by_operator: bool, outcome: str) -> None:
    """The pin is OLD, Nova has NEW."""
    assert outcome == reconcile.reconcile(
        OLD, NEW, 7, by_operator=by_operator, compared=compared, rebuilt=False, default=DEFAULT
    )


@pytest.mark.parametrize(
    ("row", "recorded", "default", "outcome"),
    [
        (8, "q35", "q35", PUSH),
        (7, "q35", "q35", PULL),  # the same row: somebody changed it
        (8, "q35", "pc", PULL),  # not what Nova records by itself
        (8, "q35", None, PULL),
    ],
)
@pytest.mark.parametrize("by_operator", [False, True])
def test_what_nova_fills_in_from_its_configuration_is_no_wish(
    row: int, recorded: str, default: Optional[str], outcome: str, by_operator: bool
) -> None:
    """It had the pin, lost it, and nova-compute started again: the new row has another number."""
    assert outcome == reconcile.reconcile(
        OLD,
        recorded,
        row,
        by_operator=by_operator,
        compared=(OLD, 7, None),
        rebuilt=False,
        default=default,
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
