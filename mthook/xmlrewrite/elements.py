# SPDX-License-Identifier: Apache-2.0
"""Adding and removing elements so that lines and indents follow their neighbours.

lxml keeps the white space around an element as the ``tail`` of what stands before it, or the
``text`` of its parent. Steps never touch either; they call these functions. Text that isn't white
space is never lost.
"""

from __future__ import annotations

from lxml import etree

# How libvirt indents.
_UNIT = "  "


def append(parent: etree._Element, child: etree._Element) -> None:
    """Add ``child`` as the last one of ``parent``."""
    if len(parent):
        insert_after(parent[-1], child)
        return
    outer = _lead(parent)
    if not _is_blank(parent.text):
        parent.append(child)
    elif outer:
        parent.text = outer + _unit(parent, outer)
        child.tail = outer
        parent.append(child)
    else:
        parent.text = None
        parent.append(child)


def insert_after(anchor: etree._Element, child: etree._Element) -> None:
    """Add ``child`` behind ``anchor``, among the children of the same parent."""
    tail = anchor.tail
    anchor.addnext(child)  # takes the anchor's tail along
    anchor.tail = _lead(anchor) or None
    child.tail = tail


def insert_first(parent: etree._Element, child: etree._Element) -> None:
    """Add ``child`` as the first one of ``parent``."""
    if not len(parent):
        append(parent, child)
        return
    child.tail = _lead(parent[0]) or None
    parent.insert(0, child)


def remove(element: etree._Element) -> None:
    """Remove an element, with the line it stands on."""
    before = element.getprevious()
    parent = element.getparent()
    assert parent is not None
    tail = element.tail or ""
    if before is not None:
        before.tail = (before.tail or "").rstrip() + tail
    else:
        text = (parent.text or "").rstrip() + tail
        parent.text = None if len(parent) == 1 and _is_blank(text) else text
    parent.remove(element)


def _lead(element: etree._Element) -> str:
    """Return the line end and indent before an element, '' when it doesn't start a line."""
    before = element.getprevious()
    parent = element.getparent()
    text = before.tail if before is not None else parent.text if parent is not None else None
    return text if text and _is_blank(text) else ""


def _unit(element: etree._Element, outer: str) -> str:
    """Return by how much a child of ``element`` is indented further than the element itself."""
    parent = element.getparent()
    around = _lead(parent) or "\n" if parent is not None else ""
    return outer[len(around) :] if outer.startswith(around) else _UNIT


def _is_blank(text: str | None) -> bool:
    return not (text or "").strip()
