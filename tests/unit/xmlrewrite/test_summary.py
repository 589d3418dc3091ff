# SPDX-License-Identifier: Apache-2.0
"""What is read of a domain."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from mthook.xmlrewrite import summary

from .fixtures import FIXTURES, HOOK_STDIN, NOVA_XML, REAL
from .hostile import UUID

SINCE = "2026-11-22T13:00:00.000000Z"
NOTHING = {
    "name": "",
    "uuid": None,
    "virt_type": "",
    "arch": "",
    "machine": None,
    "emulator": None,
    "nova": False,
    "display": "",
    "root_image": None,
    "recorded": None,
    "travelled": None,
    "windows": False,
}


def fields(xml: str | bytes) -> dict[str, object]:
    found = summary.read(xml if isinstance(xml, bytes) else xml.encode())
    return {name: getattr(found, name) for name in NOTHING}


def pin(attributes: str, uuid: str = f"<uuid>{UUID}</uuid>") -> str:
    return (
        f"<domain><metadata><m:pin xmlns:m='urn:mthook:pin:1' {attributes}/></metadata>"
        f"{uuid}</domain>"
    )


def test_a_domain_as_libvirt_prints_it_is_read() -> None:
    """All that mthook needs is found in the standard input of a real prepare."""
    assert fields((FIXTURES / "hook-stdin" / "alpha-prepare.xml").read_bytes()) == {
        "name": "instance-00000001",
        "uuid": UUID,
        "display": "web-1",
        "virt_type": "kvm",
        "arch": "x86_64",
        "machine": "pc-i440fx-7.2",
        "emulator": "/usr/bin/qemu-system-x86_64",
        "nova": True,
        "root_image": "3c4d5e6f-7081-4293-a4b5-c6d7e8f90a1b",
        "recorded": None,
        # The pin in it names no instance: it may be another guest's.
        "travelled": None,
        "windows": False,
    }


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_domains_are_read_as_another_parser_reads_them(path: Path) -> None:
    """Name, UUID, types, machine and emulator agree with a plain tree of the same bytes."""
    root = ET.parse(path).getroot()
    os_type = root.find("os/type")
    assert os_type is not None

    found = summary.read(path.read_bytes())

    assert {
        "name": found.name,
        "uuid": found.uuid,
        "type": found.virt_type,
        "arch": found.arch,
        "machine": found.machine,
        "emulator": found.emulator,
        "nova": found.nova,
    } == {
        "name": root.findtext("name"),
        "uuid": root.findtext("uuid"),
        "type": root.get("type"),
        "arch": os_type.get("arch"),
        "machine": os_type.get("machine"),
        "emulator": root.findtext("devices/emulator"),
        "nova": True,
    }


def test_windows_is_known_by_its_hyperv_features() -> None:
    """Of the fixtures only Nova's guest with os_type=windows is a Windows."""
    windows = [
        path.stem for path in HOOK_STDIN + NOVA_XML if summary.read(path.read_bytes()).windows
    ]

    assert windows == ["pc-rescue-like-windows"]


NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"


def properties(inside: str, place: str = "n:image", uri: str = NOVA) -> str:
    """A domain of an instance with properties of its image."""
    return (
        f"<domain><metadata><n:instance xmlns:n='{uri}'><{place}><n:properties>{inside}"
        f"</n:properties></{place}></n:instance></metadata></domain>"
    )


@pytest.mark.parametrize("path", NOVA_XML, ids=lambda path: path.stem)
def test_what_nova_has_recorded_is_read(path: Path) -> None:
    """Of an instance that had nothing recorded when its XML was made, nothing."""
    name = f".//{{{NOVA}}}property[@name='hw_machine_type']"

    assert summary.read(path.read_bytes()).recorded == ET.parse(path).getroot().findtext(name)


@pytest.mark.parametrize(
    ("inside", "recorded", "windows"),
    [
        (
            "<n:property name='hw_machine_type'>pc-<!-- x -->i440fx-7.2</n:property>",
            "pc-i440fx-7.2",
            False,
        ),
        ("<n:property name='hw_machine_type'>pc; reboot</n:property>", None, False),
        ("<n:property name='hw_machine_type'/>", None, False),
        ("<n:property name='hw_cdrom_bus'>pc</n:property>", None, False),
        ("<n:property>pc</n:property>", None, False),
        ("<property name='hw_machine_type'>pc</property>", None, False),
        ("<n:property name='os_type'>Windows</n:property>", None, True),
        ("<n:property name='os_distro'>windows</n:property>", None, True),
        ("<n:property name='os_distro'>ubuntu</n:property>", None, False),
        (
            "<n:property name='os_type'>linux</n:property>"
            "<n:property name='hw_machine_type'>q35</n:property>",
            "q35",
            False,
        ),
    ],
)
def test_properties_of_the_image_tell(inside: str, recorded: str | None, windows: bool) -> None:
    """What isn't a machine type's name is as good as nothing."""
    found = summary.read(properties(inside).encode())

    assert (found.recorded, found.windows) == (recorded, windows)


@pytest.mark.parametrize(
    "xml",
    [
        properties("<n:property name='hw_machine_type'>pc</n:property>", place="n:flavor"),
        properties("<n:property name='hw_machine_type'>pc</n:property>", uri="urn:x"),
        properties("<n:x><n:property name='hw_machine_type'>pc</n:property></n:x>"),
    ],
)
def test_properties_of_something_else_dont(xml: str) -> None:
    """In the wrong place or namespace."""
    assert summary.read(xml.encode()).recorded is None


def test_an_empty_domain_says_nothing() -> None:
    """Absent elements are '' or None; a later emulator or empty element doesn't matter."""
    assert fields("<domain/>") == NOTHING
    assert fields("<domain><uuid/><os><type machine=''/></os></domain>") == NOTHING
    assert fields("<domain><devices><emulator/></devices></domain>") == NOTHING


@pytest.mark.parametrize(
    "xml", [b"\xef\xbb\xbf<domain/>", b"<?xml version='1.0' encoding='utf8'?><domain/>"]
)
def test_utf8_may_be_announced(xml: bytes) -> None:
    """A byte order mark and a declaration that says UTF-8 are accepted."""
    assert fields(xml) == NOTHING


@pytest.mark.parametrize(
    "inside",
    [
        f"<metadata><x xmlns='urn:x'><name>n</name><uuid>{UUID}</uuid></x></metadata>",
        f"<metadata><name>n</name><uuid>{UUID}</uuid><os><type machine='q35'/></os></metadata>",
        f"<sysinfo><system><entry name='uuid'>{UUID}</entry></system></sysinfo>",
        f"<x:uuid xmlns:x='urn:x'>{UUID}</x:uuid><x:name xmlns:x='urn:x'>n</x:name>",
        "<x:os xmlns:x='urn:x'><type machine='q35' arch='x86_64'/></x:os>",
        "<os><x:type xmlns:x='urn:x' machine='q35' arch='x86_64'/></os>",
        "<os><bios><type machine='q35'/></bios></os>",
        f"<domain><uuid>{UUID}</uuid><name>n</name></domain>",
        "<emulator>/bin/sh</emulator>",
        "<metadata><x><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'/></x></metadata>",
        "<nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'/>",
        "<metadata><instance/></metadata>",
        "<features><hyperv><relaxed state='off'/></hyperv></features>",
        "<features><other><hyperv><relaxed state='on'/></hyperv></other></features>",
        "<!-- <uuid>x</uuid> --><?uuid x?>",
        "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='file:///etc/passwd'/>",
    ],
)
def test_only_what_libvirt_reads_counts(inside: str) -> None:
    """Elements of the right name in the wrong place or namespace, and comments, say nothing."""
    assert fields(f"<domain>{inside}</domain>") == NOTHING


@pytest.mark.parametrize(
    "text",
    [
        UUID,
        UUID.upper(),
        UUID.replace("-", ""),
        f"\n  {UUID}\t",
        f"<!-- x -->{UUID[:8]}<!-- y -->{UUID[8:]}",
        f"<![CDATA[{UUID}]]>",
        f"{UUID[:8]}<b>{UUID[8:]}</b>",
        UUID.replace("7", "&#55;"),
    ],
)
def test_a_uuid_is_canonical_however_it_is_written(text: str) -> None:
    """Every form that libvirt reads becomes the one that it prints."""
    assert fields(f"<domain><uuid>{text}</uuid></domain>") == {**NOTHING, "uuid": UUID}


@pytest.mark.parametrize(
    "name", ["--help", "../x", "a b", "q\"uo'te", "new\nline", "ü☃", "&<>", "x" * 5000]
)
def test_a_name_is_any_text(name: str) -> None:
    """Names are read as they are: escaping them is the business of who prints them."""
    escaped = name.replace("&", "&amp;").replace("<", "&lt;")

    assert fields(f"<domain><name>{escaped}</name></domain>") == {**NOTHING, "name": name}


def test_the_first_emulator_is_the_emulator() -> None:
    """Of two emulators libvirt takes the first."""
    xml = "<domain><devices><emulator>/a</emulator>x<emulator>/b</emulator>y</devices></domain>"

    assert fields(xml) == {**NOTHING, "emulator": "/a"}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(("kind", "expected"), [("image", "some-id"), ("volume", None)])
def test_nova_and_its_root_image_are_known(version: str, kind: str, expected: str | None) -> None:
    """Both namespaces of Nova's metadata count; a volume is no image."""
    xml = (
        f"<domain><metadata><n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/{version}'>"
        f"<n:root type='{kind}' uuid='some-id'/></n:instance></metadata></domain>"
    )

    assert fields(xml) == {**NOTHING, "nova": True, "root_image": expected}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_novas_own_name_of_the_guest_is_read(version: str) -> None:
    """As Nova has it, at most as long as Nova lets it be; that of a flavor within is none."""
    xml = (
        f"<domain><metadata><n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/{version}'>"
        f"<n:flavor><n:name>m1</n:name></n:flavor><n:name> b\u00fcro &lt;1&gt;{'x' * 300}</n:name>"
        "</n:instance></metadata></domain>"
    )

    expected = f"b\u00fcro <1>{'x' * 300}"[:255]
    assert fields(xml) == {**NOTHING, "nova": True, "display": expected}


def test_a_root_without_an_image_is_none() -> None:
    """nova:root without a UUID says nothing."""
    xml = (
        "<domain><metadata><instance xmlns='http://openstack.org/xmlns/libvirt/nova/1.1'>"
        "<root type='image'/></instance></metadata></domain>"
    )

    assert fields(xml) == {**NOTHING, "nova": True}


@pytest.mark.parametrize(
    ("os_id", "expected"),
    [
        ("http://microsoft.com/win/2k22", True),
        ("http://debian.org/debian/12", False),
        (None, False),
    ],
)
def test_windows_is_known_by_libosinfo(os_id: str | None, expected: bool) -> None:
    """The id that virt-install writes tells a Windows."""
    attribute = "" if os_id is None else f" id='{os_id}'"
    xml = (
        "<domain><metadata><l:libosinfo xmlns:l='http://libosinfo.org/xmlns/libvirt/domain/1.0'>"
        f"<l:os{attribute}/></l:libosinfo></metadata></domain>"
    )

    assert fields(xml) == {**NOTHING, "windows": expected}


def test_an_enabled_hyperv_feature_means_windows() -> None:
    """One enlightenment switched on is enough."""
    features = "<vapic state='off'/><spinlocks state='on'/>"
    xml = f"<domain><features><hyperv>{features}</hyperv></features></domain>"

    assert fields(xml) == {**NOTHING, "windows": True}


def test_a_pin_travels_with_its_guest() -> None:
    """The pin of this very instance is read, wherever the UUID stands."""
    xml = pin(f"instance='{UUID.upper()}' machine='pc-q35-6.2' since='{SINCE}'")

    assert fields(xml) == {**NOTHING, "uuid": UUID, "travelled": ("pc-q35-6.2", SINCE)}


@pytest.mark.parametrize(
    "attributes",
    [
        "machine='q35'",
        "instance='00000000-0000-4000-8000-000000000000' machine='q35'",
        "instance='' machine='q35'",
        "instance='x y' machine='q35'",
        f"instance='{UUID}'",
        f"instance='{UUID}' machine='q35;id'",
    ],
)
def test_a_pin_of_another_or_unreadable_is_none(attributes: str) -> None:
    """A clone doesn't inherit its original's pin, and nonsense is no pin; neither is an error."""
    assert fields(pin(attributes)) == {**NOTHING, "uuid": UUID}


def test_a_pin_without_a_guest_is_none() -> None:
    """A domain without UUID can't be the pin's instance."""
    assert fields(pin(f"instance='{UUID}' machine='q35'", uuid="")) == NOTHING


@pytest.mark.parametrize("since", ["", "9999", SINCE + "0", SINCE.replace("2", "٢"), "z" * 27])
def test_what_is_no_time_is_older_than_any(since: str) -> None:
    """A forged time can't win over the catalog's."""
    xml = pin(f"instance='{UUID}' machine='q35' since='{since}'")

    assert fields(xml) == {**NOTHING, "uuid": UUID, "travelled": ("q35", "")}


def test_the_first_pin_counts() -> None:
    """Of two elements in one namespace libvirt keeps the first."""
    one, two = (
        f"<pin xmlns='urn:mthook:pin:1' instance='{UUID}' machine='{m}'/>" for m in ("a", "b")
    )
    xml = f"<domain><uuid>{UUID}</uuid><metadata>{one}{two}</metadata></domain>"

    assert fields(xml) == {**NOTHING, "uuid": UUID, "travelled": ("a", "")}


QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


@pytest.mark.parametrize(
    ("uri", "place", "value", "machine"),
    [
        (QEMU, "commandline", "type=pc-q35-6.2", "pc-q35-6.2"),
        (QEMU, "commandline", "pc-i440fx-6.2,hpet=off", "pc-i440fx-6.2"),
        (QEMU, "commandline", "hpet=off", "pc-i440fx-7.2"),
        (QEMU, "commandline", "no such", "pc-i440fx-7.2"),
        (QEMU, "override", "type=pc-q35-6.2", "pc-i440fx-7.2"),
        ("urn:x", "commandline", "type=pc-q35-6.2", "pc-i440fx-7.2"),
    ],
)
def test_the_machine_type_is_what_qemu_is_told_last(
    uri: str, place: str, value: str, machine: str
) -> None:
    """libvirt puts the definition's arguments behind its own."""
    args = (
        f"<q:{place} xmlns:q='{uri}'><q:arg value='-machine'/><q:arg value='{value}'/></q:{place}>"
    )
    xml = f"<domain><os><type machine='pc-i440fx-7.2'>hvm</type></os>{args}</domain>"

    assert summary.read(xml.encode()).machine == machine
