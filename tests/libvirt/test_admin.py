# SPDX-License-Identifier: Apache-2.0
"""mthook-admin on a real libvirtd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook.catalog.store import Catalog
from mthook.xmlrewrite import summary
from tests.lab import OLD_PC, PC, Q35, Host, guest_xml
from tests.libvirt.desk import Commands

UUID = "3f2c1d3e-0000-4000-8000-000000000001"
OTHER = "3f2c1d3e-0000-4000-8000-000000000002"
OLD, NEW = OLD_PC, PC
VNC = "<graphics type='vnc' port='-1' passwd='sesame'/>"


class Desk(Commands):
    """With a guest, web-1."""

    def pin(self, machine: str, seen: str | None = None) -> None:
        """Pin web-1 as the hook does."""
        with Catalog.open(self.path) as catalog:
            catalog.set_pin(UUID, machine, source="first boot", actor="hook", seen=seen)

    def defined(self, name: str = "web-1") -> str | None:
        """Return the machine type that a guest is defined as."""
        xml = self.node.virsh("dumpxml", "--inactive", name).stdout
        return summary.read(xml.encode()).machine

    def running(self, name: str = "web-1") -> str | None:
        """Return the machine type that a guest runs."""
        return summary.read(self.node.virsh("dumpxml", name).stdout.encode()).machine


@pytest.fixture
def desk(node: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """The lab host without guests, and without a catalog."""
    yield Desk(node, tmp_path, capsys)
    node.remove_guests()


def test_a_guest_boots_as_what_it_was_set_to(desk: Desk) -> None:
    """Pin and definition change together; its next start needs no sync in between."""
    desk.node.define(guest_xml("web-1", UUID, OLD))
    desk.sync()

    assert desk.admin("set", "web-1", NEW) == (0, "", f"web-1 ({UUID}): {OLD} → {NEW}\n")
    desk.node.virsh("start", "web-1")
    assert desk.running() == NEW
    assert desk.admin("get", UUID) == (0, f"{NEW}\n", "")


def test_a_password_survives_the_change(desk: Desk) -> None:
    """libvirt shows it only to who asks for it, and forgets it where it isn't given back."""
    desk.node.define(guest_xml("web-1", UUID, OLD, devices=VNC))
    desk.sync()

    assert desk.admin("set", "web-1", NEW)[0] == 0
    assert "sesame" in desk.node.virsh("dumpxml", "--security-info", "web-1").stdout


def test_a_running_guest_is_refused_and_forced(desk: Desk) -> None:
    """Forced, its definition and pin change; it keeps its machine type until its cold start."""
    desk.node.boot("web-1", OLD, uuid=UUID)
    desk.sync()

    assert desk.admin("set", "web-1", NEW)[0] == 3
    assert (desk.defined(), desk.running()) == (OLD, OLD)

    code, _, said = desk.admin("set", "web-1", NEW, "--force")

    assert code == 0
    assert "until its next cold start" in said
    assert (desk.defined(), desk.running()) == (NEW, OLD)
    rows = json.loads(desk.admin("list", "-f", "json", "--drift")[1])
    assert [(row["name"], row["drift"]) for row in rows] == [("web-1", ["running"])]

    desk.node.virsh("destroy", "web-1")
    desk.node.virsh("start", "web-1")
    assert desk.running() == NEW


def test_a_saved_guest_is_refused_until_its_image_is_gone(desk: Desk) -> None:
    """Resuming it would bring the old machine type back."""
    desk.node.boot("web-1", OLD, uuid=UUID)
    desk.sync()
    desk.node.virsh("managedsave", "web-1")

    assert desk.admin("set", "web-1", NEW)[0] == 3
    assert desk.admin("unset", "web-1")[0] == 3

    desk.node.virsh("managedsave-remove", "web-1")

    assert desk.admin("set", "web-1", NEW)[0] == 0
    assert desk.defined() == NEW


def test_what_this_hosts_qemu_lacks_is_unsupported(desk: Desk) -> None:
    """By libvirt's capabilities, with the nearest names that it has."""
    desk.node.define(guest_xml("web-1", UUID, OLD))
    desk.sync()

    code, _, said = desk.admin("set", "web-1", "pc-i440fx-99.1")

    assert code == 5
    assert NEW in said
    assert desk.defined() == OLD


def test_a_definition_that_libvirt_refuses_leaves_everything_as_it_was(desk: Desk) -> None:
    """Here libvirtd can't write it: the old pin is put back, the line gives libvirt's reason."""
    desk.node.define(guest_xml("web-1", UUID, OLD))
    desk.sync()
    in_the_way = desk.node.path("/etc/libvirt/qemu/web-1.xml.new")
    in_the_way.mkdir()
    try:
        code, out, said = desk.admin("set", "web-1", NEW)
    finally:
        in_the_way.rmdir()

    assert (code, out, said.count("\n")) == (1, "", 1)
    assert said.startswith(f"mthook-admin: web-1 ({UUID}): libvirt refuses the new definition: ")
    assert desk.admin("get", "web-1") == (0, f"{OLD}\n", "")
    desk.node.virsh("start", "web-1")
    assert desk.running() == OLD


def test_diff_shows_what_the_next_sync_does(desk: Desk) -> None:
    """And after it there is nothing to show."""
    desk.node.define(guest_xml("web-1", UUID, NEW, devices=VNC))
    desk.sync()
    desk.pin(OLD)

    code, out, said = desk.admin("diff", "web-1")

    assert (code, said) == (0, "")
    changed = {line.strip("+- ") for line in out.splitlines() if line[0] in "+-"}
    assert {
        f'<type arch="x86_64" machine="{machine}">hvm</type>' for machine in (OLD, NEW)
    } <= changed
    assert "sesame" not in out

    desk.sync()

    assert desk.admin("diff", "web-1") == (0, "", "")
    assert desk.defined() == OLD


def test_an_alias_is_frozen_to_what_the_guest_runs(desk: Desk) -> None:
    """An upgrade of QEMU has moved the alias on; the guest and its definition haven't."""
    desk.node.boot("web-1", OLD, uuid=UUID)
    desk.sync()
    desk.pin("pc", seen=OLD)
    desk.node.define(guest_xml("web-1", UUID, NEW))

    assert desk.admin("freeze", "--all") == (0, "", f"web-1 ({UUID}): pc → {OLD}\n")
    assert (desk.defined(), desk.running()) == (OLD, OLD)


def test_an_accepted_change_needs_no_other_definition(desk: Desk) -> None:
    """What a stopped start proposes: set to what is defined, be it of another family."""
    desk.node.define(guest_xml("web-1", UUID, Q35))
    desk.sync()
    desk.pin(OLD)

    code, _, said = desk.admin("set", UUID, Q35, "--force")

    assert code == 0
    assert said.splitlines()[-1] == f"web-1 ({UUID}): {OLD} → {Q35}"
    assert desk.defined() == Q35


@pytest.mark.parametrize("name", ["--help", "two words", "quo'te\"s", "-v", "größe"])
def test_a_guest_with_any_name_can_be_set(desk: Desk, name: str) -> None:
    """As libvirt allows it."""
    desk.node.define(guest_xml("web-1", UUID, OLD))
    desk.node.virsh("domrename", "--domain", "web-1", "--new-name", name)

    desk.sync()

    assert desk.admin("set", "--", name, NEW) == (0, "", f"{name} ({UUID}): {OLD} → {NEW}\n")
    assert desk.admin("get", "--", name) == (0, f"{NEW}\n", "")


def test_a_libvirtd_that_is_down_is_told_and_can_be_done_without(desk: Desk) -> None:
    """Asking goes on from the catalog; changing takes --force, and the catalog alone changes."""
    desk.node.define(guest_xml("web-1", UUID, OLD))
    desk.sync()
    desk.node.daemon.stop()
    try:
        assert desk.admin("get", "web-1") == (0, f"{OLD}\n", "")
        code, out, said = desk.admin("set", "web-1", NEW)
        assert (code, out, said.count("\n")) == (1, "", 1)
        assert desk.admin("set", "web-1", NEW, "--force")[0] == 0
    finally:
        desk.node.daemon.start()

    assert desk.admin("get", "web-1") == (0, f"{NEW}\n", "")
    assert desk.defined() == OLD
    desk.sync()
    assert desk.defined() == NEW


def test_another_family_takes_force_and_nothing_else(desk: Desk) -> None:
    """The definition is converted; the guest starts, and goes back as it came."""
    desk.node.define(guest_xml("web-1", UUID, OLD))
    desk.sync()

    code, out, said = desk.admin("set", "web-1", Q35)
    assert (code, out) == (4, "")
    assert said.endswith("(--allow family overrides)\n")

    assert desk.admin("set", "web-1", Q35, "--force")[0] == 0
    desk.node.virsh("start", "web-1")
    assert desk.running() == Q35
    desk.node.virsh("destroy", "web-1")
    assert desk.admin("set", "web-1", OLD, "--force")[0] == 0
    assert desk.defined() == OLD


def test_a_guest_that_no_sync_has_seen_can_be_set_by_name(desk: Desk) -> None:
    """The catalog keeps its name, so that its history is found when it is gone."""
    desk.sync()
    desk.node.define(guest_xml("web-1", UUID, OLD))

    assert desk.admin("list", "--unset", "-f", "value", "-c", "Name") == (
        3,
        "web-1\n",
        "no sync has seen web-1 yet\n",
    )
    assert desk.admin("set", "web-1", NEW)[0] == 0
    desk.node.virsh("undefine", "web-1")
    desk.sync()

    rows = json.loads(desk.admin("list", "-f", "json")[1])
    assert [(row["name"], row["state"], row["pin"]) for row in rows] == [("web-1", "gone", NEW)]
    assert desk.admin("history", "web-1")[0] == 0


def test_a_guest_carries_the_pin_that_it_has_now(desk: Desk) -> None:
    """Whatever sets it: another host takes what the guest brings with it for its pin."""

    def carried() -> list[str | None]:
        found = [
            summary.read(desk.node.virsh("dumpxml", *options, "web-1").stdout.encode()).travelled
            for options in ((), ("--inactive",))
        ]
        return [one[0] if one else None for one in found]

    desk.node.boot("web-1", OLD, uuid=UUID)
    desk.sync()
    desk.admin("set", "web-1", NEW, "--allow", "running")
    assert carried() == [NEW, NEW]

    desk.admin("undo", "--last")
    assert carried() == [OLD, OLD]

    desk.node.virsh("destroy", "web-1")
    desk.node.define(desk.node.virsh("dumpxml", "web-1").stdout.replace(f"'{OLD}'", f"'{NEW}'"))
    assert carried() == [OLD, OLD]
    desk.admin("set", "web-1", NEW)
    assert carried() == [NEW, NEW]

    desk.admin("unset", "web-1")
    assert carried() == [None, None]
