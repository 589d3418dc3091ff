# SPDX-License-Identifier: Apache-2.0
"""Nova's own code through the gate."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gate.node import GATE, Node, gated, uri
from tests.lab import OLD_PC, PC, Host, MariaDB, guest_xml
from tests.lab.nova import Cloud
from tests.lab.site import UUID
from tests.nova import happenings

OLD, NEW = OLD_PC, PC
NOVA = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"


@pytest.fixture(scope="module")
def alpha() -> Iterator[Host]:
    """A lab host for the tests of this module."""
    with Host("alpha") as host:
        yield host


@pytest.fixture
def here(alpha: Host) -> Iterator[Node]:
    """That host with a gate."""
    with gated(alpha) as node:
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


@pytest.fixture
def asking(alpha: Host, cloud: Cloud) -> Iterator[Node]:
    """A host whose gate has Nova's database, with a guest of Nova's that has run as OLD and is gone for a moment."""
    database = f"[DEFAULT]\nhost = alpha\n[database]\nconnection = {cloud.cell_url()}\n"
    cloud.add_instance(UUID, host="alpha", machine=OLD)
    with gated(alpha, f"{database}[hook]\ntimeout = 5\n") as node:
        define(node, OLD)
        node.through("start", "web-1")
        node.node.mthook("mthook-sync")
        node.through("destroy", "web-1")
        node.through("undefine", "web-1")
        yield node


def define(node: Node, machine: str) -> str:
    """Define the guest as Nova generates it; return what libvirtd has then."""
    xml = guest_xml("web-1", UUID, machine, metadata=NOVA)
    node.through("define", "/dev/stdin", input=xml)
    return node.node.machine("web-1")


def test_a_lost_record_changes_nothing(asking: Node, cloud: Cloud) -> None:
    """Nova generates its default; the pin is right at the first start."""
    happenings.lose(cloud, UUID)

    assert define(asking, NEW) == OLD
    asking.through("start", "web-1")
    assert asking.node.machine("web-1") == OLD


def test_a_pin_changed_in_nova_a_second_ago_counts(asking: Node, cloud: Cloud) -> None:
    """No sync has run since."""
    happenings.change(cloud, UUID, NEW)

    assert define(asking, NEW) == NEW
    asking.through("start", "web-1")
    assert (asking.pin(), asking.row()["source"]) == (NEW, "Nova")
    assert "rewritten" not in [event[0] for event in asking.events()]


@pytest.mark.parametrize("finished", [False, True])
def test_a_rebuilt_guest_is_what_its_new_image_wants(
    asking: Node, cloud: Cloud, finished: bool
) -> None:
    """While Nova rebuilds it, and when that ended before a sync ran."""
    cloud.begin_rebuild(UUID)
    if finished:
        cloud.finish_rebuild(UUID)

    assert define(asking, NEW) == NEW
    asking.through("start", "web-1")
    assert (asking.pin(), asking.row()["source"]) == (NEW, "first boot")


def test_a_database_that_hangs_holds_up_no_other_client(asking: Node, mariadb: MariaDB) -> None:
    """Nor the client that asked for more than the time limit; then [hook] on_error decides, which is allow."""
    mariadb.pause()
    try:
        began = time.monotonic()
        waiting = threading.Thread(target=define, args=(asking, NEW))
        waiting.start()
        while waiting.is_alive():
            since = time.monotonic()
            asking.through("version")
            assert time.monotonic() - since < 3
        assert 4 < time.monotonic() - began < 15
    finally:
        mariadb.resume()

    assert asking.node.machine("web-1") == NEW
    assert "a domain can't be judged: " in asking.log()
