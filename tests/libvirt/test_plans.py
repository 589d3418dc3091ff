# SPDX-License-Identifier: Apache-2.0
"""``plan``, ``apply`` and ``undo`` on a real libvirtd: definitions come back as they were."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import OLD_PC, PC, Q35, Host, guest_xml
from tests.libvirt.desk import Commands

WEB = "3f2c1d3e-0000-4000-8000-000000000001"
DB = "3f2c1d3e-0000-4000-8000-000000000002"
OLD = OLD_PC
VNC = "<graphics type='vnc' port='-1' passwd='sesame'/>"


class Desk(Commands):
    """With two guests, web-1 and db-1."""

    def defined(self, name: str) -> str:
        """Return a definition with its password, without mthook's own note, or an empty place for it."""
        text = self.node.virsh("dumpxml", "--inactive", "--security-info", name).stdout
        return re.sub(r" *<metadata(/>|>.*?</metadata>)\n", "", text, flags=re.DOTALL)

    def apply(self, directory: Path, *words: str) -> None:
        """Make a plan and apply it."""
        code, out, err = self.admin("plan", *words)
        assert code == 0, err
        (directory / "plan.json").write_text(out)
        assert {one["refused"] and one["refused"]["text"] for one in json.loads(out)["guests"]} == {
            None
        }
        code, _, err = self.admin("apply", str(directory / "plan.json"))
        assert code == 0, err


@pytest.fixture
def desk(node: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """The lab host with its guests, pinned."""
    desk = Desk(node, tmp_path, capsys)
    node.define(guest_xml("web-1", WEB, OLD, devices=VNC))
    node.define(guest_xml("db-1", DB, OLD, devices=VNC))
    desk.sync()
    yield desk
    node.remove_guests()


@pytest.mark.parametrize("machine", [PC, Q35])
def test_definitions_come_back_as_they_were(desk: Desk, tmp_path: Path, machine: str) -> None:
    """Of another version and of another board; the guest starts as before."""
    before = desk.defined("web-1"), desk.defined("db-1")

    desk.apply(tmp_path, "set", "--to", machine, "--allow", "family")
    assert all(machine in desk.defined(name) for name in ("web-1", "db-1"))
    code, _, err = desk.admin("undo", "--last")

    assert code == 0, err
    assert (desk.defined("web-1"), desk.defined("db-1")) == before
    desk.node.virsh("start", "web-1")
    assert OLD in desk.node.virsh("dumpxml", "web-1").stdout
    desk.sync()
    assert desk.admin("get", "web-1")[1] == f"{OLD}\n"


def test_single_changes_come_back_one_by_one(desk: Desk) -> None:
    """To another board, and the pin released: each is undone by itself, the later one first."""
    before = desk.defined("web-1")

    for words in (("set", "web-1", Q35, "--allow", "family"), ("unset", "web-1")):
        code, _, err = desk.admin(*words)
        assert code == 0, err
    assert Q35 in desk.defined("web-1")
    for _ in range(2):
        code, _, err = desk.admin("undo", "--last")
        assert code == 0, err

    assert desk.defined("web-1") == before
    desk.sync()
    assert desk.admin("get", "web-1")[1] == f"{OLD}\n"
    assert desk.defined("web-1") == before


def test_what_runs_doesnt_change(desk: Desk, tmp_path: Path) -> None:
    """Neither by a plan that is allowed to, nor when it is taken back."""
    desk.node.virsh("start", "web-1")

    def runs() -> list[str]:
        text = desk.node.virsh("dumpxml", "web-1").stdout
        return [
            line for line in text.splitlines() if "mthook" not in line and "metadata" not in line
        ]

    before = runs()
    desk.apply(tmp_path, "set", "--to", PC, "--allow", "running")
    assert runs() == before
    assert desk.admin("undo", "--last")[0] == 0
    assert runs() == before
