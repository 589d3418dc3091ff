# SPDX-License-Identifier: Apache-2.0
"""Bytes to tree and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from mthook.errors import DomainXMLError
from mthook.xmlrewrite import safexml

from .fixtures import REAL, canonical
from .hostile import HOSTILE

XINCLUDE = (
    b'<domain xmlns:xi="http://www.w3.org/2001/XInclude">'
    b'<xi:include href="file:///etc/passwd" parse="text"/></domain>\n'
)


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_input_never_reaches_libxml2(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hostile document is refused, in the reader's words, before lxml sees a byte of it."""
    xml, message = HOSTILE[case]
    monkeypatch.setattr(etree, "fromstring", None)

    with pytest.raises(DomainXMLError) as caught:
        safexml.parse(xml)

    assert str(caught.value) == message


def test_what_libxml2_alone_refuses_is_the_same_error() -> None:
    """A document that only expat takes for well-formed is a DomainXMLError of one line."""
    with pytest.raises(DomainXMLError, match=r"^not well-formed XML: ") as caught:
        safexml.parse(b"<domain xmlns:a='::no uri'><a:b/></domain>")

    assert str(caught.value).isprintable()


def test_xinclude_is_only_an_element() -> None:
    """Nothing is included: the element comes out as it went in."""
    assert safexml.serialize(safexml.parse(XINCLUDE)) == XINCLUDE


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_a_round_trip_changes_nothing_canonically(path: Path) -> None:
    """Parsing and writing a real domain gives the same document; doing it again, the same bytes."""
    xml = path.read_bytes()

    written = safexml.serialize(safexml.parse(xml))

    assert canonical(written) == canonical(xml)
    assert safexml.serialize(safexml.parse(written)) == written


def test_what_stands_around_the_root_is_kept() -> None:
    """Comments and instructions before and after the root keep their order, a line each."""
    xml = b"<?xml version='1.0'?><!-- a\nb --><?p q?>\n\n<domain/> <?r s?><!--c-->"

    written = safexml.serialize(safexml.parse(xml), declaration=safexml.has_declaration(xml))

    assert written == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b"<!-- a\nb -->\n<?p q?>\n<domain/>\n<?r s?>\n<!--c-->\n"
    )


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (b"<?xml version='1.0'?><domain/>", True),
        (b"\xef\xbb\xbf<?xml version='1.0'?><domain/>", True),
        (b"<?xml-stylesheet href='x'?><domain/>", False),
        (b"<domain/>", False),
    ],
)
def test_a_declaration_is_recognised(xml: bytes, expected: bool) -> None:
    """Only an XML declaration counts, not an instruction of a similar name."""
    assert safexml.has_declaration(xml) is expected


def test_cdata_comments_and_foreign_names_are_kept() -> None:
    """What mthook knows nothing of is written as it was read; UTF-8 stays UTF-8."""
    xml = (
        '<domain><a:b xmlns:a="urn:a" a:c="1" d="&#10;">ü<!-- x --><![CDATA[a<b]]>'
        '<?p q?><c xmlns="rel"/>t</a:b></domain>\n'
    ).encode()

    assert safexml.serialize(safexml.parse(xml)) == xml


def test_canonical_form_sees_through_spelling() -> None:
    """Quotes, order of attributes, empty elements and references are no differences."""
    one = b"<domain b='1' a='&#65;'><x></x><y xmlns='rel'/></domain>"
    two = b'<domain a="A"   b="1"><x/><y xmlns="rel"></y></domain>\n'

    assert canonical(one) == canonical(two)
    assert canonical(one) != canonical(one.replace(b"'1'", b"'2'"))


def diff(before: bytes, after: bytes) -> str:
    """Return what differs between the domains a and b."""
    return safexml.unified_diff(safexml.parse(before), safexml.parse(after), "a", "b")


def test_a_diff_shows_real_changes_only() -> None:
    """Two spellings of a domain differ in the changed line alone."""
    before = b"<domain type='kvm'>\n  <os>\n    <type machine='pc'></type>\n  </os>\n</domain>"
    after = b'<domain type="kvm">\n  <os>\n    <type machine="q35"/>\n  </os>\n</domain>\n'

    assert diff(before, after) == (
        "--- a\n+++ b\n@@ -1,5 +1,5 @@\n"
        ' <domain type="kvm">\n   <os>\n'
        '-    <type machine="pc"/>\n+    <type machine="q35"/>\n'
        "   </os>\n </domain>\n"
    )


def test_a_diff_of_equals_is_empty() -> None:
    """Nothing is printed for the same domain in two spellings."""
    assert diff(b"<domain a='1'></domain>", b'<domain a="1"/>\n') == ""


def test_a_diff_can_not_drive_a_terminal() -> None:
    """Control characters of a guest's texts are escaped, tabs and lines stay."""
    before = "<domain>\n\t<name>a\x9b2J\u2028b</name>\n</domain>".encode()

    assert diff(before, b"<domain/>") == (
        "--- a\n+++ b\n@@ -1,3 +1 @@\n"
        "-<domain>\n-\t<name>a\\x9b2J\\u2028b</name>\n-</domain>\n+<domain/>\n"
    )
