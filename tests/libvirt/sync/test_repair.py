# SPDX-License-Identifier: Apache-2.0
"""Real guests whose start was stopped."""

from __future__ import annotations

from mthook.catalog.store import Catalog
from tests.lab import guest_xml
from tests.libvirt.sync.setting import NEW, NOVA, OLD, UUID, Setting


def test_a_stopped_guest_is_repaired_and_started_again(setting: Setting) -> None:
    """The definition has the pin, the guest runs, the list of repairs is empty."""
    setting.node.define(guest_xml("web-1", UUID, NEW))
    setting.pin(OLD)
    setting.stop_start()

    assert setting.sync("--only", "repair", "--start") == (0, "", "")
    assert setting.machines() == (OLD, OLD)
    assert [entry.event for entry in setting.history()][-2:] == ["realigned", "repaired"]
    with Catalog.open(setting.path) as catalog:
        (guest,) = catalog.guests()
        assert catalog.repairs() == []
    assert (guest.defined, guest.running, guest.state) == (OLD, OLD, "running")


def test_a_guest_of_novas_is_mended_but_not_started(setting: Setting) -> None:
    """Nova has its own idea of which guests run."""
    setting.node.define(guest_xml("web-1", UUID, NEW, metadata=NOVA))
    setting.pin(OLD)
    setting.stop_start(nova=True)

    assert setting.sync() == (0, "", "")
    assert setting.machines() == (OLD, None)


def test_a_guest_that_cant_be_started_stays_on_the_list(setting: Setting) -> None:
    """The line names it and has QEMU's or libvirt's reason."""
    disk = (
        "<disk type='file'><source file='/gone'/><target dev='vda' bus='virtio'/></disk></devices>"
    )
    setting.node.define(guest_xml("web-1", UUID, NEW).replace("</devices>", disk))
    setting.pin(OLD)
    setting.stop_start()

    code, out, err = setting.sync("--only", "repair", "--start")

    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(f"mthook-sync: web-1 ({UUID}): can't be started: Cannot access storage")
    with Catalog.open(setting.path) as catalog:
        assert [repair.uuid for repair in catalog.repairs()] == [UUID]
