# SPDX-License-Identifier: Apache-2.0
"""The quick starts that need no database are typed, and print what they show."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator

import pytest

from tests import consoles
from tests.lab import Host, guest_xml
from tests.recorded import NEW, OLD

WEB, DB = "3f2c1d3e-0000-4000-8000-000000000003", "5b0a77c4-0000-4000-8000-000000000005"
NOVA = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"
KOLLAS = "/etc/kolla/nova-compute/nova.conf"
TCP = "[DEFAULT]\nhost = compute-1\n\n[libvirt]\nconnection_uri = qemu+tcp://192.0.2.11/system\n"
LOCAL = "[libvirt]\nconnection_uri = qemu:///system\n"


@pytest.fixture
def rewrite(pytestconfig: pytest.Config) -> bool:
    """Whether the consoles are to be written anew."""
    return bool(pytestconfig.getoption("rewrite_transcripts"))


@pytest.fixture
def compute() -> Iterator[Host]:
    """A compute host with two of Nova's guests where mthook never was."""
    with Host("compute-1") as host:
        host.define(guest_xml("instance-0000002a", WEB, OLD, metadata=NOVA))
        host.virsh("start", "instance-0000002a")
        host.define(guest_xml("instance-0000002b", DB, NEW, metadata=NOVA))
        yield host


@pytest.fixture
def host() -> Iterator[Host]:
    """A host where mthook never was."""
    with Host("host-1") as host:
        yield host


def redefine(host: Host) -> None:
    """Somebody stops web-1 and defines it with another machine type."""
    host.virsh("destroy", "web-1")
    host.define(guest_xml("web-1", WEB, NEW))


def write(host: Host, path: str, text: str) -> None:
    """Write a file on a host."""
    host.run(["mkdir", "-p", path.rpartition("/")[0]])
    host.path(path).write_text(text)


def test_plain_libvirt(host: Host, rewrite: bool) -> None:
    """Two guests, of which one has been redefined while it runs."""
    host.boot("web-1", OLD, uuid=WEB)
    host.define(guest_xml("web-1", WEB, NEW))
    host.define(guest_xml("db-1", DB, NEW))

    consoles.check("start-libvirt.rst", host, {"redefined": lambda: redefine(host)}, rewrite)


def test_nova_without_its_database(compute: Host, rewrite: bool) -> None:
    """What Nova has recorded isn't known."""
    write(compute, "/etc/nova/nova.conf", "[DEFAULT]\nhost = compute-1\n")

    consoles.check("start-no-database.rst", compute, {}, rewrite)


def test_kolla_ansible(compute: Host, rewrite: bool) -> None:
    """libvirtd in a container, nova.conf elsewhere, and in it a URI that leads past the gate."""
    write(compute, KOLLAS, TCP)
    write(compute, "/etc/mthook/mthook.conf", LOCAL)

    consoles.check("start-kolla-ansible.rst", compute, {}, rewrite, contained=True)


def test_openstack_helm(compute: Host, rewrite: bool) -> None:
    """libvirtd in a pod, and no nova.conf on the host."""
    consoles.check("start-openstack-helm.rst", compute, {}, rewrite, contained=True)


#: Where mthook makes files.
PLACES = "/etc/mthook /etc/libvirt/hooks /etc/systemd/system/mthook-* $(find /usr/local/share -type f -name '*mthook*')"
STATE = "/var/lib/mthook /run/mthook-cleared"


def listed(path: str) -> str | None:
    """Return the mode that the guide gives a file."""
    text = (consoles.DOCS / "files.rst").read_text()
    for names, mode in re.findall(r"^   \* - (``.+)\n     - 0(\d{3})$", text, re.MULTILINE):
        for name in re.findall(r"``(.+?)``", names):
            directory = "" if name.startswith("/") else "/var/lib/mthook/"
            if fnmatch.fnmatch(path, f"{directory}{name.rstrip('/')}"):
                return str(mode)
    return None


def test_the_guide_lists_every_file_with_its_mode(host: Host) -> None:
    """All that setup, a start and a stopped start leave behind."""
    host.boot("web-1", OLD, uuid=WEB)
    consoles.equip(host)
    consoles.on_terminal(host, "mthook-admin setup --mode enforce")
    host.virsh("destroy", "web-1")
    host.virsh("start", "web-1")
    redefine(host)
    assert "pinned" in host.virsh("start", "web-1", check=False).stderr

    found = host.run(["sh", "-c", f"find {PLACES} {STATE} -printf '%m %p\\n'"]).stdout

    files = dict(reversed(line.split(" ")) for line in found.splitlines())
    assert "/var/lib/mthook/repair-wanted" in files
    del files["/etc/libvirt/hooks"]  # libvirt's
    assert {path: listed(path) for path in files} == files
