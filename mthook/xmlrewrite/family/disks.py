# SPDX-License-Identifier: Apache-2.0
"""IDE and SATA: an i440fx has the one on board, a q35 the other.

Disks keep their names, serials and boot order. A guest that isn't Nova's keeps SATA disks on an
i440fx, where libvirt gives it an AHCI card. Nova gives the same instance other buses and names for
its CD-ROMs on each board (nova/virt/libvirt/blockinfo.py), and so do these passes.
"""

from __future__ import annotations

from lxml import etree

from mthook.errors import ConversionError
from mthook.xmlrewrite import elements
from mthook.xmlrewrite.family import drives
from mthook.xmlrewrite.family.board import (
    Conversion,
    addresses,
    bus_of,
    controllers,
    devices,
    disks_on,
    nova_setting,
)
from mthook.xmlrewrite.family.naming import named


def drop_built_in(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Drop the old board's own disk controller.

    A q35 has no IDE: ``IDE controllers are unsupported for this QEMU binary or machine type``. On
    an i440fx a SATA controller without disks would be a new card.
    """
    if conversion.to_q35:
        dropped = controllers(domain, "ide")
    else:
        used = {drives.controller_of(disk) for disk in disks_on(domain, "sata")}
        dropped = [
            one
            for one in controllers(domain, "sata")
            if one.get("index", "0") == "0" and 0 not in used
        ]
    for controller in dropped:
        elements.remove(controller)
    return [f"{named(controller)}: removed, part of {conversion.old}" for controller in dropped]


def ide_to_sata(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Move IDE disks to SATA, in their order, to units that are free.

    ``IDE controllers are unsupported for this QEMU binary or machine type``; with the old address
    ``bus must be 0 for sata controller``, with none and SATA disks beside it ``Found duplicate
    drive address for disk with target name 'hda'``; ``CHS translation mode can only be set for
    'ide' bus not 'sata'``.
    """
    moving = disks_on(domain, "ide") if conversion.to_q35 else []
    if not moving:
        return []
    present = disks_on(domain, "sata")
    before = _order(domain) if present else []
    changes = []
    units = drives.units(moving, present)
    taken = _names(domain) if conversion.nova else set()
    for disk in sorted(moving, key=drives.ide_unit):
        if conversion.nova:
            changes += _rename(disk, "sd", taken)
        changes += _set_bus(disk, "sata") + _drop_translation(disk)
    if drives.need_places([*moving, *present]):
        for disk, unit in zip(moving, units):
            changes += drives.place(disk, unit)
    if any(disk.get("device", "disk") == "disk" for disk in moving):
        changes.append("IDE disks are SATA disks now: to boot from one takes an AHCI driver")
    return changes + (_check_order(domain, before) if present else [])


def sata_to_ide(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Give a Nova CD-ROM, such as a config drive, the bus and name that Nova gives it on i440fx.

    With its old address libvirt defines it, but a start fails: ``Can't create IDE unit 2, bus
    supports only 2 units``; a fifth one is refused: ``Only 1 IDE controller is supported``.
    """
    if conversion.to_q35 or not conversion.nova:
        return []
    if nova_setting(domain, "hw_cdrom_bus") == "sata":
        return []  # whatever the board
    changes = []
    room = drives.MAX_IDE - len(disks_on(domain, "ide"))
    taken = _names(domain)
    cdroms = [disk for disk in disks_on(domain, "sata") if disk.get("device") == "cdrom"]
    for disk in cdroms[: max(room, 0)]:
        changes += _rename(disk, "hd", taken) + _set_bus(disk, "ide")
        for address in addresses(disk, "drive"):
            elements.remove(address)
            changes.append(f"{named(disk)}: drive address → chosen by libvirt")
    return changes


def _names(domain: etree._Element) -> set[str]:
    return {drives.target(disk).get("dev", "") for disk in devices(domain, "disk")}


def _rename(disk: etree._Element, prefix: str, taken: set[str]) -> list[str]:
    """Give a disk the first free name of its new bus, as Nova does."""
    old = named(disk)
    present = drives.target(disk).get("dev", "")
    taken.discard(present)
    name = next(name for name in drives.names(prefix) if name not in taken)
    taken.add(name)
    if present == name:
        return []
    drives.target(disk).set("dev", name)
    return [f"{old}: name → {name}"]


def _set_bus(disk: etree._Element, bus: str) -> list[str]:
    old = bus_of(disk)
    drives.target(disk).set("bus", bus)
    return [f"{named(disk)}: bus {old} → {bus}"]


def _drop_translation(disk: etree._Element) -> list[str]:
    geometry = disk.find("geometry")
    if geometry is None or "trans" not in geometry.attrib:
        return []
    del geometry.attrib["trans"]
    return [f"{named(disk)}: CHS translation removed, SATA has none"]


def _order(domain: etree._Element) -> list[int]:
    """Return the disks in the order in which libvirt keeps them: bus by bus, on each by name."""
    groups: dict[str, list[tuple[int, int]]] = {}
    for number, disk in enumerate(devices(domain, "disk")):
        group = groups.setdefault(bus_of(disk), [])
        if disk.get("device", "disk") == "disk":
            group.append((drives.name_index(disk), number))
    return [number for group in groups.values() for _, number in sorted(group)]


def _check_order(domain: etree._Element, before: list[int]) -> list[str]:
    """Check what libvirt's own order makes of disks that now share a bus.

    :raises ConversionError: the guest would boot from another disk.
    """
    after = _order(domain)
    if after == before:
        return []
    if (
        any(boot.get("dev") == "hd" for boot in domain.iterfind("os/boot"))
        and after[0] != before[0]
    ):
        first = devices(domain, "disk")[before[0]]
        raise ConversionError(
            f"{named(first)} would no longer be the first disk, which the guest boots from: give it a"
            " <boot order>",
            "devices/disk",
        )
    return ["disks: IDE and SATA disks are on one bus now, in the order of their names"]
