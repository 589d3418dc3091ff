# SPDX-License-Identifier: Apache-2.0
"""Pins and definitions of real guests."""

from __future__ import annotations

import pytest

from tests.lab import OFFER, guest_xml
from tests.libvirt.sync.setting import NEW, OLD, OTHER, UUID, Setting

SNAPSHOT = """<domainsnapshot><name>before</name><state>shutoff</state>
<creationTime>1700000000</creationTime>{}</domainsnapshot>"""
#: A pin in a guest's own metadata.
CARRIED = (
    "<m:pin xmlns:m='urn:mthook:pin:1' machine='{}' instance='{}' "
    "since='2026-01-01T00:00:00.000000Z'/>"
)


def test_every_kind_of_guest_gets_the_pin_that_is_true_of_it(setting: Setting) -> None:
    """What a guest runs or was saved with counts, whatever its definition says by now."""
    uuids = {
        name: f"{UUID[:-1]}{digit}" for digit, name in enumerate(("runs", "passes", "saved", "off"))
    }
    for name in ("runs", "saved"):
        setting.boot(name, uuids[name], OLD)
    setting.node.virsh("create", "/dev/stdin", input=guest_xml("passes", uuids["passes"], OLD))
    setting.node.virsh("managedsave", "saved")
    for name in ("runs", "saved", "off"):
        setting.node.define(guest_xml(name, uuids[name], NEW))

    assert setting.sync("--only", "seed") == (0, "", "")
    assert setting.pins() == {
        uuids["runs"]: (OLD, "running guest"),
        uuids["passes"]: (OLD, "running guest"),
        uuids["saved"]: (OLD, "saved image"),
        uuids["off"]: (NEW, "definition"),
    }


def test_a_clone_does_not_inherit_the_pin_that_its_definition_carries(setting: Setting) -> None:
    """A pin in the metadata that names another guest says nothing of this one."""
    for name, uuid in (("original", UUID), ("clone", OTHER)):
        setting.node.define(guest_xml(name, uuid, NEW, metadata=CARRIED.format("pc", UUID)))

    setting.sync()

    assert setting.pins() == {UUID: ("pc", "guest metadata"), OTHER: (NEW, "definition")}


def test_a_shut_off_guest_is_realigned_and_boots_as_pinned(setting: Setting) -> None:
    """The definition, the next start and the history have the pinned machine type."""
    setting.node.define(guest_xml("web-1", UUID, NEW))
    setting.pin(OLD)

    assert setting.sync() == (0, "", "")
    setting.node.virsh("start", "web-1")
    assert setting.machines() == (OLD, OLD)
    last = setting.history()[-1]
    assert (last.event, last.old, last.new, last.actor) == ("realigned", NEW, OLD, "mthook-sync")


def test_a_running_guest_with_another_definition_is_realigned(setting: Setting) -> None:
    """As after a migration that brought a persistent definition of its own; the guest runs on."""
    setting.boot("web-1", UUID, OLD)
    setting.node.define(guest_xml("web-1", UUID, NEW))

    assert setting.sync() == (0, "", "")
    assert setting.machines() == (OLD, OLD)
    assert setting.pins() == {UUID: (OLD, "running guest")}


def test_a_transient_guest_stays_transient(setting: Setting) -> None:
    """Redefining would make it persistent; that it runs something else than its pin is noted."""
    setting.node.virsh("create", "/dev/stdin", input=guest_xml("web-1", UUID, NEW))
    setting.pin(OLD)

    assert setting.sync() == (0, "", "")
    assert "web-1" not in setting.node.virsh("list", "--all", "--persistent").stdout
    last = setting.history()[-1]
    assert (last.event, last.old, last.new) == ("drift", OLD, NEW)


@pytest.mark.parametrize("kind", ["a managed-save image", "snapshots (1)"])
def test_a_guest_with_a_saved_state_is_left_alone(setting: Setting, kind: str) -> None:
    """Its image or snapshot would bring another machine type back whatever the definition says."""
    setting.node.define(guest_xml("web-1", UUID, NEW))
    if kind == "snapshots (1)":
        snapshot = SNAPSHOT.format(guest_xml("web-1", UUID, NEW))
        setting.node.virsh("snapshot-create", "web-1", "/dev/stdin", "--redefine", input=snapshot)
    else:
        setting.node.virsh("start", "web-1")
        setting.node.virsh("managedsave", "web-1")
    setting.pin(OLD)
    before = setting.definitions()

    code, out, err = setting.sync("-v")

    assert (code, out) == (0, "")
    *_, first, last = err.splitlines()
    assert first.startswith(f"mthook-sync: web-1 ({UUID}): left alone: it has {kind}, which hold")
    assert last.endswith("left alone: 1, errors: 0")
    assert setting.definitions() == before


def test_what_else_a_guest_has_survives_a_realignment(setting: Setting) -> None:
    """Password, autostart, others' metadata and all other elements are as before."""
    xml = guest_xml("web-1", UUID, NEW, metadata="<a:a xmlns:a='urn:a'><!-- b -->ü</a:a>")
    vnc = "<graphics type='vnc' port='-1' passwd='hushhush'/></devices>"
    setting.node.define(xml.replace("</devices>", vnc))
    setting.node.virsh("autostart", "web-1")
    before = setting.node.virsh("dumpxml", "--security-info", "web-1").stdout
    setting.pin(OLD)

    assert setting.sync() == (0, "", "")

    after = setting.node.virsh("dumpxml", "--security-info", "web-1").stdout
    changed = set(after.splitlines()) ^ set(before.splitlines())
    mine = {line.strip() for line in changed if "mthook:pin" in line}
    assert {line.strip() for line in changed} - mine == {
        f"<type arch='x86_64' machine='{name}'>hvm</type>" for name in (OLD, NEW)
    }
    assert "passwd='hushhush'" in after
    assert len(mine) == 1
    assert "enable" in setting.node.virsh("dominfo", "web-1").stdout.split("Autostart:")[1]


def test_a_definition_that_this_host_can_no_longer_run_is_mended(setting: Setting) -> None:
    """QEMU lost its machine type; it is listed, can't start, and gets its pin."""
    setting.node.define(guest_xml("web-1", UUID, NEW))
    file = setting.node.path("/etc/libvirt/qemu/web-1.xml")
    setting.node.daemon.stop()
    file.write_text(file.read_text().replace(NEW, "pc-i440fx-1.0"))
    setting.node.daemon.start()
    assert setting.machines() == ("pc-i440fx-1.0", None)
    setting.pin(OLD)

    assert setting.sync() == (0, "", "")
    setting.node.virsh("start", "web-1")
    assert setting.machines() == (OLD, OLD)


def test_a_pin_that_this_host_cant_run_is_an_error_with_advice(setting: Setting) -> None:
    """It names guest, pin and the nearest machine types; the definition stays."""
    setting.node.define(guest_xml("web-1", UUID, NEW))
    setting.pin("pc-i440fx-66.6")
    before = setting.definitions()

    code, out, err = setting.sync()

    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(f"mthook-sync: web-1 ({UUID}): pinned to pc-i440fx-66.6, which ")
    nearest = [*OFFER.releases(deprecated=False), *OFFER.releases(deprecated=True)][:3]
    assert err.endswith(f" on this host; nearest: {', '.join(nearest)}\n")
    assert setting.definitions() == before


def test_what_another_family_cannot_have_is_an_error(setting: Setting) -> None:
    """The definition stays."""
    setting.node.define(guest_xml("web-1", UUID, "q35", devices="<iommu model='intel'/>"))
    setting.pin(OLD)
    before = setting.definitions()

    code, out, err = setting.sync()

    assert (code, out, len(err.splitlines())) == (1, "", 1)
    pinned = f"pinned to {OLD}, defined as pc-q35-"
    assert err.startswith(f"mthook-sync: web-1 ({UUID}): {pinned}")
    assert ": iommu intel: " in err
    assert setting.definitions() == before
