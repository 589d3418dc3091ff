# SPDX-License-Identifier: Apache-2.0
"""Which versioned machine types each release of upstream QEMU has, and when each ends. Pure; no host is asked.

QEMU deprecates a versioned machine type after three years and deletes it after six; it has followed that since 10.1
(docs/about/deprecated.rst; ``MACHINE_VER_DELETION_MAJOR`` in include/hw/boards.h). Releases come in April, August and
December, and the major number counts the years. Vendors' own lines have other rules.
"""

from __future__ import annotations

from mthook.errors import Error
from mthook.machinetype import KNOWN_ALIASES, MachineType
from mthook.text import printable

#: Major and minor number of a release of QEMU.
Release = tuple[int, int]

#: Major releases after which a machine type is deprecated, and those after which it is deleted.
_DEPRECATED_AFTER, _DELETED_AFTER = 3, 6
#: The first release that follows the rule.
_RULED_FROM: Release = (10, 1)
#: Before that: up to which version a family was deleted, by which release (docs/about/removed-features.rst).
_DELETED_BEFORE: dict[str, tuple[tuple[Release, Release], ...]] = {
    "i440fx": (((1, 3), (6, 0)), ((1, 7), (8, 2)), ((2, 3), (9, 1))),
    "q35": (((2, 3), (2, 10)),),
}
#: The families that the rule covers.
_FAMILIES = ("i440fx", "q35", "virt", "s390-ccw-virtio", "pseries")
#: No release has a number of three digits: a name with one is made up.
_NEVER = 100
#: The year of 0.0 in the present numbering, and the month of each minor release.
_FIRST_YEAR, _MONTHS = 2015, (4, 8, 12)


def parse(text: str) -> Release:
    """Read ``10.0``, ``10.0.2`` or the like.

    :raises Error: it isn't a version of QEMU.
    """
    parts = text.split(".")
    if len(parts) not in (2, 3) or not all(p.isascii() and p.isdigit() for p in parts):
        raise Error(f"'{printable(text, 40)}' isn't a version of QEMU such as 10.0")
    return int(parts[0]), int(parts[1])


def month(release: Release) -> str:
    """Return when a release is due: ``2026-12``."""
    major, minor = release
    return f"{_FIRST_YEAR + major}-{_MONTHS[min(minor, 2)]:02}"


def following(release: Release) -> Release:
    """Return the release after one."""
    major, minor = release
    return (major, minor + 1) if minor < len(_MONTHS) - 1 else (major + 1, 0)


def end(machine: MachineType) -> Release | None:
    """Return the first release that lacks a machine type.

    :return: None where no rule tells: for aliases, and for the machine types of other vendors.
    """
    version = _ruled(machine)
    if version is None:
        return None
    for last, release in _DELETED_BEFORE.get(machine.family, ()):
        if version <= last:
            return release
    return max(_after(version, _DELETED_AFTER), _RULED_FROM)


def has(release: Release, machine: MachineType) -> bool | None:
    """Tell whether a release has a machine type; None: no rule tells."""
    if machine.name in KNOWN_ALIASES and not KNOWN_ALIASES[machine.name][1]:
        return True
    version, ends = _ruled(machine), end(machine)
    if version is None or ends is None:
        return None
    if version > release or release >= ends:
        return False
    # Some were deleted by hand shortly before the rule was followed.
    early = machine.family not in _DELETED_BEFORE and _after(version, _DELETED_AFTER) <= release
    return None if early and release < _RULED_FROM else True


def is_deprecated(release: Release, machine: MachineType) -> bool:
    """Tell whether a release that has a machine type deprecates it."""
    version = _ruled(machine)
    return version is not None and _after(version, _DEPRECATED_AFTER) <= release


def stands_for(release: Release, alias: str) -> str:
    """Return the versioned name behind an alias in a release; any other name stands for itself."""
    family = KNOWN_ALIASES.get(alias, ("", ""))[0]
    if family not in _FAMILIES or KNOWN_ALIASES[alias][1]:
        return alias
    prefix = f"pc-{family}" if family in ("i440fx", "q35") else family
    return f"{prefix}-{release[0]}.{release[1]}"


def _after(version: Release, majors: int) -> Release:
    """Return the first release a number of major ones after a version: 4.1 and 6 make 10.1."""
    major, minor = version
    # Before 3.0 there were more than three releases to a major number.
    return (major + majors, minor) if minor < len(_MONTHS) else (major + majors + 1, 0)


def _ruled(machine: MachineType) -> Release | None:
    """Return the version of a machine type that upstream's rule covers, else None."""
    if machine.vendor != "upstream" or machine.suffix or machine.version is None:
        return None
    if machine.family not in _FAMILIES or max(machine.version) >= _NEVER:
        return None
    return machine.version[:2]  # type: ignore[return-value]
