# SPDX-License-Identifier: Apache-2.0
"""Figures of a real host, as the service takes them: with no more rights than its unit leaves it."""

from __future__ import annotations

import configparser
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import PC, Q35, Host
from tests.lab.site import UUID, Site, fresh

UNIT = Path(__file__).parents[2] / "etc" / "systemd" / "mthook-sync.service"
TEXTFILE = "/run/node/mthook.prom"


@pytest.fixture
def here(alpha: Host) -> Iterator[Site]:
    """The host with mthook just installed, which is to have figures."""
    site = fresh(alpha)
    site.configure(f"[metrics]\ntextfile = {TEXTFILE}\nper_guest = true\n")
    alpha.run(["mkdir", "-p", "/run/node"])
    yield site
    alpha.run(["rm", "-r", "/run/node"])
    alpha.remove_guests()


def sync(here: Site) -> str:
    """Run mthook-sync as its unit does, and return the figures."""
    unit = configparser.RawConfigParser(strict=False)
    unit.read(UNIT)
    rights = unit["Service"]["CapabilityBoundingSet"].lower().replace("cap_", "+").split()
    confined = ["setpriv", "--no-new-privs", "--bounding-set", ",".join(["-all", *rights])]
    program = Path(sys.executable).with_name("mthook-sync")
    done = here.node.run([*confined, program, "--scheduled"])
    assert (done.stdout, done.stderr) == ("", "")
    return here.node.path(TEXTFILE).read_text()


def test_the_service_may_look_whether_the_guard_is_proven(here: Site) -> None:
    """A daemon's root directory, which tells the hooks that it runs, isn't for everybody to see."""
    assert "\nmthook_guard_proven 1.0\n" in sync(here)

    here.node.path("/etc/libvirt/hooks/qemu").chmod(0o644)

    assert "\nmthook_guard_proven 0.0\n" in sync(here)
    here.node.path("/etc/libvirt/hooks/qemu").chmod(0o755)


def test_starts_and_stops_are_counted(here: Site) -> None:
    """By the hook that libvirtd calls; a guest that is shut off counts."""
    here.node.boot("web-1", PC, uuid=UUID)
    pinned = here.pin()
    here.node.virsh("destroy", "web-1")
    here.redefine(Q35)
    assert here.start() != ""

    figures = sync(here)

    assert "\nmthook_stops_total 1.0\n" in figures
    assert '\nmthook_hook_records_total{event="pinned",operation="unknown"} 1.0\n' in figures
    assert '\nmthook_hook_records_total{event="stopped",operation="prepare"} 1.0\n' in figures
    assert f'machine="{pinned}",state="shut off"' in figures
    assert f'name="web-1",pin="{pinned}"' in figures


def test_a_report_on_a_real_host(here: Site) -> None:
    """Protected by the hook that libvirtd calls; after a stop it names the guest; its export says the same."""
    name = "<b>web"
    here.node.boot(name, PC, uuid=UUID)
    sync(here)
    before = json.loads(here.node.mthook("mthook-admin", "report", "-f", "json").stdout)
    here.node.virsh("destroy", name)
    here.redefine(Q35, name)
    assert here.start(name) != ""
    here.node.mthook("mthook-admin", "report", "--html", "/run/report.html")
    here.node.run(["mkdir", "/run/exports"])
    exported = here.node.mthook("mthook-admin", "export").stdout
    here.node.path("/run/exports/alpha").write_text(exported)
    after = here.node.mthook("mthook-admin", "report", "--from", "/run/exports").stdout

    assert before["standing"] == "protected"
    assert [one["kind"] for one in before["steps"] if one["kind"] != "ending"] == []
    assert [one["problems"] for one in before["hosts"]] == [[]]
    assert [(one["family"], one["guests"]) for one in before["machine_types"]] == [("i440fx", 1)]
    assert after.startswith("alpha: protected, look into it\n")
    assert f"start stopped, to be repaired: 1\n    <b>web has {Q35}, pinned to pc-i440fx" in after
    page = here.node.path("/run/report.html").read_text()
    assert f"&lt;b&gt;web has {Q35}" in page
    assert "<b>" not in page
