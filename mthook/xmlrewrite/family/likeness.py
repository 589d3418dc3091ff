# SPDX-License-Identifier: Apache-2.0
"""Which element of one definition is which of another, and whether both say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from lxml import etree

from mthook.xmlrewrite.family import drives
from mthook.xmlrewrite.family.naming import named

#: What tells an element from its siblings: its identity, and the how manieth of it it is.
Key = tuple[tuple[str, ...], int]


def keyed(
    parent: etree._Element, names: Mapping[str, str] | None = None
) -> dict[Key, etree._Element]:
    """Return an element's children by what tells them apart.

    :param names: disks' names by which they go in the other definition.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    found = {}
    for child in parent:
        if isinstance(child.tag, str):
            identity = _identity(parent, child, names or {})
            found[(identity, seen[identity])] = child
            seen[identity] += 1
    return found


def form(element: etree._Element) -> tuple[Any, ...]:
    """Return what an element says, whatever its white space and the order of its attributes."""
    children = [form(child) for child in element if isinstance(child.tag, str)]
    return (element.tag, sorted(element.items()), (element.text or "").strip(), children)


def _identity(
    parent: etree._Element, child: etree._Element, names: Mapping[str, str]
) -> tuple[str, ...]:
    if parent.tag != "devices":
        return (str(child.tag), child.get("name", ""))
    if child.tag == "disk":
        name = drives.target(child).get("dev", "")
        return ("disk", names.get(name, name))
    if child.tag == "controller":
        kind = child.get("type", "")
        # A root port isn't the bridge that had its number.
        model = child.get("model", "") if kind == "pci" else ""
        return ("controller", kind, model, child.get("index", ""))
    return (str(child.tag), named(child))
