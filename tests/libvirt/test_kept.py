# SPDX-License-Identifier: Apache-2.0
"""Guests that somebody converted by hand, on a real libvirtd: they become again just what they were."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook.catalog.store import Catalog
from tests.lab import Host, guest_xml
from tests.libvirt.conversion import Daemon
from tests.libvirt.test_conversion_back import DEVICES, DISK, PC, Q35, UUID, Desk, parts

#: What somebody makes of it on a q35: the disk on SATA under another name, other slots, a port too many.
BY_HAND = f"""
<controller type='pci' index='0' model='pcie-root'/>
<controller type='pci' index='1' model='pcie-root-port'/>
<controller type='pci' index='2' model='pcie-root-port'/>
<disk type='file' device='disk'><source file='{DISK}'/><target dev='sda' bus='sata'/></disk>
<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/>
  <address type='pci' domain='0' bus='2' slot='0' function='0'/></interface>
<graphics type='vnc' port='-1' passwd='sesame'/>
"""


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """A lab host for the tests of this module."""
    with Host("node-1") as host:
        Daemon(host).close()  # makes the disks
        yield host


@pytest.fixture
def desk(node: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """The lab host without guests, and without a catalog."""
    yield Desk(node, tmp_path, capsys)
    node.remove_guests()


def convert_by_hand(desk: Desk) -> None:
    desk.node.define(guest_xml("web-1", UUID, Q35, devices=BY_HAND))


def test_a_sync_leads_a_guest_back_to_what_it_was_at_the_last_one(desk: Desk) -> None:
    """Every controller, bus and address; no AHCI card is left, and the password is the present one."""
    desk.node.define(guest_xml("web-1", UUID, PC, devices=DEVICES))
    desk.sync()
    before = desk.shown("--security-info")
    convert_by_hand(desk)
    assert "sata" in desk.shown()

    desk.sync()

    assert parts(desk.shown("--security-info")) == parts(before)
    desk.node.virsh("start", "web-1")
    assert desk.node.machine("web-1") == PC


def test_what_was_changed_in_between_stays_changed(desk: Desk) -> None:
    """Memory and a second disk, by the same hand."""
    desk.node.define(guest_xml("web-1", UUID, PC, devices=DEVICES))
    desk.sync()
    disk = DEVICES.splitlines()[1].replace("hda", "vda").replace("'ide'", "'virtio'")
    desk.node.define(guest_xml("web-1", UUID, Q35, devices=BY_HAND + disk, memory_mib=96))

    desk.sync()

    shown = desk.shown()
    assert re.search("<memory unit='KiB'>98304<", shown)
    assert "<target dev='vda' bus='virtio'/>" in shown
    assert "<target dev='hda' bus='ide'/>" in shown
    assert "slot='0x09'" in shown
    desk.node.virsh("start", "web-1")


def test_without_that_it_is_left_alone_until_somebody_asks(desk: Desk) -> None:
    """The line says how; that works, and says what becomes of the guest's hardware."""
    desk.node.define(guest_xml("web-1", UUID, PC, devices=DEVICES))
    desk.sync()
    with Catalog.open(desk.path) as catalog:
        catalog.connection.execute("DELETE FROM definitions")
    convert_by_hand(desk)
    before = desk.shown()

    code, _, said = desk.run_sync()
    assert (code, said.count("\n")) == (1, 1)
    assert f"'mthook-admin set {UUID} {PC}' converts it" in said
    assert desk.shown() == before

    out, said = desk.run("set", UUID, PC, "--dry-run")
    assert "+" in out
    assert desk.shown() == before
    out, said = desk.run("set", UUID, PC)
    assert f"web-1 ({UUID}): its definition: {Q35} → {PC}" in said
    assert f"web-1 ({UUID}): not restored: the PCI addresses" in said
    assert f"machine='{PC}'" in desk.shown()
    desk.node.virsh("start", "web-1")
