# SPDX-License-Identifier: Apache-2.0
"""What QEMU and a guest's kernel count; QEMU itself is asked in ``tests/libvirt/test_conversion.py``."""

from __future__ import annotations

import pytest
from lxml import etree

from mthook.xmlrewrite.family.board import Conversion
from mthook.xmlrewrite.family.convert import convert

from .trees import TO_PC, TO_Q35, nova

ORDER = "network cards (eth0 …) may be counted in another order than "


def disk(name: str, bus: str, inside: str = "", device: str = "disk") -> str:
    target = f"<target dev='{name}' bus='{bus}'/>"
    return f"<disk type='file' device='{device}'>{target}{inside}</disk>"


def card(number: int, bus: int, slot: int, model: str = "virtio") -> str:
    address = f"<address type='pci' bus='{bus:#x}' slot='{slot:#x}' function='0x0'/>"
    mac = f"<mac address='52:54:00:00:00:0{number}'/>"
    return f"<interface type='user'>{mac}<model type='{model}'/>{address}</interface>"


def bridge(index: int, bus: int, slot: int, model: str) -> str:
    address = f"<address type='pci' bus='{bus:#x}' slot='{slot:#x}' function='0x0'/>"
    return f"<controller type='pci' index='{index}' model='{model}'>{address}</controller>"


def converted(devices: str, conversion: Conversion) -> tuple[dict[str, str], list[str]]:
    """Return the drives' serials, by name, and what was said."""
    domain = etree.fromstring(f"<domain><devices>{devices}</devices></domain>")
    changes = convert(domain, conversion)
    return {
        one.find("target").get("dev", ""): (one.findtext("serial") or "").strip()  # type: ignore[union-attr]
        for one in domain.iterfind("devices/disk")
    }, changes


@pytest.mark.parametrize(
    ("conversion", "devices", "serials"),
    [
        (TO_Q35, disk("hda", "ide") + disk("hdd", "ide"), {"hda": "QM00001", "hdd": "QM00004"}),
        (TO_Q35, disk("hdc", "ide", device="cdrom"), {"hdc": "QM00003"}),
        # behind the four of IDE, two for each port
        (TO_Q35, disk("sdb", "sata"), {"sdb": "QM00007"}),
        (TO_Q35, disk("sdg", "sata"), {"sdg": "QM00017"}),
        (TO_PC, disk("sdb", "sata"), {"sdb": "QM00003"}),
        (TO_PC, disk("sdg", "sata"), {"sdg": "QM00013"}),
        # a drive's own stays, an empty one is none
        (TO_Q35, disk("hda", "ide", "<serial>A</serial>"), {"hda": "A"}),
        (TO_Q35, disk("hda", "ide", "<serial> </serial>"), {"hda": "QM00001"}),
        # QEMU gives these none, or libvirt one of its own
        (TO_Q35, disk("vda", "virtio") + disk("sda", "scsi"), {"vda": "", "sda": ""}),
    ],
)
def test_a_drive_keeps_the_serial_that_qemu_gave_it(
    conversion: Conversion, devices: str, serials: dict[str, str]
) -> None:
    """By its place on the old board."""
    assert converted(devices, conversion)[0] == serials


def test_a_controller_without_a_drive_counts_too() -> None:
    """libvirt keeps it, and QEMU numbers its ports."""
    empty = "<controller type='sata' index='0'/><controller type='sata' index='3'/>"
    far = disk("sda", "sata", "<address type='drive' controller='3' unit='1'/>")

    assert converted(empty + far, TO_Q35)[0] == {"sda": "QM00043"}
    assert "disk sda: serial QM00043 written, QEMU's own on i440fx" in converted(far, TO_Q35)[1]


def test_a_drive_of_novas_gets_no_serial_but_it_is_said_what_changes() -> None:
    """Nova makes its definition anew, without one."""
    serials, changes = converted(disk("sdb", "sata", device="cdrom"), nova(TO_PC))

    assert serials == {"hda": ""}
    assert "cdrom hda: QEMU's own serial QM00003 → QM00001" in changes


@pytest.mark.parametrize(
    ("address", "serial", "told"),
    [
        ("<address type='pci' slot='0x01' function='0x2'/>", "", True),
        ("<address type='pci' slot='0x07' function='0x0'/>", "", False),
        ("<address type='pci' slot='0x01' function='0x2'/>", "<serial>A</serial>", False),
    ],
)
def test_a_usb_disk_without_serial_has_one_by_its_controller(
    address: str, serial: str, told: bool
) -> None:
    """Which libvirt wouldn't take as a serial."""
    usb = f"<controller type='usb' index='0' model='piix3-uhci'>{address}</controller>"

    changes = converted(usb + disk("sda", "usb", serial), TO_Q35)[1]

    line = "USB disks with other serials, made of their controller's place: disk sda"
    assert (line in changes) == told


@pytest.mark.parametrize(
    ("conversion", "devices", "told"),
    [
        (TO_Q35, card(1, 0, 3) + card(2, 0, 4), ""),
        (TO_Q35, card(1, 0, 9) + card(2, 0, 4), "2, 1"),
        # first all on the root bus, then what is behind its bridges
        (TO_Q35, bridge(1, 0, 3, "pci-bridge") + card(1, 1, 1) + card(2, 0, 4), "2, 1"),
        (TO_Q35, bridge(1, 0, 5, "pci-bridge") + card(1, 0, 4) + card(2, 1, 1), ""),
        # one behind a port of its own, the other behind a bridge for old PCI
        (TO_Q35, card(1, 0, 3) + card(2, 0, 4, "e1000"), "1, 2"),
        (TO_Q35, card(1, 0, 3, "rtl8139") + card(2, 0, 4, "e1000"), ""),
        # in the order of the ports' places, not of their numbers
        (
            TO_PC,
            bridge(1, 0, 5, "pcie-root-port")
            + bridge(2, 0, 4, "pcie-root-port")
            + card(1, 1, 0)
            + card(2, 2, 0),
            "2, 1",
        ),
        # one that stays on the root bus
        (TO_PC, bridge(1, 0, 4, "pcie-root-port") + card(1, 0, 9) + card(2, 1, 0), "1, 2"),
        (TO_PC, card(1, 0, 9) + card(2, 0, 5), ""),
        # a loop of bridges is libvirt's to refuse
        (TO_PC, bridge(1, 1, 1, "pci-bridge") + card(1, 1, 1) + card(2, 1, 2), ""),
    ],
)
def test_another_order_of_network_cards_is_told(
    conversion: Conversion, devices: str, told: str
) -> None:
    """A guest may call them by it: eth0 becomes eth1."""
    changes = converted(devices, conversion)[1]

    names = ", ".join(f"interface 52:54:00:00:00:0{one}" for one in told.split(", "))
    assert [line for line in changes if "counted" in line] == ([ORDER + names] if told else [])
