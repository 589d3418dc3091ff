# SPDX-License-Identifier: Apache-2.0
"""Through the gate everything is as without it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.gate.node import DIRECT, GATE, GATE_RO, Node, uri
from tests.lab import guest_xml

SCRIPT = Path(__file__).with_name("script.py")
POOL = (
    "<pool type='dir'><name>pool</name><target><path>/var/lib/libvirt/pool</path></target></pool>"
)
UUIDS = {
    "run": "3f2c1d3e-0000-4000-8000-00000000000a",
    "off": "3f2c1d3e-0000-4000-8000-00000000000b",
}


def _results(node: Node, path: str) -> list[str]:
    """Run the script on a host that looks the same each time."""
    node.node.remove_guests()
    for name, uuid in UUIDS.items():
        node.node.define(guest_xml(name, uuid, devices="<serial type='pty'/>"))
    node.node.virsh("start", "run")
    node.node.run(["mkdir", "-p", "/var/lib/libvirt/pool"])
    node.node.virsh("pool-define", "/dev/stdin", input=POOL, check=False)
    done = node.node.run([sys.executable, SCRIPT, uri(path)], check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def test_two_hundred_calls_give_the_same_results_directly_and_through_the_gate(here: Node) -> None:
    """Errors included, with their numbers and texts."""
    direct = _results(here, DIRECT)
    gate = _results(here, GATE)

    assert len(direct) >= 200
    assert sum("=" not in line.partition(":")[0] for line in direct) > 40
    names = (DIRECT, GATE)
    assert [_same(line, names) for line in gate] == [_same(line, names) for line in direct]


def test_the_read_only_socket_is_read_only(here: Node) -> None:
    """To libvirtd, which says so."""
    here.node.define(guest_xml("off", UUIDS["off"]))
    assert here.through("list", "--all", "--name", socket=GATE_RO).stdout.split() == ["off"]

    xml = guest_xml("off", UUIDS["off"])
    done = here.through("define", "/dev/stdin", input=xml, check=False, socket=GATE_RO)

    assert "operation forbidden: read only access prevents virDomainDefineXML" in done.stderr


def _same(line: str, names: tuple[str, str]) -> str:
    for name in names:
        line = line.replace(name, "SOCKET")
    return line
