# SPDX-License-Identifier: Apache-2.0
"""The way back from what somebody made of a guest by hand."""

from __future__ import annotations

import pytest
from lxml import etree

from mthook.xmlrewrite import kept, pipeline
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.secrets import without_secrets
from mthook.xmlrewrite.target import Kept, Original, Target

PC, Q35 = "pc-i440fx-7.2", "pc-q35-7.2"
AT, LATER = "2026-01-01T00:00:00.000000Z", "2026-02-01T00:00:00.000000Z"
HDA = (
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a.img'/>"
    "<target dev='hda' bus='ide'/><address type='drive' controller='0' bus='0' target='0' unit='0'/></disk>"
)
SDA = (
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a.img'/>"
    "<target dev='sda' bus='sata'/><address type='drive' controller='0' bus='0' target='0' unit='0'/></disk>"
)
CDROM = "<disk type='file' device='cdrom'>{}<target dev='{}' bus='{}'/><readonly/></disk>"
NIC = (
    "<interface type='network'><mac address='52:54:00:00:00:0{}'/><source network='{}'/><model type='virtio'/>"
    "<address type='pci' domain='0x0000' bus='{}' slot='{}' function='0x0'/></interface>"
)
OF_PC = (
    "<controller type='pci' index='0' model='pci-root'/><controller type='ide' index='0'>"
    "<address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x1'/></controller>"
)
OF_Q35 = (
    "<controller type='pci' index='0' model='pcie-root'/><controller type='pci' index='1' model='pcie-root-port'>"
    "<address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/></controller>"
    "<controller type='sata' index='0'>"
    "<address type='pci' domain='0x0000' bus='0x00' slot='0x1f' function='0x2'/></controller>"
)
HERE, THERE = NIC.format(1, "lan", "0x00", "0x09"), NIC.format(1, "lan", "0x01", "0x00")


def domain(machine: str, devices: str, memory: int = 64, rest: str = "") -> bytes:
    return (
        f"<domain type='kvm'><name>web-1</name><uuid>3f2c1d3e-0000-4000-8000-000000000001</uuid>"
        f"<memory unit='MiB'>{memory}</memory><os><type arch='x86_64' machine='{machine}'>hvm</type></os>"
        f"<devices>{devices}</devices>{rest}</domain>"
    ).encode()


def led_back(before: bytes, now: bytes) -> bytes | None:
    """Return what becomes of a guest that was something else when it was right; None: nothing leads back."""
    of = Kept("", 0, PC, AT, without_secrets(Definition(before)))
    original = kept.way_back(None, of, Definition(now), PC)
    if original is None:
        return None
    result = pipeline.rewrite(now, Target(PC, original=original))
    assert result.restored
    return result.xml


def form(xml: bytes | None) -> bytes:
    assert xml is not None
    tree = etree.fromstring(xml, etree.XMLParser(remove_blank_text=True))
    tree[:] = sorted(tree, key=lambda child: str(child.tag))
    devices = tree.find("devices")
    assert devices is not None
    for device in devices:
        device[:] = sorted(device, key=lambda child: str(child.tag))
    devices[:] = sorted(devices, key=etree.tostring)
    return etree.tostring(tree, method="c14n")


@pytest.mark.parametrize(
    "disk", [HDA.replace("'ide'", "'sata'"), SDA], ids=["named alike", "renamed"]
)
def test_a_guest_becomes_exactly_what_it_was(disk: str) -> None:
    """No AHCI card for the disk, and the network card in its own slot, whatever that hand has written."""
    before = domain(PC, OF_PC + HDA + HERE)

    assert form(led_back(before, domain(Q35, OF_Q35 + disk + THERE))) == form(before)


def test_what_has_nothing_to_do_with_the_board_stays_as_it_is_now() -> None:
    """Memory, the network that a card is on, and secrets, of which none is kept."""
    vnc = "<graphics type='vnc' passwd='sesame'/>"
    before = domain(PC, OF_PC + HDA + HERE + vnc)
    now = domain(
        Q35, OF_Q35 + SDA + THERE.replace("lan", "dmz") + vnc.replace("sesame", "open"), 128
    )

    wanted = domain(
        PC, OF_PC + HDA + HERE.replace("lan", "dmz") + vnc.replace("sesame", "open"), 128
    )
    assert form(led_back(before, now)) == form(wanted)


def test_a_disk_that_was_moved_stays_where_it_is_now() -> None:
    """An old image at the old path would be a guest's old data."""
    moved = HDA.replace("/a.img", "/new/a.qcow2").replace("'raw'", "'qcow2'")
    now = domain(Q35, OF_Q35 + moved.replace("'ide'", "'sata'") + THERE)

    assert form(led_back(domain(PC, OF_PC + HDA + HERE), now)) == form(
        domain(PC, OF_PC + moved + HERE)
    )


def test_what_came_stays_and_what_went_stays_away() -> None:
    """A disk and a network card that were added by the same hand, and a card that was removed."""
    vda = "<disk type='file' device='disk'><source file='/b.img'/><target dev='vda' bus='virtio'/></disk>"
    before = domain(PC, OF_PC + HDA + HERE + NIC.format(2, "lan", "0x00", "0x0a"))
    now = domain(Q35, OF_Q35 + SDA + THERE + NIC.format(3, "dmz", "0x02", "0x00") + vda)

    xml = form(led_back(before, now))

    assert b"52:54:00:00:00:01" in xml and b'slot="0x09"' in xml
    assert b"52:54:00:00:00:02" not in xml
    assert b"52:54:00:00:00:03" in xml and b'bus="0x02"' not in xml  # libvirt finds it a place
    assert b"/b.img" in xml and xml.count(b"/a.img") == 1


def test_a_drive_has_the_medium_that_is_in_it_now() -> None:
    """What was in it then may be gone."""
    old = CDROM.format("<source file='/old.iso'/>", "hdc", "ide")
    before, after = OF_PC + old + HERE, OF_PC + CDROM.format("", "hdc", "ide") + HERE
    now = domain(Q35, OF_Q35 + CDROM.format("", "sdb", "sata") + THERE)

    assert form(led_back(domain(PC, before), now)) == form(domain(PC, after))


@pytest.mark.parametrize(
    "disks",
    [
        SDA.replace("/a.img", "/b.img"),
        SDA + HDA.replace("/a.img", "/b.img").replace("'ide'", "'sata'"),
    ],
    ids=["renamed and moved", "its name is another's"],
)
def test_no_disk_is_taken_for_another(disks: str) -> None:
    """Where it can't be told which was which, nothing leads back."""
    assert led_back(domain(PC, OF_PC + HDA + HERE), domain(Q35, OF_Q35 + disks + THERE)) is None


def test_of_two_ways_back_the_newer_one_is_taken_if_it_leads_there() -> None:
    """What mthook converted since counts, unless that was between other families."""
    now, right = Definition(domain(Q35, OF_Q35)), domain(PC, OF_PC)
    of = Kept("", 0, PC, AT, right)

    newer, older = Original(right, now.xml, LATER), Original(right, now.xml, "2025")
    elsewhere = Original(now.xml, right, LATER)

    assert kept.way_back(newer, of, now, PC) is newer
    assert kept.way_back(older, of, now, PC) not in (None, older)
    assert kept.way_back(elsewhere, of, now, PC) not in (None, elsewhere)
    assert kept.way_back(None, of, Definition(domain("pc-i440fx-6.2", OF_PC)), PC) is None
    assert kept.way_back(None, Kept("", 0, Q35, AT, now.xml), now, PC) is None
