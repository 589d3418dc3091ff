# SPDX-License-Identifier: Apache-2.0
"""The first hour with mthook on a host with libvirt alone: ``tests/transcripts/first-hour-libvirt.txt``."""

from __future__ import annotations

import pytest

from tests.lab import Host, guest_xml
from tests.recorded import NEW, OLD
from tests.transcript import Transcript

WEB, DB, MAIL = (f"7d3f0a52-6a0e-4c6f-9f3b-00000000000{number}" for number in (1, 2, 3))


def test_the_first_hour_reads_as_it_should(pytestconfig: pytest.Config) -> None:
    """Every command, right and wrong, as a terminal of 80 columns shows it."""
    with Host("alpha") as host:
        host.boot("web-1", OLD, uuid=WEB)
        host.define(guest_xml("web-1", WEB, NEW))
        host.define(guest_xml("db-1", DB, OLD))
        host.boot("büro 1", NEW, uuid=MAIL)
        host.path("/run/web-1.xml").write_text(guest_xml("web-1", WEB, NEW))
        session = Transcript(host, "first-hour-libvirt")
        before(session)
        audit(session)
        changes(session)
        enforce(session)
        session.check(pytestconfig.getoption("rewrite_transcripts"))


def before(session: Transcript) -> None:
    """Look around."""
    session.say("mthook is installed and nothing else; web-1 was redefined while it runs")
    session.type("virsh list --all", "mthook-admin", "mthook-admin lst")
    session.type("mthook-admin get web-1", "mthook-status", "mthook-status upgrade check")


def audit(session: Transcript) -> None:
    """Set the host up, in the default mode."""
    session.say("Set it up: no, then yes, then once more")
    session.type("mthook-admin setup", answer="n\n")
    session.type("mthook-admin setup", answer="y\n")
    session.type("mthook-admin setup --yes")
    session.say("What is there")
    session.type("mthook-admin list", "mthook-admin list --drift", "mthook-admin list --state down")
    session.type("mthook-admin get web-1", "mthook-admin get 'büro 1'")
    session.type("mthook-admin get nobody", "mthook-admin get")
    session.say("What mode enforce would do")
    session.type("mthook-sync --dry-run", "mthook-sync", "mthook-admin diff web-1")
    session.type("mthook-admin hook status", "mthook-status upgrade check")


def changes(session: Transcript) -> None:
    """Change pins, also where that isn't wise."""
    session.say("Other machine types, and what speaks against them")
    session.type(f"mthook-admin set web-1 {NEW}", f"mthook-admin set db-1 {NEW}")
    for machine in (NEW, OLD, OLD.replace("i440fx", "q35"), "pc", "pc-i440fx-99.9", "mainboard"):
        session.type(f"mthook-admin set db-1 {machine}")
    session.type(f"mthook-admin set nobody {NEW}")
    session.type(f"mthook-admin set db-1 {OLD} --allow olde")
    session.type(f"mthook-admin set db-1 {OLD} --allow older --reason 'tried it'")
    session.type("mthook-admin unset db-1", "mthook-admin list --unset")
    session.type("mthook-admin freeze db-1 web-1", "mthook-admin accept web-1 --dry-run")


def enforce(session: Transcript) -> None:
    """Turn protection on, have a start stopped and mended, take it all off."""
    session.say("Protect")
    session.type("mthook-admin setup --mode enforce --yes")
    session.type("mthook-status upgrade check")
    session.say("Somebody redefines web-1 once more, and starts it")
    session.type("virsh -q destroy web-1", "virsh -q define /run/web-1.xml")
    session.type("virsh start web-1", "mthook-admin list --drift")
    session.type("mthook-sync --only repair --start", "virsh -q list", "mthook-admin history web-1")
    session.say("Take it off")
    session.type("mthook-admin uninstall", answer="\n")
    session.type("mthook-admin uninstall --yes --metadata", "mthook-admin uninstall --yes")
