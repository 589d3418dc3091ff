# SPDX-License-Identifier: Apache-2.0
"""What the passes share: which board a domain leaves, which it gets, and its devices."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import cast

from lxml import etree

from mthook.machinetype import MachineType
from mthook.xmlrewrite.summary import NOVA_NAMESPACES

#: The families that can be turned into each other.
PC, Q35 = "i440fx", "q35"
#: How many vCPUs an i440fx takes, whatever QEMU's version; libvirt's ``maxCpus``.
PC_MAX_VCPUS = 255
#: The bus that libvirt puts a disk on by its name, where none is given.
_BUSES = (("hd", "ide"), ("sd", "scsi"), ("vd", "virtio"), ("xvd", "xen"), ("ubd", "uml"))
_INSTANCES = tuple(f"{{{namespace}}}instance" for namespace in NOVA_NAMESPACES)
_DISKS = etree.XPath("devices/disk[target[not(@bus) or @bus = $bus]]")
_PCI_ADDRESSES = etree.XPath("devices/*/address[@type = 'pci' and (count(@*) > 1 or *)]")


#: Disks by the bus they are on, see :func:`disks_by_bus`.
Disks = Mapping[str, "list[etree._Element]"]


class Conversion:
    """One change of board.

    :ivar old: the machine type that the domain has.
    :ivar new: the machine type that it gets.
    :ivar to_q35: whether it becomes a q35, else an i440fx.
    :ivar nova: whether Nova made the domain: its own XML for the other board is the model then.
    :ivar ports: how many PCIe root ports a q35 gets; 0: libvirt is left to count.
    :ivar libvirt: the version that is to define it, as libvirt counts it (9000000: 9.0.0); 0: unknown.
    """

    __slots__ = ("libvirt", "new", "nova", "old", "ports", "to_q35")

    def __init__(
        self,
        old: MachineType,
        new: MachineType,
        *,
        nova: bool = False,
        ports: int = 0,
        libvirt: int = 0,
    ) -> None:
        self.old = old
        self.new = new
        self.to_q35 = new.family == Q35
        self.nova = nova
        self.ports = ports
        self.libvirt = libvirt


def elements_at(
    path: etree.XPath, domain: etree._Element, **variables: str
) -> list[etree._Element]:
    """Return the elements at a path; thousands are gone through in libxml2, not one by one."""
    return cast("list[etree._Element]", path(domain, **variables))


def devices(domain: etree._Element, *tags: str) -> list[etree._Element]:
    """Return a domain's devices, with ``tags`` those of these kinds only."""
    parents = domain.iterchildren("devices")
    return [device for parent in parents for device in parent.iterchildren(*(tags or ("*",)))]


def controllers(domain: etree._Element, kind: str) -> list[etree._Element]:
    """Return a domain's controllers of a type, such as ``pci``."""
    return [one for one in devices(domain, "controller") if one.get("type") == kind]


def disks_on(domain: etree._Element, bus: str) -> list[etree._Element]:
    """Return a domain's disks on a bus."""
    return [disk for disk in elements_at(_DISKS, domain, bus=bus) if bus_of(disk) == bus]


def disks_by_bus(domain: etree._Element) -> dict[str, list[etree._Element]]:
    """Return all of a domain's disks, by the bus they are on."""
    found: dict[str, list[etree._Element]] = {}
    for disk in devices(domain, "disk"):
        found.setdefault(bus_of(disk), []).append(disk)
    return found


def bus_of(disk: etree._Element) -> str:
    """Return the bus that a disk is on, '' where it can't be told."""
    target = next(disk.iterchildren("target"), None)
    if target is None:
        return ""
    given = target.get("bus")
    return _usual_bus(disk, target.get("dev", "")) if given is None else given


def pci_addresses(domain: etree._Element) -> list[etree._Element]:
    """Return the PCI addresses of a domain's devices, except those that leave all to libvirt.

    One in ``<source>`` is the host's.
    """
    return elements_at(_PCI_ADDRESSES, domain)


def addresses(device: etree._Element, kind: str) -> Iterator[etree._Element]:
    """Yield a device's own addresses of a type; one in ``<source>`` is the host's, not the guest's."""
    for address in device.iterchildren("address"):
        if address.get("type") == kind:
            yield address


def nova_instance(domain: etree._Element) -> etree._Element | None:
    """Return the element in which Nova describes its instance, None in another's domain."""
    for metadata in domain.iterchildren("metadata"):
        for found in metadata.iterchildren(*_INSTANCES):
            return found
    return None


def nova_setting(domain: etree._Element, image: str, flavor: str | None = None) -> str | None:
    """Return what Nova's image, or else its flavor, asks for, as far as its metadata tells.

    :param image: the name of a property of images.
    :param flavor: the name of the extra spec of flavors that means the same.
    """
    instance = nova_instance(domain)
    found: dict[str | None, str] = {}
    for one in instance.iter("{*}property", "{*}extraSpec") if instance is not None else ():
        found[one.get("name")] = (one.text or "").strip()
    return found.get(image, found.get(flavor) if flavor else None)


def _usual_bus(disk: etree._Element, name: str) -> str:
    if disk.get("device") == "floppy":
        return "fdc"
    return next((bus for prefix, bus in _BUSES if name.startswith(prefix)), "")


@functools.lru_cache(maxsize=1024)
def number(text: str | None) -> int:
    """Read a number as libvirt writes them in addresses, decimal or hexadecimal; -1 if it isn't one."""
    try:
        return int(text, 0) if text is not None else 0
    except ValueError:
        return -1
