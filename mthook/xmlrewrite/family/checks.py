# SPDX-License-Identifier: Apache-2.0
"""What the other board can't have: refused before anything is changed.

Each check raises :class:`ConversionError` with the element named.
"""

from __future__ import annotations

from lxml import etree

from mthook.errors import ConversionError
from mthook.text import printable
from mthook.xmlrewrite.family.board import (
    PC_MAX_VCPUS,
    Conversion,
    Disks,
    addresses,
    controllers,
    devices,
    number,
)
from mthook.xmlrewrite.family.drives import MAX_IDE
from mthook.xmlrewrite.family.naming import named

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
    """An expander bus binds devices to a NUMA node, which its counterpart can't replace.

    ``pcie-expander-bus controllers are not supported with this machine type``
    """
    for controller in controllers(domain, "pci"):
        if controller.get("model") in _EXPANDERS:
            raise ConversionError(
                f"{named(controller)} is a {controller.get('model')}: {conversion.new} can't have"
                " it, and the devices on it would leave their NUMA node",
                "devices/controller",
            )


def check_wwn(disks: Disks, conversion: Conversion) -> None:
    """The guest may know a disk by its WWN, which SATA disks can't have.

    ``Only ide and scsi disk support wwn``
    """
    for disk in disks.get("ide", ()) if conversion.to_q35 else ():
        if disk.find("wwn") is not None:
            raise ConversionError(
                f"{named(disk)}: {conversion.new} has no IDE, and a SATA disk can't have its WWN",
                "devices/disk/wwn",
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


def check_ide(disks: Disks, conversion: Conversion) -> None:
    """More disks than IDE takes, or a drive address that can't be read, don't come from libvirt.

    ``Only 1 IDE controller is supported``
    """
    found = disks.get("ide", [])
    if conversion.to_q35 and len(found) > MAX_IDE:
        raise ConversionError(
            f"{named(found[MAX_IDE])}: {conversion.old} takes {MAX_IDE} IDE disks", "devices/disk"
        )
    for disk in [*found, *disks.get("sata", ())]:
        for address in addresses(disk, "drive"):
            parts = [number(address.get(name)) for name in ("controller", "bus", "unit")]
            if min(parts) < 0:
                raise ConversionError(
                    f"{named(disk)}: its drive address can't be read", "devices/disk/address"
                )


def check_watchdog(domain: etree._Element, conversion: Conversion) -> None:
    """The one ISA device that libvirt allows on an i440fx alone, since 9.3; older ones start it on a q35 as well.

    ``ib700 model of watchdog cannot be used with this machine type``; a guest that has it doesn't start any more
    once its host's libvirt is upgraded.
    """
    found = [one for one in devices(domain, "watchdog") if one.get("model") == "ib700"]
    if found and conversion.to_q35:
        raise ConversionError(
            f"{named(found[0])}: {conversion.new} has none from libvirt 9.3 on; make it an i6300esb first",
            "devices/watchdog",
        )
