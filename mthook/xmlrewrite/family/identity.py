# SPDX-License-Identifier: Apache-2.0
"""What a guest knows its devices by though no definition says it: QEMU and the guest's kernel count.

A drive of IDE or SATA without a serial gets ``QM00001`` and so on (QEMU ``hw/ide/core.c``): QEMU
numbers every place that a drive could have, on IDE's two buses two each, on each of the six ports
of an AHCI controller two as well, though only one can be used. So a drive that moves would get
another serial, even that of one beside it, and with that the names in ``/dev/disk/by-id``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lxml import etree

from mthook.xmlrewrite import elements
from mthook.xmlrewrite.family import drives
from mthook.xmlrewrite.family.board import (
    PC,
    Conversion,
    addresses,
    bus_of,
    controllers,
    devices,
    disks_on,
    number,
)
from mthook.xmlrewrite.family.naming import named

#: How many numbers QEMU uses up for a port of an AHCI controller.
_PER_PORT = 2
#: What Linux counts in the order of the PCI bus: ``eth0`` where names aren't made of places, ``vda``.
_COUNTED = {"interface": "network cards (eth0 …)", "disk": "virtio disks (vda …)"}
#: Models that have PCIe (libvirt ``qemuDomainDeviceCalculatePCIConnectFlags``).
_EXPRESS = ("virtio", "virtio-non-transitional", "e1000e", "igb")
_Place = tuple[int, ...]


class Counted:
    """What is counted by place on the old board; to be made while everything is in its old one."""

    def __init__(self, domain: etree._Element, conversion: Conversion) -> None:
        self._domain = domain
        self._conversion = conversion
        self._serials = dict(_own_serials(domain, conversion.old.family))
        self._orders = {kind: _ordered(domain, kind) for kind in _COUNTED}

    def keep_serials(self) -> list[str]:
        """Write QEMU's own serials into the definition, for on the new board it has others.

        Nova makes a definition anew for each start, without one: there it is only told what changes.
        """
        if self._conversion.nova:
            return self._other_serials()
        for drive, own in self._serials.items():
            _write_serial(drive, own)
        return [
            f"{named(drive)}: serial {own} written, QEMU's own on {self._conversion.old.family}"
            for drive, own in self._serials.items()
        ]

    def note_order(self) -> list[str]:
        """Say what the guest may count otherwise: libvirt gives places in the definition's order.

        Devices that were plugged in and out, or placed by hand, may have had another one. On a q35
        libvirt puts those of PCIe and those of old PCI behind different bridges.
        """
        return [
            f"{_COUNTED[kind]} may be counted in another order than {', '.join(map(named, before))}"
            for kind, before in self._orders.items()
            if len(before) > 1 and not self._stays(kind, before)
        ]

    def _other_serials(self) -> list[str]:
        new = dict(_own_serials(self._domain, self._conversion.new.family))
        return [
            f"{named(drive)}: QEMU's own serial {old} → {new[drive]}"
            for drive, old in self._serials.items()
            if new.get(drive, old) != old
        ]

    def _stays(self, kind: str, before: list[etree._Element]) -> bool:
        moved = [one for one in before if next(addresses(one, "pci"), None) is None]
        if not moved:
            return True
        mixed = self._conversion.to_q35 and len(set(map(_is_express, before))) > 1
        return moved == before == _on_pci(self._domain, kind) and not mixed


def note_usb_serials(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Say which USB disks get another serial: QEMU makes it of their controller's PCI address.

    It can't be written: libvirt takes no ``:`` in a serial, and ``1-0000:00:01.2-1`` has two.
    """
    usb = controllers(domain, "usb")
    if usb and all(next(addresses(one, "pci"), None) is not None for one in usb):
        return []
    found = [named(disk) for disk in disks_on(domain, "usb") if not _has_serial(disk)]
    if not found:
        return []
    return [f"USB disks with other serials, made of their controller's place: {', '.join(found)}"]


def _own_serials(domain: etree._Element, family: str) -> Iterator[tuple[etree._Element, str]]:
    """Yield the drives that have no serial, and what QEMU gives them on a board."""
    on_board = drives.MAX_IDE if family == PC else 0
    for disk in disks_on(domain, "ide"):
        if not _has_serial(disk):
            yield disk, _serial(drives.ide_unit(disk))
    disks = disks_on(domain, "sata")
    cards = _sata_cards(domain, disks)
    for disk in disks:
        if not _has_serial(disk):
            card = drives.controller_of(disk)
            unit = drives.sata_unit(disk) + (cards.index(card) - card) * drives.SATA_UNITS
            yield disk, _serial(on_board + unit * _PER_PORT)


def _sata_cards(domain: etree._Element, disks: Iterable[etree._Element]) -> list[int]:
    """Return the indexes of the SATA controllers that there are, those included that libvirt adds."""
    used = max(map(drives.controller_of, disks), default=0)
    given = {number(one.get("index")) for one in controllers(domain, "sata")}
    return sorted(given.union(range(used + 1)))


def _serial(place: int) -> str:
    return f"QM{place + 1:05}"


def _has_serial(disk: etree._Element) -> bool:
    return bool((disk.findtext("serial") or "").strip())


def _write_serial(disk: etree._Element, text: str) -> None:
    serial = disk.find("serial")
    if serial is None:
        serial = etree.Element("serial")
        elements.insert_after(drives.target(disk), serial)
    serial.text = text


def _on_pci(domain: etree._Element, kind: str) -> list[etree._Element]:
    found = devices(domain, kind)
    return [one for one in found if kind != "disk" or bus_of(one) == "virtio"]


def _ordered(domain: etree._Element, kind: str) -> list[etree._Element]:
    """Return devices as a guest's kernel finds them: all on a bus, then what is behind its bridges."""
    found = _on_pci(domain, kind)
    paths = _paths(domain) if len(found) > 1 else {}

    def place(device: etree._Element) -> tuple[_Place, _Place]:
        address = next(addresses(device, "pci"), None)
        if address is None:
            return (), ()
        return paths.get(number(address.get("bus")), ()), _slot(address)

    return sorted(found, key=place)


def _paths(domain: etree._Element) -> dict[int, _Place]:
    """Return by which slots one comes to each bus from the root: a kernel numbers buses in that order."""
    bridges = {
        number(controller.get("index")): address
        for controller in controllers(domain, "pci")
        for address in addresses(controller, "pci")
    }

    def path(bus: int) -> _Place:
        slots: _Place = ()
        for _ in bridges:  # no path is longer, whatever a definition says
            if bus not in bridges:
                break
            slots = (*_slot(bridges[bus]), *slots)
            bus = number(bridges[bus].get("bus"))
        return slots

    return {bus: path(bus) for bus in bridges}


def _slot(address: etree._Element) -> _Place:
    return number(address.get("slot")), number(address.get("function"))


def _is_express(device: etree._Element) -> bool:
    """Tell whether libvirt puts a device behind a port of its own on q35."""
    model = device.find("model") if device.tag == "interface" else device
    found = model.get("type" if device.tag == "interface" else "model") if model is not None else ""
    return (found or "virtio") in _EXPRESS
