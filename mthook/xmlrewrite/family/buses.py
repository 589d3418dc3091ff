# SPDX-License-Identifier: Apache-2.0
"""PCI controllers, and the PCI addresses of devices."""

from __future__ import annotations

from collections import Counter

from lxml import etree

from mthook.text import printable
from mthook.xmlrewrite import elements
from mthook.xmlrewrite.family.board import Conversion, controllers, number, pci_addresses
from mthook.xmlrewrite.family.naming import named, pci_address

#: Slots of the root bus that either board needs for itself: host bridge, PIIX3 or q35's primary
#: screen, i440fx's primary screen, ICH9.
_TAKEN = (0x00, 0x01, 0x02, 0x1F)
#: Devices that nobody can unplug. On q35's root bus nothing can be unplugged.
_FIXED = ("video", "sound", "memballoon")
_FIXED_CONTROLLERS = ("usb", "virtio-serial")
_LAST_SLOT = 0x1F


def drop_pci_controllers(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Drop the bridges and ports of the old board; libvirt adds those of the new one.

    ``The PCI controller with index='0' must be model='pcie-root' for this machine type, but
    model='pci-root' was found instead``; what is left of the others has no place: ``a PCI slot is
    needed to connect a PCI controller model='pcie-root-port', but none is available``.
    """
    root = "pcie-root" if conversion.to_q35 else "pci-root"
    kept = ("pcie-root", "pcie-root-port") if conversion.to_q35 else ("pci-root",)
    changes = []
    dropped: Counter[str] = Counter()
    for controller in controllers(domain, "pci"):
        model = controller.get("model", "")
        if model in kept:
            continue
        if len(controller) and controller.find("pcihole64") is not None:
            changes += _become_root(controller, model, root)
        else:
            dropped[printable(model or "of no model", 40)] += 1
            changes += _lost(controller)
            elements.remove(controller)
    if dropped:
        counted = ", ".join(f"{count} × {m}" if count > 1 else m for m, count in dropped.items())
        changes.append(
            f"pci controllers removed, libvirt adds {conversion.new.family}'s: {counted}"
        )
    return changes


def drop_hotplug(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Hot-plug can be switched off on an i440fx's root bus, but not on a q35's.

    ``Option 'hotplug' is not valid for PCI controller with index '0', model 'pcie-root'``
    """
    changes = []
    for controller in controllers(domain, "pci"):
        target = controller.find("target") if controller.get("model") == "pcie-root" else None
        if target is not None and target.get("hotplug") == "off":
            elements.remove(target)
            changes.append(f"{named(controller)}: hot-plugging is no longer off")
    return changes


def drop_pci_addresses(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Drop PCI addresses that the new board lacks, or where a device could no longer be unplugged.

    ``Attempted double use of PCI Address 0000:00:1f.0``, ``Primary SATA controller must have PCI
    address 0:0:1f.2``, ``Invalid PCI address 0000:05:00.0. slot must be >= 1``. libvirt accepts an
    i440fx's addresses on a q35's root bus, where ``Bus 'pcie.0' does not support hotplugging``.
    """
    slots: dict[int, list[etree._Element]] = {}
    changes = []
    for address in pci_addresses(domain):
        slots.setdefault(_slot(address), []).append(address)
    kept = {slot for slot, found in slots.items() if _stays(slot, found, conversion)}
    for slot, found in slots.items():
        for address in found if slot not in kept else ():
            owner = address.getparent()
            assert owner is not None
            changes.append(
                f"{named(owner)}: PCI address {pci_address(address)} → chosen by libvirt"
            )
            elements.remove(address)
    return changes


def _stays(slot: int, found: list[etree._Element], conversion: Conversion) -> bool:
    """Tell whether all devices of a slot of the root bus may stay there."""
    if not 0 <= slot <= _LAST_SLOT or slot in _TAKEN:
        return False
    functions = [number(address.get("function")) for address in found]
    if 0 not in functions or len(set(functions)) < len(functions):
        return False
    return not conversion.to_q35 or all(_is_fixed(address.getparent()) for address in found)


def _is_fixed(device: etree._Element | None) -> bool:
    assert device is not None
    return device.tag in _FIXED or (
        device.tag == "controller" and device.get("type") in _FIXED_CONTROLLERS
    )


def _slot(address: etree._Element) -> int:
    """Return the slot on the root bus, -1 for any other place."""
    if number(address.get("domain")) or number(address.get("bus")):
        return -1
    return number(address.get("slot"))


def _become_root(controller: etree._Element, model: str, root: str) -> list[str]:
    """Keep a root for the size of its 64-bit window, which libvirt would otherwise choose."""
    controller.set("model", root)
    controller.set("index", "0")
    for address in controller.findall("address"):
        elements.remove(address)
    return [f"{named(controller)}: {model} → {root}, with its 64-bit window"]


def _lost(controller: etree._Element) -> list[str]:
    """Say which of a user's settings go with a controller."""
    changes: list[str] = []
    if not len(controller):
        return changes
    target, alias = controller.find("target"), controller.find("alias")
    if target is not None and target.get("hotplug") == "off":
        changes.append(f"{named(controller)}: hot-plugging is no longer off there")
    if alias is not None and alias.get("name", "").startswith("ua-"):
        changes.append(f"{named(controller)}: alias {printable(alias.get('name'), 60)} removed")
    return changes
