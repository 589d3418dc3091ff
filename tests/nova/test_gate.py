# SPDX-License-Identifier: Apache-2.0
"""Nova's own code through the gate."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gate.node import GATE, Node, gated, uri
from tests.lab import Host, guest_xml
from tests.lab.site import UUID

OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"
NOVA = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"


@pytest.fixture(scope="module")
def here() -> Iterator[Node]:
    """A lab host with a gate."""
    with Host("alpha") as host, gated(host) as node:
        yield node


def test_novas_own_classes_start_a_guest_right_the_first_time(here: Node) -> None:
    """A new instance, then a hard reboot after the host's default has moved on: no stop, no second attempt."""
    for machine in (OLD, NEW):
        xml = guest_xml("instance-00000001", UUID, machine, metadata=NOVA)
        here.node.path(f"/var/lib/libvirt/{machine}.xml").write_text(xml)
    files = [f"/var/lib/libvirt/{machine}.xml" for machine in (OLD, NEW)]

    script = Path(__file__).with_name("gateway.py")
    output = here.node.run([sys.executable, script, uri(GATE), *files]).stdout.splitlines()

    assert output[-3:] == [OLD, OLD, "['instance-00000001']"]
    assert here.node.machine("instance-00000001") == OLD
    events = here.events()
    assert ["rewritten", NEW, OLD] in events
    assert "stopped" not in [event[0] for event in events]
