# SPDX-License-Identifier: Apache-2.0
"""What is left of a domain that is started beside its guest: all that QEMU gives it, nothing of the host's."""

from __future__ import annotations

import re

import pytest
from lxml import etree

from mthook.errors import DomainXMLError
from mthook.xmlrewrite.alone import DIRECTORY, NAME, Alone, alone
from mthook.xmlrewrite.definition import Definition
from tests.corpus import CASES, Case, ident

#: What a rehearsed domain may name: its own files, and what is the same on every host.
_OWN = re.compile(rf"^({DIRECTORY}(/|$)|/dev/urandom$|/usr/share/|/usr/libexec/|/new/qemu$)")


def rehearsed(devices: str = "", *, top: str = "", kind: str = "kvm") -> Alone:
    """Return what becomes of a domain."""
    xml = (
        f"<domain type='{kind}' id='7'><name>web-1</name><uuid>3f2c1d3e-0000-4000-8000-000000000001</uuid>"
        "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>"
        f"{top}<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{devices}</devices></domain>"
    )
    return alone(Definition(xml.encode()), "/new/qemu")


def _readable(case: Case) -> bool:
    try:
        Definition(case.xml).copy()
    except DomainXMLError:
        return False
    return True


@pytest.mark.parametrize("case", [case for case in CASES if _readable(case)], ids=ident)
def test_no_domain_names_anything_of_the_hosts(case: Case) -> None:
    """Neither a path, nor a network, nor a socket, nor a password."""
    root = etree.fromstring(alone(Definition(case.xml), "/new/qemu").xml)

    named = [value for one in root.iter("*") for value in (one.text or "", *one.attrib.values())]
    assert [one for one in named if one.startswith("/") and not _OWN.match(one)] == []
    kinds = {one.get("type") for one in root.iterfind("devices/interface")}
    assert kinds <= {"ethernet"}
    assert root.find(".//hostdev") is None
    assert "passwd" not in {name for one in root.iter("*") for name in one.attrib}


@pytest.mark.parametrize("case", [case for case in CASES if _readable(case)], ids=ident)
def test_board_disks_and_cards_stay(case: Case) -> None:
    """What another QEMU may lack."""
    before = etree.fromstring(case.xml)
    after = etree.fromstring(alone(Definition(case.xml), "/new/qemu").xml)

    for path in ("os/type/@machine", "devices/disk/target/@bus", "devices/controller/@model"):
        assert after.xpath(path) == before.xpath(path)
    models = "devices/interface[not(@type='hostdev' or @type='vdpa')]/model/@type"
    assert after.xpath(models) == before.xpath(models)


def test_only_its_emulator_and_its_name_are_others() -> None:
    """A short name, for sockets get it."""
    domain = etree.fromstring(rehearsed().xml)

    assert (domain.findtext("name"), domain.findtext("devices/emulator")) == (NAME, "/new/qemu")
    assert domain.get("id") is None


@pytest.mark.parametrize(
    ("devices", "left_out"),
    [
        ("<hostdev mode='subsystem' type='pci'/>", "hostdev pci"),
        ("<interface type='hostdev'/>", "interface hostdev"),
        ("<filesystem><driver type='virtiofs'/><source dir='/srv'/></filesystem>", "filesystem"),
        ("<memory model='nvdimm'><source><path>/nv</path></source></memory>", "memory nvdimm"),
        ("<tpm model='tpm-tis'><backend type='passthrough'/></tpm>", "tpm"),
        ("<graphics type='sdl'/>", "graphics sdl"),
        ("<vsock model='virtio'/>", "vsock"),
        ("<input type='evdev'><source dev='/dev/input/event1'/></input>", "input evdev"),
        ("<of-a-newer-libvirt type='magic'/>", "of-a-newer-libvirt magic"),
    ],
)
def test_what_cannot_be_replaced_is_left_out_and_named(devices: str, left_out: str) -> None:
    """So that nobody takes it for tried."""
    assert rehearsed(devices).left_out == (left_out,)


def test_arguments_for_qemu_that_lead_somewhere_are_left_out() -> None:
    """Those about the board stay."""
    namespace = "http://libvirt.org/schemas/domain/qemu/1.0"
    words = [
        "-global",
        "ICH9-LPC.noreboot=off",
        "-drive",
        "file=/srv/disk",
        "-machine",
        "dumpdtb=/x",
    ]
    arguments = "".join(f"<q:arg value='{one}'/>" for one in words)
    top = f"<q:commandline xmlns:q='{namespace}'>{arguments}<q:env name='A' value='b'/></q:commandline>"

    found = rehearsed(top=top)

    kept = etree.fromstring(found.xml).findall(f"{{{namespace}}}commandline/*")
    assert [one.get("value") for one in kept] == words[:2]
    assert found.left_out == ("argument -drive", "argument -machine", "environment of QEMU")


def test_none_of_the_hosts_memory_is_reserved() -> None:
    """Huge pages, locked and preallocated memory would be the host's twice."""
    top = (
        "<memoryBacking><hugepages/><locked/><allocation mode='immediate'/><source type='memfd'/>"
        "</memoryBacking><vcpu cpuset='0-3' placement='auto'>4</vcpu><cputune/><numatune/>"
    )

    domain = etree.fromstring(rehearsed(top=top).xml)

    assert [one.tag for one in domain.find("memoryBacking") or ()] == ["source"]
    assert dict(domain.find("vcpu").attrib) == {}
    assert domain.find("cputune") is None and domain.find("numatune") is None


def test_guests_that_differ_in_their_identity_are_started_once() -> None:
    """MAC addresses and serial numbers make no other hardware; a model does."""
    card = (
        "<interface type='bridge'><mac address='52:54:00:00:00:0{}'/><model type='{}'/></interface>"
    )

    one, same, other = (
        rehearsed(card.format(*values)).key
        for values in ((1, "virtio"), (2, "virtio"), (1, "e1000"))
    )

    assert one == same != other
