# SPDX-License-Identifier: Apache-2.0
"""What the other board can't have: refused before anything is changed.

Each check raises :class:`ConversionError` with the element named.
"""

from __future__ import annotations

import re

from lxml import etree

from mthook.errors import ConversionError
from mthook.text import printable
from mthook.xmlrewrite.family.board import (
    PC_MAX_VCPUS,
    Conversion,
    addresses,
    controllers,
    devices,
    disks_on,
    number,
)
from mthook.xmlrewrite.family.drives import MAX_IDE
from mthook.xmlrewrite.family.naming import named

_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
#: The root buses by name: ``pci.0`` on i440fx, ``pcie.0`` on q35, and those that libvirt counts on;
#: the two buses of an i440fx's IDE with two units each, a q35's six with one.
_BUS = re.compile(r"\b(?:pcie?|ide)\.\d")
#: libvirt's names of devices that have others on the other board: IDE disks, the controllers of
#: either board.
_OLD_ALIAS = re.compile(r"ide|sata0$|pcie?\.\d")
_EXPANDERS = ("pci-expander-bus", "pcie-expander-bus")


def check_vcpus(domain: etree._Element, conversion: Conversion) -> None:
    """An i440fx takes 255 vCPUs.

    ``Maximum CPUs greater than specified machine type limit 255``
    """
    text = (domain.findtext("vcpu") or "").strip()
    if not conversion.to_q35 and text.isdigit() and int(text) > PC_MAX_VCPUS:
        raise ConversionError(
            f"{conversion.new} takes {PC_MAX_VCPUS} vCPUs, the guest has {printable(text, 20)}",
            "vcpu",
        )


def check_iommu(domain: etree._Element, conversion: Conversion) -> None:
    """An i440fx has no IOMMU; without the one it has, a guest that passes devices on fails.

    ``IOMMU device: 'intel' is only supported with Q35 machines``
    """
    found = devices(domain, "iommu")
    if found and not conversion.to_q35:
        raise ConversionError(
            f"{named(found[0])}: {conversion.new} has no IOMMU; remove it from the guest first",
            "devices/iommu",
        )


def check_expanders(domain: etree._Element, conversion: Conversion) -> None:
    """An expander bus binds devices to a NUMA node, which its like on the other board doesn't replace.

    ``pcie-expander-bus controllers are not supported with this machine type``
    """
    for controller in controllers(domain, "pci"):
        if controller.get("model") in _EXPANDERS:
            raise ConversionError(
                f"{named(controller)} is a {controller.get('model')}: {conversion.new} can't have"
                " it, and the devices on it would leave their NUMA node",
                "devices/controller",
            )


def check_wwn(domain: etree._Element, conversion: Conversion) -> None:
    """The guest may know a disk by its WWN, which SATA disks can't have.

    ``Only ide and scsi disk support wwn``
    """
    for disk in disks_on(domain, "ide") if conversion.to_q35 else ():
        if disk.find("wwn") is not None:
            raise ConversionError(
                f"{named(disk)}: {conversion.new} has no IDE, and a SATA disk can't have its WWN",
                "devices/disk/wwn",
            )


def check_arguments(domain: etree._Element, conversion: Conversion) -> None:
    """Arguments for QEMU that name a bus or a machine type are past libvirt's and mthook's reading.

    libvirt defines it; the start fails with ``Bus 'pci.0' not found``, or ``Can't create IDE unit 1,
    bus supports only 1 units``.
    """
    values = [
        arg.get("value", "") for arg in domain.iterfind(f"{{{_QEMU}}}commandline/{{{_QEMU}}}arg")
    ]
    for before, value in zip(["", *values], values):
        machine = before in ("-M", "-machine", "--machine") and _names_machine(value)
        bus = _BUS.search(value)
        if machine or bus:
            # Not the argument itself: others than root read this, and it may hold a secret.
            named_by = bus.group() if bus else before
            raise ConversionError(
                f"argument with {named_by} for QEMU is made for {conversion.old}",
                "qemu:commandline/qemu:arg",
            )


def check_overrides(domain: etree._Element, conversion: Conversion) -> None:
    """Likewise properties of devices that are given past libvirt.

    libvirt says nothing to properties of a device that isn't there: those of an IDE disk would be
    lost.
    """
    for device in domain.iterfind(f"{{{_QEMU}}}override/{{{_QEMU}}}device"):
        alias = device.get("alias", "")
        for found in device.iterfind(f"{{{_QEMU}}}frontend/{{{_QEMU}}}property"):
            placed = found.get("name") in ("bus", "addr") or _BUS.search(found.get("value", ""))
            if placed or _OLD_ALIAS.match(alias):
                raise ConversionError(
                    f"property {printable(found.get('name'), 40)} for QEMU of"
                    f" {printable(alias, 40)} is made for {conversion.old}",
                    "qemu:override/qemu:device",
                )


def check_encryption(domain: etree._Element, conversion: Conversion) -> None:
    """Memory encryption is made for q35; Nova refuses it on any other x86 machine type.

    Without its hardware: ``SEV launch security is not supported with this QEMU binary``.
    """
    found = domain.find("launchSecurity")
    if found is not None and not conversion.to_q35:
        kind = printable(found.get("type", ""), 20)
        raise ConversionError(
            f"{conversion.new} has no memory encryption ({kind})", "launchSecurity"
        )


def check_ide(domain: etree._Element, conversion: Conversion) -> None:
    """More disks than IDE takes, or a drive address that can't be read, aren't libvirt's.

    ``Only 1 IDE controller is supported``
    """
    if not conversion.to_q35:
        return
    found = disks_on(domain, "ide")
    if len(found) > MAX_IDE:
        raise ConversionError(
            f"{named(found[MAX_IDE])}: {conversion.old} takes {MAX_IDE} IDE disks", "devices/disk"
        )
    for disk in [*found, *disks_on(domain, "sata")]:
        for address in addresses(disk, "drive"):
            parts = [number(address.get(name)) for name in ("controller", "bus", "unit")]
            if min(parts) < 0:
                raise ConversionError(
                    f"{named(disk)}: its drive address can't be read", "devices/disk/address"
                )


def _names_machine(value: str) -> bool:
    first = value.partition(",")[0]
    return "=" not in first or first.startswith("type=") or ",type=" in value
