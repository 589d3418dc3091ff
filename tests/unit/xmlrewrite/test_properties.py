# SPDX-License-Identifier: Apache-2.0
"""Any document in, any target: an error that names an element, or what the report says and no more."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from mthook.errors import ConversionError, Error
from mthook.xmlrewrite import safexml, summary
from mthook.xmlrewrite.family.likeness import form
from mthook.xmlrewrite.family.naming import named
from mthook.xmlrewrite.pipeline import Original, Target, rewrite
from tests.corpus import CASES, Case

MACHINES = [
    *("pc", "q35", "pc-i440fx-7.2", "pc-q35-7.2", "pc-q35-2.4", "pc-i440fx-2.0", "ubuntu-q35"),
    *("isapc", "microvm", "virt-7.2", "pc-q35-rhel9.4.0", ""),
]
#: Words that mean something somewhere, and some that don't.
WORDS = [
    *("pci", "drive", "ide", "sata", "scsi", "virtio", "usb", "fdc", "hda", "hdb", "sda", "sdb"),
    *("cdrom", "disk", "floppy", "pci-root", "pcie-root", "pcie-root-port", "pci-bridge"),
    *("0", "1", "0x1f", "9", "x", "-1", "99999999999", "on", "off", "yes", "no", "", "ä\u202e"),
    *("itco", "intel", "virtio-scsi", "virtio-serial", "file", "hostdev", "ua-x", "bus=pci.0"),
]
ATTRIBUTES = [
    *("type", "model", "index", "bus", "dev", "slot", "unit", "controller", "function", "domain"),
    *("iommu", "hotplug", "name", "trans", "multifunction", "device", "secure", "enabled", "value"),
]
TAGS = [
    *("disk", "controller", "interface", "sound", "video", "memballoon", "watchdog", "hostdev"),
    *("redirdev", "iommu", "rng", "nonsense"),
]
CHILDREN = [
    *("address", "target", "source", "driver", "model", "mac", "alias", "geometry", "wwn", "boot"),
    *("pcihole64", "serial"),
]
#: Which line of the report is about a part of the domain that is no device.
ABOUT = {
    "os": ("machine type: ", "firmware: "),
    "features": ("smm: ",),
    "metadata": ("pin ", "nova "),
}

attributes = st.dictionaries(st.sampled_from(ATTRIBUTES), st.sampled_from(WORDS), max_size=5)


def build(tag: str, attributes: dict[str, str], children: list[etree._Element]) -> etree._Element:
    element = etree.Element(tag, attributes)
    element.extend(children)
    return element


grandchildren = st.builds(build, st.sampled_from(CHILDREN), attributes, st.just([]))
children = st.builds(
    build, st.sampled_from(CHILDREN), attributes, st.lists(grandchildren, max_size=1)
)
devices = st.builds(build, st.sampled_from(TAGS), attributes, st.lists(children, max_size=4))
frames = st.sampled_from(
    [
        "<os/>",
        "<os firmware='efi'/>",
        "<os><boot dev='hd'/></os>",
        "<os firmware='efi'><loader secure='yes'/></os>",
    ]
)


def document(frame: str, machine: str, found: list[etree._Element], nova: bool) -> bytes:
    domain = etree.fromstring(f"<domain>{frame}<features><smm><tseg/></smm></features></domain>")
    os_element = domain.find("os")
    assert os_element is not None
    etree.SubElement(os_element, "type", machine=machine)
    etree.SubElement(domain, "devices").extend(found)
    if nova:
        uri = "http://openstack.org/xmlns/libvirt/nova/1.1"
        etree.SubElement(etree.SubElement(domain, "metadata"), f"{{{uri}}}instance")
    return etree.tostring(domain)


def check(xml: bytes, target: Target) -> None:
    """Rewrite a domain and judge what comes of it."""
    try:
        found = rewrite(xml, target)
    except ConversionError as error:
        assert error.element and error.element.strip("/") == error.element
        assert str(error).isprintable()
        return
    except Error:
        return
    assert all(line.isprintable() for line in found.changes)
    again = rewrite(found.xml, target)
    assert (again.xml, again.changes) == (found.xml, [])
    assert summary.read(found.xml).machine == target.machine
    _check_report(xml, found.xml, found.changes)


def _check_report(before: bytes, after: bytes, changes: list[str]) -> None:
    old, new = (safexml.parse(xml).getroot() for xml in (before, after))
    for device in _different(old, new, "devices/*"):
        bridges = device.get("type") == "pci" and device.tag == "controller"
        words = (named(device), *(("pci controllers", "PCIe root") if bridges else ()))
        assert any(word in line for word in words for line in changes), named(device)
    for part in _different(old, new, "*"):
        if part.tag != "devices":
            assert any(line.startswith(ABOUT[str(part.tag)]) for line in changes), part.tag


def _different(old: etree._Element, new: etree._Element, path: str) -> list[etree._Element]:
    """Return what is in only one of two domains."""
    sides = [
        {id(one): (repr(form(one)), one) for one in root.iterfind(path)} for root in (old, new)
    ]
    counts = [Counter(key for key, _ in side.values()) for side in sides]
    apart = (counts[0] - counts[1]) + (counts[1] - counts[0])
    return [one for side in sides for key, one in side.values() if key in apart]


#: Most of all those that have to be converted.
CONVERTIBLE = MACHINES[:4] * 3


@settings(max_examples=300)
@given(
    frames,
    st.sampled_from(CONVERTIBLE + MACHINES),
    st.sampled_from(CONVERTIBLE + MACHINES[:-1]),
    st.lists(devices, max_size=6),
    st.booleans(),
    st.integers(0, 3),
)
def test_any_domain_is_refused_or_changed_as_reported(
    frame: str, machine: str, target: str, found: list[etree._Element], nova: bool, ports: int
) -> None:
    """Well-formed, a fixed point, and different only where a line of the report says so."""
    check(document(frame, machine, found, nova), Target(target, ports=ports))


@settings(max_examples=300)
@given(st.sampled_from(CASES), st.sampled_from(MACHINES[:-1]), st.integers(0, 5))
def test_any_case_of_the_corpus_to_any_target(case: Case, target: str, cut: int) -> None:
    """Also with a device or two missing."""
    domain = etree.fromstring(case.xml)
    for number, device in enumerate(list(domain.iterfind("devices/*"))):
        if cut and number % 7 == cut:
            parent = device.getparent()
            assert parent is not None
            parent.remove(device)
    check(etree.tostring(domain), Target(target))


@settings(max_examples=300)
@given(st.sampled_from(CASES), st.sampled_from(CASES), st.sampled_from(CASES))
def test_any_original_leads_to_a_fixed_point(case: Case, before: Case, after: Case) -> None:
    """However little it has to do with the domain: no crash, and the right machine type."""
    original = Original(before.xml, after.xml, "2026-11-22T13:00:00.000000Z")
    target = Target(case.target.machine, original=original)
    try:
        found = rewrite(case.xml, target)
    except Error:
        return
    assert summary.read(found.xml).machine == target.machine
    assert rewrite(found.xml, target).xml == found.xml
