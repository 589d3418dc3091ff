# SPDX-License-Identifier: Apache-2.0
"""What is given to QEMU past libvirt, and concerns one board's own devices: refused, never carried over.

QEMU silently accepts a ``-global`` for a missing device, so the guest would lose a setting
and nobody would know. Options that let the board choose where a device goes would put it
elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from mthook.errors import ConversionError
from mthook.machinetype import of_arguments
from mthook.text import printable
from mthook.xmlrewrite.family.board import PC, Q35, Conversion, controllers

_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_ARGUMENTS = f"{{{_QEMU}}}commandline/{{{_QEMU}}}arg"
_OVERRIDDEN = f"{{{_QEMU}}}override/{{{_QEMU}}}device"
_PROPERTIES = f"{{{_QEMU}}}frontend/{{{_QEMU}}}property"
#: The root buses by name: ``pci.0`` on i440fx, ``pcie.0`` on q35, and those that libvirt counts on;
#: the two buses of an i440fx's IDE with two units each, a q35's six with one.
_BUS = re.compile(r"\b(?:pcie?|ide)\.\d")
#: libvirt's names of devices that differ on the other board: IDE disks, the controllers of
#: either board.
_OLD_ALIAS = re.compile(r"ide|sata0$|pcie?\.\d")
#: Which board has a QEMU device (``hw/i386/pc_piix.c``, ``pc_q35.c``, ``hw/isa/lpc_ich9.c``,
#: ``hw/acpi/piix4.c``), or alone gets it from libvirt: the ports and bridges of PCIe, IDE.
_OF_BOARD = {
    **dict.fromkeys(
        (
            *("i440fx", "i440fx-pcihost", "piix3", "piix3-xen", "piix4-isa", "piix4_pm"),
            *("piix3-ide", "piix3-ide-xen", "piix4-ide", "piix3-usb-uhci", "pci-bridge", "pxb"),
        ),
        PC,
    ),
    **dict.fromkeys(
        (
            *("ich9-lpc", "ich9-smb", "ich9-ahci", "ahci", "q35-pcihost", "mch"),
            *("pcie-root-port", "ioh3420", "x3130-upstream", "xio3130-downstream", "pxb-pcie"),
            *("pcie-pci-bridge", "i82801b11-bridge", "intel-iommu", "amd-iommu"),
            *("virtio-iommu-pci", "virtio-iommu", "cfi.pflash01"),  # QEMU's SMM protects the last
        ),
        Q35,
    ),
}
#: IDE disks, whose bus is a different one on the other board.
_ON_IDE = ("ide-hd", "ide-cd", "ide-drive", "ide-cf")
#: Options that add a board's own controller or a device on it, or that read all this from a file.
_OF_EITHER = ("usb", "usbdevice", "hda", "hdb", "hdc", "hdd", "cdrom", "readconfig")
_PROPERTY_OF_PLACE = ("bus", "addr")


def check_arguments(domain: etree._Element, conversion: Conversion) -> None:
    """Arguments for QEMU that name a bus, a machine type or one of the board's devices.

    libvirt defines it; the start fails with ``Bus 'pci.0' not found``, or ``Can't create IDE unit 1,
    bus supports only 1 units``; or it works, and ``-global ICH9-LPC.…`` no longer does anything.
    """
    for option, value in _options(domain):
        named_by = _board_in(option, value, conversion)
        if named_by:
            # Not the argument itself: others than root read this, and it may hold a secret.
            raise ConversionError(
                f"argument with {named_by} for QEMU is made for {conversion.old}",
                "qemu:commandline/qemu:arg",
            )


def check_overrides(domain: etree._Element, conversion: Conversion) -> None:
    """Likewise device properties that are given past libvirt.

    libvirt silently accepts properties of a missing device: those of an IDE disk, or of a
    controller that goes with its board, would be lost.
    """
    overridden = domain.findall(_OVERRIDDEN)
    leaving = _aliases_of_board(domain, conversion) if overridden else set()
    for device in overridden:
        alias = device.get("alias", "")
        for found in device.iterfind(_PROPERTIES):
            placed = found.get("name") in _PROPERTY_OF_PLACE
            placed = placed or bool(_BUS.search(found.get("value", "")))
            if placed or alias in leaving or _OLD_ALIAS.match(alias):
                raise ConversionError(
                    f"property {printable(found.get('name'), 40)} for QEMU of"
                    f" {printable(alias, 40)} is made for {conversion.old}",
                    "qemu:override/qemu:device",
                )


def check_machine(domain: etree._Element, wanted: str) -> None:
    """An argument for QEMU that names a machine type counts there, whatever the definition says.

    :raises ConversionError: it names one other than the wanted one.
    """
    named = of_arguments(arg.get("value", "") for arg in domain.iterfind(_ARGUMENTS))
    if named is not None and named != wanted:
        raise ConversionError(
            f"an argument for QEMU makes it {printable(named, 80)}, whatever <os><type> says: take"
            " -machine out of <qemu:commandline>",
            "qemu:commandline/qemu:arg",
        )


def _options(domain: etree._Element) -> Iterator[tuple[str, str]]:
    """Yield each argument with the one before it, which is its option if it is one."""
    before = ""
    for arg in domain.iterfind(_ARGUMENTS):
        value = arg.get("value", "")
        yield before, value
        before = value


def _board_in(before: str, value: str, conversion: Conversion) -> str:
    """Return the part of an argument that is made for the old board, '' for none."""
    bus = _BUS.search(value)
    if bus:
        return bus.group()
    if _is_option(value, _OF_EITHER):
        return printable(value, 20)
    if _is_option(before, ("machine", "M")):
        return before if of_arguments((before, value)) or "x-south-bridge" in value else ""
    if _is_option(before, ("drive",)):
        return before if _interface(value) in ("", "ide") else ""
    if _is_option(before, ("set",)):
        return before if value.startswith("device.") else ""
    if _is_option(before, ("global", "device")):
        driver = _driver(value)
        placed = driver in _ON_IDE and _is_option(before, ("device",))
        old = _OF_BOARD.get(driver.lower()) == conversion.old.family
        return driver if placed or old else ""
    return ""


def _is_option(text: str, names: tuple[str, ...]) -> bool:
    # QEMU takes one dash or two.
    return text[:1] == "-" and text.removeprefix("-").removeprefix("-") in names


def _driver(value: str) -> str:
    """Return the device that ``-global`` or ``-device`` is about: ``X.property=…``, ``X,…``, ``driver=X,…`` or JSON."""
    found = re.search(r'(?:^|,)driver=([^,]*)|"driver"\s*:\s*"([^"]*)"', value)
    if found:
        return found.group(1) or found.group(2) or ""
    name = value.partition(",")[0].partition("=")[0]
    # Names of devices may have a dot in them (cfi.pflash01), names of properties don't.
    return name.rpartition(".")[0] or name


def _interface(value: str) -> str:
    found = re.search(r"(?:^|,)if=([^,]*)", value)
    return found.group(1) if found else ""


def _aliases_of_board(domain: etree._Element, conversion: Conversion) -> set[str]:
    """Return the names of the controllers that go, or become others."""
    leaving = [*controllers(domain, "pci"), *controllers(domain, "ide")]
    leaving += [one for one in controllers(domain, "sata") if one.get("index", "0") == "0"]
    aliases = (controller.find("alias") for controller in leaving)
    return {alias.get("name", "") for alias in aliases if alias is not None}
