# SPDX-License-Identifier: Apache-2.0
"""virtio devices: the same driver meets another device on each board."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lxml import etree

from mthook.xmlrewrite.family.board import Conversion, addresses, bus_of, devices, elements_at
from mthook.xmlrewrite.family.naming import first, named

_MODERN = "virtio-non-transitional"
_BEHIND_IOMMU = etree.XPath("devices/*[driver/@iommu = 'on']")
#: Where the model of each kind is written: child, attribute; and what plain virtio is called there.
_MODEL = {
    "disk": (".", "model", ("", "virtio")),
    "interface": ("model", "type", ("virtio",)),
    "controller": (".", "model", ("", "virtio", "virtio-scsi")),
    "filesystem": (".", "model", ("", "virtio")),
    "memballoon": (".", "model", ("virtio",)),
    "rng": (".", "model", ("virtio",)),
    "vsock": (".", "model", ("", "virtio")),
}


def keep_platform_access(domain: etree._Element, conversion: Conversion) -> list[str]:
    """A device that goes through an IOMMU has to be virtio 1.0, as it was behind its root port.

    libvirt defines it; the start fails with ``VIRTIO_F_IOMMU_PLATFORM was supported by neither
    legacy nor transitional device``.
    """
    changes = []
    behind = elements_at(_BEHIND_IOMMU, domain) if not conversion.to_q35 else []
    for device, place, attribute in _plain(behind):
        place.set(attribute, _MODERN)
        changes.append(f"{named(device)}: model virtio → {_MODERN}, as on {conversion.old}")
    return changes


def note_versions(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Say what nothing in the XML shows: behind a root port virtio has other PCI ids (1af4:1041).

    There only virtio 1.0 exists; on i440fx its predecessor (1af4:1000) does, too. A
    device that keeps its place on the root bus keeps its ids.
    """
    found = (
        one for one, _, _ in _plain(devices(domain)) if next(addresses(one, "pci"), None) is None
    )
    names = first(found)
    if not names:
        return []
    if conversion.to_q35:
        return [f"virtio 1.0 only, a guest with older drivers can't use them: {names}"]
    return [f"virtio devices with other PCI ids than on q35, of before virtio 1.0: {names}"]


def _plain(
    found: Iterable[etree._Element],
) -> Iterator[tuple[etree._Element, etree._Element, str]]:
    """Yield the devices that are virtio of no particular version, and where that is written."""
    for device in found:
        if device.tag not in _MODEL:
            continue
        child, attribute, plain = _MODEL[str(device.tag)]
        place = device if child == "." else next(device.iterchildren(child), None)
        if place is not None and place.get(attribute, "") in plain and _is_virtio(device):
            yield device, place, attribute


def _is_virtio(device: etree._Element) -> bool:
    """Tell whether a device is virtio on the PCI bus, where its model doesn't tell."""
    for address in device.iterchildren("address"):
        if address.get("type") not in ("pci", "drive"):
            return False
    if device.tag == "disk":
        return bus_of(device) == "virtio"
    if device.tag == "filesystem":
        found = device.find("driver")
        # virtiofs has never been anything but virtio 1.0, and has no other models.
        return found is None or found.get("type") != "virtiofs"
    if device.tag == "controller":
        return device.get("type") == "virtio-serial" or device.get("model") == "virtio-scsi"
    return True
