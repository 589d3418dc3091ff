# SPDX-License-Identifier: Apache-2.0
"""Upstream's rule, against what four real QEMUs offer."""

from __future__ import annotations

import pytest

from mthook import releases
from mthook.errors import Error
from mthook.machinetype import MachineType
from tests.offers import OFFERS

#: Those that the rule isn't about.
UNRULED = ("isapc", "microvm", "nitro", "x-remote", "xenfv", "xenpv")
NAMES = sorted({one.machine for found in OFFERS.values() for one in found.capabilities})


@pytest.mark.parametrize("version", OFFERS)
def test_the_rule_has_what_the_release_has(version: str) -> None:
    """Every machine type that any of the four offers, and none is left unjudged."""
    release = releases.parse(version)
    offered = {one.machine for one in OFFERS[version].capabilities}

    told = {
        name: releases.has(release, MachineType.parse(name))
        for name in NAMES
        if not name.startswith(UNRULED)
    }

    assert told == {name: name in offered for name in told}
    assert len(told) > 80


@pytest.mark.parametrize("version", ["10.0.13", "11.1.3"])
def test_the_rule_deprecates_what_the_release_deprecates(version: str) -> None:
    """Since 9.1 QEMU itself goes by it."""
    release = releases.parse(version)
    rows = [one for one in OFFERS[version].capabilities if MachineType.parse(one.machine).version]

    told = {
        one.machine: releases.is_deprecated(release, MachineType.parse(one.machine))
        for one in rows
        if not one.machine.startswith(UNRULED)
    }

    assert told == {one.machine: one.deprecated for one in rows if one.machine in told}


@pytest.mark.parametrize("version", OFFERS)
@pytest.mark.parametrize("alias", ["pc", "q35"])
def test_an_alias_stands_for_the_newest(version: str, alias: str) -> None:
    """As that release has it."""
    offer = OFFERS[version].like("x86_64", "kvm")

    assert offer is not None
    assert releases.stands_for(releases.parse(version), alias) == offer.stands_for(alias)


@pytest.mark.parametrize(
    ("machine", "end", "month"),
    [
        ("pc-q35-5.2", (11, 2), "2026-12"),
        ("pc-i440fx-7.2", (13, 2), "2028-12"),
        ("virt-6.2", (12, 2), "2027-12"),
        ("pc-q35-8.0", (14, 0), "2029-04"),
        ("pc-q35-4.0.1", (10, 1), "2025-08"),
        ("s390-ccw-virtio-2.12", (10, 1), "2025-08"),
    ],
)
def test_a_machine_type_ends_six_years_on(machine: str, end: releases.Release, month: str) -> None:
    """The release that lacks it, and when that is due."""
    found = releases.end(MachineType.parse(machine))

    assert found == end
    assert releases.month(end) == month


@pytest.mark.parametrize(
    "machine", ["pc-q35-rhel9.4.0", "pc-i440fx-jammy", "pc-i440fx-9.2+pve1", "isapc", "ubuntu"]
)
def test_no_rule_is_known_for_vendors_lines(machine: str) -> None:
    """Neither an end nor a yes or no."""
    parsed = MachineType.parse(machine)

    assert (releases.end(parsed), releases.has((99, 0), parsed)) == (None, None)


def test_what_was_deleted_by_hand_is_left_open() -> None:
    """Before 10.1 families other than those of x86 were cleaned up at different times."""
    old = MachineType.parse("s390-ccw-virtio-2.8")

    assert [releases.has(one, old) for one in ((8, 0), (9, 2), (10, 1))] == [True, None, False]


def test_the_release_after_the_third_is_the_next_years() -> None:
    """Three to a year."""
    assert [*map(releases.following, [(10, 0), (10, 2)])] == [(10, 1), (11, 0)]


@pytest.mark.parametrize("text", ["", "10", "x.y", "10.0-rc1", "１０.0", "1.2.3.4"])
def test_what_is_no_version_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(Error, match=r"isn't a version of QEMU such as 10\.0"):
        releases.parse(text)


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("pc-q35-7.2", (13, 2)),
        ("virt-8.0", (14, 0)),
        ("s390-ccw-virtio-9.1", (15, 1)),
        ("pc-i440fx-5.2", (11, 2)),
        ("pc-q35-4.0.1", (10, 1)),
        ("pc-i440fx-2.12", (10, 1)),
        ("pc-i440fx-2.3", (9, 1)),
        ("pc-1.0", (6, 0)),
        ("pc", None),
        ("pc-q35-rhel9.4.0", None),
        ("pc-i440fx-focal", None),
        ("pc-i440fx-9.2+pve1", None),
        ("nobody-knows-7.2", None),
        ("pc-i440fx-777.2", None),
        ("virt-8.7777777", None),
    ],
)
def test_upstream_removes_a_machine_type_after_six_major_releases(
    name: str, release: tuple[int, int] | None
) -> None:
    """Since 10.1, which removed all that were as old by then; some were removed before; of others nobody knows."""
    assert releases.end(MachineType.parse(name)) == release
