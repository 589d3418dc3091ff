# SPDX-License-Identifier: Apache-2.0
"""The pipeline as a whole: golden pairs, round trips, and properties over any domain."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from mthook.errors import ConversionError, DomainXMLError, Error, MachineTypeError
from mthook.machinetype import MachineType
from mthook.xmlrewrite import pipeline, safexml, summary
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.pipeline import Target, rewrite
from tests.corpus import CASES, DIRECTORY, REFUSED, REWRITTEN, TARGETS, Case, ident

from .fixtures import REAL
from .hostile import HOSTILE, UUID


@pytest.mark.parametrize("case", REWRITTEN, ids=ident)
def test_a_domain_is_rewritten_as_its_golden_pair_says(case: Case) -> None:
    """The bytes and the words for what changed are exactly the expected ones, and what was given is what it was."""
    definition = Definition(case.xml)
    before = safexml.serialize(definition.tree)

    found = rewrite(definition, case.target)

    assert case.out is not None
    assert found.xml.decode() == case.out.decode()
    assert found.changes == case.changes
    assert safexml.serialize(definition.tree) == before
    if found.tree is not None:
        assert safexml.serialize(found.tree) == safexml.serialize(safexml.parse(found.xml))
    if not case.changes_family:  # nothing but machine type and pin differs
        assert bare(found.xml) == bare(case.xml)

    again = rewrite(found.xml, case.target)

    assert (again.xml, again.changes) == (case.out, [])


@pytest.mark.parametrize("case", REFUSED, ids=ident)
def test_what_cannot_be_converted_is_refused(case: Case) -> None:
    """The error names the element and says why, as the golden file has it."""
    with pytest.raises(ConversionError) as caught:
        rewrite(case.xml, case.target)

    assert f"{caught.value.element}: {caught.value}\n" == case.refused


def test_no_golden_file_stands_alone() -> None:
    """Every file in the directory belongs to a case, and every case is complete."""
    expected = {"targets.json", *(f"{case.name}-in.xml" for case in CASES)}
    expected |= {f"{case.name}-out.xml" for case in REWRITTEN}
    expected |= {f"{case.name}-refused.txt" for case in REFUSED}

    assert {path.name for path in DIRECTORY.iterdir()} == expected
    assert TARGETS.keys() == {case.name for case in CASES}


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_a_real_domain_that_is_right_keeps_its_bytes(path: Path) -> None:
    """Nothing to do writes nothing, and no pin either."""
    xml = path.read_bytes()
    machine = summary.read(xml).machine
    assert machine is not None

    found = rewrite(xml, Target(machine, UUID))

    assert found.xml is xml
    assert found.changes == []


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_a_real_domain_changes_in_machine_type_and_pin_alone(path: Path) -> None:
    """There and back again, a real domain differs only in what the steps name."""
    xml = path.read_bytes()
    read_back = summary.read(xml)
    assert read_back.machine is not None
    family = MachineType.parse(read_back.machine).family
    other = {"i440fx": "pc-i440fx-2.5", "q35": "pc-q35-2.5"}.get(family, f"{family}-2.12")

    there = rewrite(xml, Target(other, read_back.uuid, "2026-11-22T13:00:00.000000Z"))
    back = rewrite(there.xml, Target(read_back.machine))

    assert summary.read(there.xml).travelled == (other, "2026-11-22T13:00:00.000000Z")
    assert bare(there.xml) == bare(xml)
    assert summary.read(back.xml).machine == read_back.machine
    assert bare(back.xml) == bare(xml)


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_input_is_refused(case: str) -> None:
    """The pipeline refuses what the reader refuses."""
    xml, message = HOSTILE[case]

    with pytest.raises(DomainXMLError) as caught:
        rewrite(xml, Target("pc"))

    assert str(caught.value) == message


def test_a_target_that_is_no_name_is_refused() -> None:
    """Even where it would be written verbatim."""
    with pytest.raises(MachineTypeError):
        rewrite(b"<domain><os><type>hvm</type></os></domain>", Target("pc&#10;"))


def test_a_result_without_the_target_never_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a step go wrong, the result is checked with the reader the hook trusts."""
    monkeypatch.setattr(pipeline, "set_machine", lambda domain, target: ["nothing really"])

    with pytest.raises(Error) as caught:
        rewrite(b"<domain><os><type machine='pc'>hvm</type></os></domain>", Target("q35"))

    assert str(caught.value) == "the rewritten domain has machine type pc, not q35"


def bare(xml: bytes) -> bytes:
    """Return a domain, canonically, without machine type, pin, and space around elements."""
    root = safexml.parse(xml).getroot()
    for os_type in root.findall("os/type"):
        os_type.set("machine", "")
    for pin in root.findall("metadata/{urn:mthook:pin:1}pin"):
        parent = pin.getparent()
        assert parent is not None
        before, tail = pin.getprevious(), pin.tail or ""
        if before is not None:
            before.tail = (before.tail or "") + tail
        parent.remove(pin)
    for metadata in root.findall("metadata"):
        if len(metadata) == 0:
            root.remove(metadata)
    for element in root.iter():
        for name in ("text", "tail"):
            text = getattr(element, name)
            if isinstance(element.tag, str) or name == "tail":
                setattr(element, name, (text or "").strip() or None)
    return etree.tostring(root.getroottree(), method="c14n2")


names = st.sampled_from(["a", "b", "os", "uuid", "type", "{urn:x}pin", "{urn:mthook:pin:1}pin"])
texts = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=8).filter(
    lambda text: text.isprintable()
)


def tree(children: st.SearchStrategy[etree._Element]) -> st.SearchStrategy[etree._Element]:
    return st.builds(build, names, texts, texts, texts, st.lists(children, max_size=3))


def build(
    name: str, text: str, tail: str, value: str, children: list[etree._Element]
) -> etree._Element:
    element = etree.Element(name, machine=value)
    element.text, element.tail = text, tail
    element.extend(children)
    return element


anything = st.recursive(
    st.builds(etree.Comment, st.just("c"))
    | st.builds(build, names, texts, texts, texts, st.just([])),
    tree,
    max_leaves=8,
)
versions = st.sampled_from(["pc", "pc-i440fx-7.2", "pc-i440fx-rhel7.6.0", "ubuntu", "pc-1.0"])


@given(st.lists(anything, max_size=4), versions, versions, st.booleans(), st.booleans())
def test_any_domain_changes_in_machine_type_and_pin_alone(
    others: list[etree._Element], present: str, target: str, with_instance: bool, inside: bool
) -> None:
    """Whatever else is in it: the same document, the right machine type, a fixed point."""
    domain = etree.Element("domain")
    etree.SubElement(domain, "uuid").text = UUID
    os_type = etree.SubElement(etree.SubElement(domain, "os"), "type", machine=present)
    os_type.text = "hvm"
    etree.SubElement(domain, "metadata" if inside else "devices").extend(others)
    xml = etree.tostring(domain)

    found = rewrite(xml, Target(target, UUID if with_instance else None))

    assert summary.read(found.xml).machine == target
    assert bool(found.changes) == (present != target)
    assert bare(found.xml) == bare(xml)
    assert rewrite(found.xml, Target(target, UUID)).xml == found.xml
    if found.changes and with_instance:
        assert summary.read(found.xml).travelled == (target, "")
