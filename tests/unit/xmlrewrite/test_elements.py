# SPDX-License-Identifier: Apache-2.0
"""Elements come and go without disturbing the lines around them."""

from __future__ import annotations

import pytest
from lxml import etree

from mthook.xmlrewrite import elements


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<d>\n  <a>\n    <b/>\n  </a>\n</d>", "<d>\n  <a>\n    <b/>\n    <n/>\n  </a>\n</d>"),
        ("<d>\n  <a>\n    <b/></a>\n</d>", "<d>\n  <a>\n    <b/>\n    <n/></a>\n</d>"),
        ("<d>\n  <a/>\n</d>", "<d>\n  <a>\n    <n/>\n  </a>\n</d>"),
        ("<d>\n  <a>\n  </a>\n</d>", "<d>\n  <a>\n    <n/>\n  </a>\n</d>"),
        ("<d>\n\t<a/>\n</d>", "<d>\n\t<a>\n\t\t<n/>\n\t</a>\n</d>"),
        ("<d>\n    <x/>\n    <a/>\n</d>", "<d>\n    <x/>\n    <a>\n        <n/>\n    </a>\n</d>"),
        ("<d> <a/></d>", "<d> <a>   <n/> </a></d>"),
        ("<d><a/></d>", "<d><a><n/></a></d>"),
        ("<d><a> </a></d>", "<d><a><n/></a></d>"),
        ("<d>\n  <a>text</a>\n</d>", "<d>\n  <a>text<n/></a>\n</d>"),
        ("<d><a><b/>text</a></d>", "<d><a><b/><n/>text</a></d>"),
        ("<d>text<a/></d>", "<d>text<a><n/></a></d>"),
    ],
)
def test_an_appended_element_is_indented_as_its_neighbours(before: str, after: str) -> None:
    """Lines, tabs and one-line documents are followed; text is kept."""
    root = etree.fromstring(before)
    parent = root.find("a")
    assert parent is not None

    elements.append(parent, etree.Element("n"))

    assert etree.tostring(root).decode() == after


def test_the_root_can_be_appended_to() -> None:
    """A document of one element has no lines to follow."""
    root = etree.fromstring("<d/>")

    elements.append(root, etree.Element("n"))

    assert etree.tostring(root) == b"<d><n/></d>"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<d>\n  <a/>\n  <b/>\n</d>", "<d>\n  <a/>\n  <n/>\n  <b/>\n</d>"),
        ("<d>\n  <a/>\n</d>", "<d>\n  <a/>\n  <n/>\n</d>"),
        ("<d>\n  <x/>\n\n  <a/>\n  <b/>\n</d>", "<d>\n  <x/>\n\n  <a/>\n\n  <n/>\n  <b/>\n</d>"),
        ("<d><a/><b/></d>", "<d><a/><n/><b/></d>"),
        ("<d><a/>text<b/></d>", "<d><a/><n/>text<b/></d>"),
    ],
)
def test_an_inserted_element_stands_on_a_line_like_the_one_before(before: str, after: str) -> None:
    """The new element follows its anchor and takes over what stood behind it."""
    root = etree.fromstring(before)
    anchor = root.find("a")
    assert anchor is not None

    elements.insert_after(anchor, etree.Element("n"))

    assert etree.tostring(root).decode() == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<d>\n  <a/>\n  <x/>\n  <b/>\n</d>", "<d>\n  <a/>\n  <b/>\n</d>"),
        ("<d>\n  <a/>\n  <x/>\n</d>", "<d>\n  <a/>\n</d>"),
        ("<d><a/><x/></d>", "<d><a/></d>"),
        ("<d><a/>one<x/>two</d>", "<d><a/>onetwo</d>"),
    ],
)
def test_a_removed_element_takes_its_line_along(before: str, after: str) -> None:
    """No empty line stays behind, and no text goes with it."""
    root = etree.fromstring(before)
    element = root.find("x")
    assert element is not None

    elements.remove(element)

    assert etree.tostring(root).decode() == after
