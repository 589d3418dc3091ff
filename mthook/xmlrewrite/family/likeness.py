# SPDX-License-Identifier: Apache-2.0
"""Which element of one definition is which of another, and whether both say the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from lxml import etree

from mthook.xmlrewrite.family import drives
from mthook.xmlrewrite.family.naming import named

#: What tells an element from its siblings: its identity, and the how manieth of it it is.
Key = tuple[tuple[str, ...], int]


def keyed(
    parent: etree._Element,
    names: Mapping[str, str] | None = None,
    like: Mapping[Key, etree._Element] | None = None,
) -> dict[Key, etree._Element]:
    """Return an element's children by what tells them apart, in their order.

    :param names: disks' names by which they go in the other definition.
    :param like: children of the like element of another definition: of several devices that nothing
        tells apart, those that say the same in both get the same key. Elsewhere the order counts.
    """
    pairs = [
        (_identity(parent, child, names or {}), child)
        for child in parent
        if isinstance(child.tag, str)
    ]
    alike: dict[tuple[str, ...], list[etree._Element]] = {}
    for identity, child in pairs:
        alike.setdefault(identity, []).append(child)
    others = like if like is not None and parent.tag == "devices" else {}
    numbers = {identity: _numbers(identity, found, others) for identity, found in alike.items()}
    return {(identity, next(numbers[identity])): child for identity, child in pairs}


def form(element: etree._Element) -> tuple[Any, ...]:
    """Return what an element says, whatever its white space and the order of its attributes."""
    children = [form(child) for child in element if isinstance(child.tag, str)]
    return (element.tag, sorted(element.items()), (element.text or "").strip(), children)


def _numbers(
    identity: tuple[str, ...], children: list[etree._Element], like: Mapping[Key, etree._Element]
) -> Iterator[int]:
    """Return which of its like each child is."""
    if (identity, 1) not in like:
        return itertools.count()
    places: dict[str, list[int]] = {}
    for number in itertools.takewhile(lambda number: (identity, number) in like, itertools.count()):
        places.setdefault(repr(form(like[(identity, number)])), []).insert(0, number)
    same = [places.get(repr(form(child))) for child in children]
    found = [numbers.pop() if numbers else None for numbers in same]
    taken = set(found)
    free = (number for number in itertools.count() if number not in taken)
    return iter([next(free) if number is None else number for number in found])


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
