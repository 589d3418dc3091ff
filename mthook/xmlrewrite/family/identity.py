# SPDX-License-Identifier: Apache-2.0
"""How a guest tells its devices apart where no definition says it: QEMU and the guest's kernel count.

An IDE or SATA drive without a serial gets ``QM00001`` and so on (QEMU ``hw/ide/core.c``): QEMU
numbers every place that a drive could have, on IDE's two buses two each, on each of the six ports
of an AHCI controller two as well, though only one can be used. So a drive that moves would get
another serial, even that of one beside it, and with that the names in ``/dev/disk/by-id``.
"""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from mthook.xmlrewrite import elements
from mthook.xmlrewrite.family import drives
from mthook.xmlrewrite.family.board import (
    PC,
    Conversion,
    Disks,
    addresses,
    controllers,
    devices,
    disks_by_bus,
    number,
)
from mthook.xmlrewrite.family.naming import first, named

#: How many numbers QEMU uses up for a port of an AHCI controller.
_PER_PORT = 2
#: Models that have PCIe (libvirt ``qemuDomainDeviceCalculatePCIConnectFlags``).
_EXPRESS = ("virtio", "virtio-non-transitional", "e1000e", "igb")
_Place = tuple[int, ...]


def own_serials(disks: Disks, family: str) -> dict[etree._Element, str]:
    """Return the drives that have no serial, and what QEMU gives them by their places on a board.

    No SATA controller is left out: libvirt adds all up to the last one that a disk is on.

    :param disks: as :func:`.disks_by_bus` returns them.
    """
    on_board = drives.MAX_IDE if family == PC else 0
    found = {disk: _serial(drives.ide_unit(disk)) for disk in _without_serial(disks, "ide")}
    for disk in _without_serial(disks, "sata"):
        found[disk] = _serial(on_board + drives.sata_unit(disk) * _PER_PORT)
    return found


def keep_serials(
    domain: etree._Element, conversion: Conversion, serials: Mapping[etree._Element, str]
) -> list[str]:
    """Write QEMU's own serials of the old board into the definition: on the new board it has others.

    Nova makes a definition anew for each start, without one: there the change is only reported.
    """
    if conversion.nova:
        new = own_serials(disks_by_bus(domain), conversion.new.family)
        return [
            f"{named(drive)}: QEMU's own serial {old} → {new[drive]}"
            for drive, old in serials.items()
            if new.get(drive, old) != old
        ]
    for drive, own in serials.items():
        _write_serial(drive, own)
    return [
        f"{named(drive)}: serial {own} written, QEMU's own on {conversion.old.family}"
        for drive, own in serials.items()
    ]


def note_usb_serials(domain: etree._Element, disks: Disks) -> list[str]:
    """Say which USB disks get another serial: QEMU makes it of their controller's PCI address.

    It can't be written: libvirt takes no ``:`` in a serial, and ``1-0000:00:01.2-1`` has two.
    """
    found = _without_serial(disks, "usb")
    usb = controllers(domain, "usb")
    if not found or (usb and all(_address(one) is not None for one in usb)):
        return []
    return [f"USB disks with other serials, made of their controller's place: {first(found)}"]


class Orders:
    """What a guest's kernel counts; create it while everything is in its old place."""

    def __init__(self, domain: etree._Element, disks: Disks) -> None:
        self._defined = {
            "network cards (eth0 …)": devices(domain, "interface"),
            "virtio disks (vda …)": disks.get("virtio", []),
        }
        paths = _paths(domain)
        self._before = {
            kind: sorted(found, key=lambda one: _place(one, paths))
            for kind, found in self._defined.items()
            if len(found) > 1
        }

    def note(self, conversion: Conversion) -> list[str]:
        """Say what may be counted differently: libvirt gives places in the definition's order.

        Devices that were plugged in and out, or placed by hand, may have had another one. On a q35
        libvirt puts those of PCIe and those of old PCI behind different bridges.
        """
        return [
            f"{kind} may be counted in another order than {first(before)}"
            for kind, before in self._before.items()
            if not self._stays(kind, before, conversion)
        ]

    def _stays(self, kind: str, before: list[etree._Element], conversion: Conversion) -> bool:
        stayed = (_address(one) is not None for one in before)
        if before != self._defined[kind]:
            return all(stayed)
        stays = set(stayed)
        if stays == {False} and conversion.to_q35:
            return len(set(map(_is_express, before))) == 1
        return len(stays) == 1


def _without_serial(disks: Disks, bus: str) -> list[etree._Element]:
    return [disk for disk in disks.get(bus, []) if not (disk.findtext("serial") or "").strip()]


def _serial(place: int) -> str:
    return f"QM{place + 1:05}"


def _write_serial(disk: etree._Element, text: str) -> None:
    serial = disk.find("serial")
    if serial is None:
        serial = etree.Element("serial")
        elements.insert_after(drives.target(disk), serial)
    serial.text = text


def _address(device: etree._Element) -> etree._Element | None:
    """Return a device's PCI address; libvirt writes it last."""
    last = device[-1] if len(device) else None
    if last is not None and last.tag == "address" and last.get("type") == "pci":
        return last
    return next(addresses(device, "pci"), None)


def _place(device: etree._Element, paths: Mapping[int, _Place]) -> tuple[_Place, int]:
    """Return where a device is found: all on a bus come first, then what is behind its bridges."""
    address = _address(device)
    if address is None:
        return (), -1
    return paths.get(number(address.get("bus")), ()), _slot(address)


def _paths(domain: etree._Element) -> dict[int, _Place]:
    """Return the slots that lead from the root to each bus: a kernel numbers buses in that order."""
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
            slots = (_slot(bridges[bus]), *slots)
            bus = number(bridges[bus].get("bus"))
        return slots

    return {bus: path(bus) for bus in bridges}


def _slot(address: etree._Element) -> int:
    """Return a place on a bus, slot and function in one."""
    return number(address.get("slot")) * 8 + number(address.get("function"))


def _is_express(device: etree._Element) -> bool:
    """Tell whether libvirt puts a device behind a port of its own on q35."""
    if device.tag == "disk":
        return device.get("model", "virtio") in _EXPRESS
    model = next(device.iterchildren("model"), None)
    return model is None or model.get("type", "virtio") in _EXPRESS
