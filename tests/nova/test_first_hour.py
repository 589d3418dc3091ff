# SPDX-License-Identifier: Apache-2.0
"""The first hour with mthook on one of Nova's compute hosts: ``tests/transcripts/first-hour-nova.txt``."""

from __future__ import annotations

import pytest

from tests.lab import Host, guest_xml
from tests.lab.nova import Cloud
from tests.recorded import NEW, OLD
from tests.transcript import Transcript

WEB, DB, MAIL = (f"7d3f0a52-6a0e-4c6f-9f3b-00000000000{number}" for number in (1, 2, 3))
NOVA = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"
DOMAIN = "instance-0000000f"
ALL = (
    "SELECT display_name, value FROM instances LEFT JOIN instance_system_metadata"
    " ON instance_uuid = instances.uuid AND `key` = 'image_hw_machine_type' ORDER BY display_name"
)


def test_the_first_hour_reads_as_it_should(cloud: Cloud, pytestconfig: pytest.Config) -> None:
    """Every command, right and wrong, as a terminal of 80 columns shows it."""
    with Host("alpha") as host:
        build(host, cloud)
        session = Transcript(host, "first-hour-nova")
        audit(session, cloud)
        enforce(session, cloud)
        session.check(pytestconfig.getoption("rewrite_transcripts"))


def build(host: Host, cloud: Cloud) -> None:
    """Make three instances, of which Nova knows the machine type of one."""
    cloud.add_instance(WEB, id=15, display_name="web-1")
    cloud.add_instance(DB, id=16, display_name="db-1", machine=NEW)
    cloud.add_instance(MAIL, id=17, display_name="mail-1", vm_state="stopped", power_state=4)
    host.boot(DOMAIN, OLD, uuid=WEB, metadata=NOVA)
    host.boot("instance-00000010", NEW, uuid=DB, metadata=NOVA)
    host.define(guest_xml("instance-00000011", MAIL, OLD, metadata=NOVA))
    host.path("/etc/nova").mkdir()
    host.path("/etc/nova/nova.conf").write_text("[DEFAULT]\nhost = alpha\n")
    host.path("/run/database-url").write_text(f"{cloud.cell_url()}\n")
    host.path("/run/web-1.xml").write_text(guest_xml(DOMAIN, WEB, NEW, metadata=NOVA))


def audit(session: Transcript, cloud: Cloud) -> None:
    """Set the host up, in the default mode: nothing is written to Nova's database."""
    before = cloud.execute(ALL)
    session.say("mthook is installed; the database's URL is in a file")
    session.type("mthook-admin setup --database /etc/hostname --yes")
    session.type("mthook-admin setup --database /run/database-url", answer="y\n")
    session.say("What is there")
    session.type("mthook-admin list", "mthook-admin list --unset")
    for guest in (WEB, DOMAIN, "web-1", "nobody"):
        session.type(f"mthook-admin get {guest}")
    session.say("What mode enforce would do")
    session.type("mthook-sync --dry-run", "mthook-status upgrade check")
    assert cloud.execute(ALL) == before


def enforce(session: Transcript, cloud: Cloud) -> None:
    """Turn protection on, have a start stopped, take it all off."""
    session.say("Protect")
    session.type("mthook-admin setup --mode enforce --yes", "mthook-admin list --unset")
    assert cloud.execute(ALL) == [("db-1", NEW), ("mail-1", OLD), ("web-1", OLD)]
    session.type(f"mthook-admin get {WEB}", "mthook-status upgrade check")
    session.say("Other machine types, and what speaks against them")
    session.type(
        f"mthook-admin set {WEB} {NEW}", f"mthook-admin set {MAIL} {OLD.replace('i440fx', 'q35')}"
    )
    session.type(f"mthook-admin set {MAIL} {NEW}", f"mthook-admin history {MAIL}")
    session.say("Something defines web-1 as another type, and starts it")
    session.type(f"virsh -q destroy {DOMAIN}", "virsh -q define /run/web-1.xml")
    session.type(f"virsh start {DOMAIN}", "mthook-admin list --drift")
    session.say("Take it off")
    session.type("mthook-admin uninstall --yes --metadata")
