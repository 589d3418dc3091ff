# SPDX-License-Identifier: Apache-2.0
"""The installed hook under a real libvirtd: what it keeps of guests, and saved ones that nothing can restore."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import OLD_PC, PC, Q35, Host
from tests.lab.site import UUID, Site, fresh
from tests.libvirt.test_conversion_back import parts

GONE = "pc-i440fx-1.0"
DEVICES = """
<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/>
  <address type='pci' domain='0' bus='0' slot='9' function='0'/></interface>
<graphics type='vnc' port='-1' passwd='sesame'/>
"""
BY_HAND = DEVICES.replace("bus='0' slot='9'", "bus='1' slot='0'").replace(
    "<graphics",
    "<controller type='pci' index='0' model='pcie-root'/>"
    "<controller type='pci' index='1' model='pcie-root-port'/><graphics",
)
IMAGE = "/var/lib/libvirt/qemu/save/web-1.save"


@pytest.fixture
def here(alpha: Host) -> Iterator[Site]:
    """The host that guests start on."""
    yield fresh(alpha)
    alpha.remove_guests()


def shown(here: Site) -> str:
    return here.node.virsh("dumpxml", "--inactive", "--security-info", "web-1").stdout


def without_pin(xml: str) -> str:
    lines = xml.replace("<metadata/>", "").splitlines()
    return "\n".join(line for line in lines if "mthook" not in line and "metadata>" not in line)


def kept(here: Site) -> list[object]:
    found: list[object] = here.ask(
        f"(lambda one: [one.at, one.xml.decode()])(catalog.kept({UUID!r}))"
    )
    return found


def test_a_repair_leads_a_guest_back_to_what_it_last_started_as(here: Site) -> None:
    """No sync has seen it; somebody converts it by hand, and its start is stopped."""
    here.node.boot("web-1", PC, uuid=UUID, devices=DEVICES)
    before = shown(here)
    here.node.virsh("destroy", "web-1")
    here.redefine(Q35, devices=BY_HAND)

    assert "'mthook-sync --only repair --start' mends the definition" in here.start()
    here.node.mthook("mthook-sync", "--only", "repair", "--start")

    assert parts(without_pin(shown(here))) == parts(without_pin(before))
    assert (here.node.state("web-1"), here.node.machine("web-1")) == ("running", PC)


def test_what_starts_unchanged_is_kept_once(here: Site) -> None:
    """Starts and syncs agree on what is the same; nothing secret is in it."""
    here.node.boot("web-1", PC, uuid=UUID, devices=DEVICES)
    first = kept(here)
    here.node.mthook("mthook-sync")
    synced = kept(here)
    for _ in range(2):
        here.node.virsh("destroy", "web-1")
        assert here.start() == ""
        here.node.mthook("mthook-sync")

    assert kept(here) == synced == first
    assert "sesame" not in f"{first}{synced}"


def test_a_guest_that_nothing_can_be_led_back_to_stays_stopped(here: Site) -> None:
    """What the client is told works."""
    here.node.boot("web-1", PC, uuid=UUID, devices=DEVICES)
    here.node.virsh("destroy", "web-1")
    here.ask("catalog.connection.execute('DELETE FROM definitions') and None")
    here.redefine(Q35, devices=BY_HAND)

    assert f"'mthook-admin set {UUID} {PC}' converts the definition" in here.start()
    done = here.node.mthook("mthook-sync", "--only", "repair", "--start", check=False)
    assert (done.returncode, here.node.machine("web-1")) == (1, Q35)

    here.node.mthook("mthook-admin", "set", UUID, PC)
    assert here.start() == ""
    assert here.node.machine("web-1") == PC


def test_a_saved_guest_of_a_dropped_type_gets_advice_that_works(here: Site) -> None:
    """QEMU has lost the machine type of definition, pin and image: only discarding the image helps."""
    here.node.boot("web-1", OLD_PC, uuid=UUID)
    here.node.virsh("managedsave", "web-1")
    here.node.daemon.stop()
    for path in (here.node.path(IMAGE), here.node.path("/etc/libvirt/qemu/web-1.xml")):
        path.write_bytes(path.read_bytes().replace(OLD_PC.encode(), GONE.encode()))
    here.set_pin(GONE)
    here.node.daemon.start()

    done = here.node.mthook("mthook-sync", check=False)
    assert done.returncode == 1
    assert f"(web-1: {GONE}): 'mthook-admin list --unsupported' lists them all" in done.stderr
    listed = here.node.mthook("mthook-admin", "list", "--unsupported", "-f", "value", "-c", "Name")
    assert listed.stdout == "web-1\n"
    refused = here.node.mthook("mthook-admin", "set", UUID, PC, "--force", check=False)
    assert f"'virsh managedsave-remove {UUID}' discards it" in refused.stderr

    here.node.virsh("managedsave-remove", UUID)
    here.node.mthook("mthook-admin", "set", UUID, PC, "--force")
    assert here.start() == ""
    assert here.node.machine("web-1") == PC
