# SPDX-License-Identifier: Apache-2.0
"""Where disks are on a bus: their names and drive addresses, as libvirt reads them."""

from __future__ import annotations

import functools
import itertools
import string
from collections.abc import Iterator

from lxml import etree

from mthook.xmlrewrite import elements
from mthook.xmlrewrite.family.board import addresses, number
from mthook.xmlrewrite.family.naming import named

#: How many disks the one IDE controller of an i440fx takes.
MAX_IDE = 4
#: How many disks a SATA controller takes.
SATA_UNITS = 6
_NONE = etree.Element("target")
#: libvirt's prefixes of disk names, the longest first.
_PREFIXES = ("xvd", "ubd", "fd", "hd", "vd", "sd")


def target(disk: etree._Element) -> etree._Element:
    """Return a disk's ``<target>``, an empty one where it has none."""
    return next(disk.iterchildren("target"), _NONE)


def names(prefix: str) -> Iterator[str]:
    """Yield ``sda`` … ``sdz``, ``sdaa`` and so on."""
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            yield prefix + "".join(letters)


def name_index(disk: etree._Element) -> int:
    """Return which disk a name means, 0 for ``sda``; also 0 for any other text."""
    return _index(target(disk).get("dev", ""))


@functools.lru_cache(maxsize=1024)
def _index(name: str) -> int:
    letters = next((name[len(p) :] for p in _PREFIXES if name.startswith(p)), "")
    letters = letters.rstrip(string.digits)
    index = 0
    for letter in letters[:6]:
        if letter not in string.ascii_lowercase:
            return 0
        index = index * 26 + ord(letter) - ord("a") + 1
    return max(index - 1, 0)


def controller_of(disk: etree._Element) -> int:
    """Return the index of the SATA controller that a disk is on."""
    for address in addresses(disk, "drive"):
        return number(address.get("controller"))
    return name_index(disk) // SATA_UNITS


def units(moving: list[etree._Element], present: list[etree._Element]) -> list[int]:
    """Return a free SATA unit for every IDE disk, as near to its old place as possible.

    :return: numbers that count on over the controllers, six units each.
    """
    taken = {sata_unit(disk) for disk in present}
    found = []
    for disk in moving:
        unit = next(unit for unit in itertools.count(ide_unit(disk)) if unit not in taken)
        taken.add(unit)
        found.append(unit)
    return found


def need_places(disks: list[etree._Element]) -> bool:
    """Tell whether these disks need explicit units, as libvirt can't be left to give them by name."""
    placed = any(True for disk in disks for _ in addresses(disk, "drive"))
    return placed or len({name_index(disk) for disk in disks}) < len(disks)


def place(disk: etree._Element, unit: int) -> list[str]:
    """Give a disk the drive address of a SATA unit."""
    address = next(addresses(disk, "drive"), None)
    if address is None:
        address = etree.Element("address", type="drive")
        elements.append(disk, address)
    wanted = {
        "controller": str(unit // SATA_UNITS),
        "bus": "0",
        "target": "0",
        "unit": str(unit % SATA_UNITS),
    }
    if all(address.get(name) == value for name, value in wanted.items()):
        return []
    for name, value in wanted.items():
        address.set(name, value)
    return [f"{named(disk)}: SATA unit {unit % SATA_UNITS} of controller {unit // SATA_UNITS}"]


def sata_unit(disk: etree._Element) -> int:
    """Return a disk's place on SATA; numbers count on over the controllers, six units each."""
    for address in addresses(disk, "drive"):
        return number(address.get("controller")) * SATA_UNITS + number(address.get("unit"))
    return name_index(disk)


def ide_unit(disk: etree._Element) -> int:
    """Return a disk's place on IDE, two units on each of two buses, by address or else by name."""
    for address in addresses(disk, "drive"):
        parts = [number(address.get(name)) for name in ("controller", "bus", "unit")]
        return parts[0] * 4 + parts[1] * 2 + parts[2]
    return name_index(disk)
