# SPDX-License-Identifier: Apache-2.0
"""The quick starts with Nova's database are typed, and print what they show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import consoles, recorded
from tests.lab import Host, MariaDB, guest_xml
from tests.lab.nova import Cloud
from tests.lab.novaschema import Schema
from tests.lab.queens import queens
from tests.nova.sync.conftest import NOVA

#: A page is a dozen commands, each a program of its own.
pytestmark = pytest.mark.timeout(400)

WEB, DB = "3f2c1d3e-0000-4000-8000-000000000003", "5b0a77c4-0000-4000-8000-000000000005"
OLD = "9e1f6b20-0000-4000-8000-000000000009"
URL = "/run/mthook-database-url"
NOVA_CONF = "[DEFAULT]\nhost = compute-1\n\n[libvirt]\nvirt_type = kvm\n"


@pytest.fixture
def rewrite(pytestconfig: pytest.Config) -> bool:
    """Whether the consoles are to be written anew."""
    return bool(pytestconfig.getoption("rewrite_transcripts"))


@pytest.fixture
def host() -> Iterator[Host]:
    """A compute host where mthook never was."""
    with Host("compute-1") as host:
        host.run(["mkdir", "-p", "/etc/nova"])
        host.path("/etc/nova/nova.conf").write_text(NOVA_CONF)
        yield host


def fill(host: Host, cloud: Cloud, machine: str | None, **running: str) -> None:
    """Have two instances on the host, and one that is shelved and offloaded.

    :param machine: what Nova has recorded of the first two.
    :param running: what they run or are defined as: ``web`` and ``db``.
    """
    about = {"host": "compute-1", "machine": machine}
    cloud.add_instance(WEB, id=42, display_name="web-1", **about)
    cloud.add_instance(DB, id=43, display_name="db-1", vm_state="stopped", power_state=4, **about)
    cloud.add_instance(OLD, id=44, display_name="old-1", host=None, vm_state="shelved_offloaded")
    host.define(guest_xml("instance-0000002a", WEB, running["web"], metadata=NOVA))
    host.virsh("start", "instance-0000002a")
    host.define(guest_xml("instance-0000002b", DB, running["db"], metadata=NOVA))
    host.path(URL).write_text(cloud.cell_url())


def write_back(host: Host) -> None:
    """Have pins written to Nova, in mode audit too."""
    host.run(["sed", "-i", "s/^write_back = false/write_back = true/", "/etc/mthook/mthook.conf"])


def test_nova_before_wallaby(host: Host, mariadb: MariaDB, schema: Schema, rewrite: bool) -> None:
    """Nothing is recorded."""
    with Cloud(mariadb, schema, "before_") as cloud:
        queens(cloud)
        fill(host, cloud, None, web=recorded.OLD, db=recorded.NEW)

        here = {"write_back": lambda: write_back(host)}
        consoles.check("start-nova-old.rst", host, here, rewrite)


def test_nova_since_wallaby(host: Host, cloud: Cloud, rewrite: bool) -> None:
    """An alias is recorded."""
    fill(host, cloud, "pc", web=recorded.OLD, db=recorded.NEW)

    consoles.check("start-nova.rst", host, {"write_back": lambda: write_back(host)}, rewrite)
