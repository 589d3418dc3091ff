# SPDX-License-Identifier: Apache-2.0
"""Which element of one definition is which of another, and whether both say the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from lxml import etree

from mthook.xmlrewrite.family import drives
from mthook.xmlrewrite.family.naming import named

#: What tells an element from its siblings: its identity, and its ordinal among siblings with the same identity.
Key = tuple[tuple[str, ...], int]


def keyed(
    parent: etree._Element,
    names: Mapping[str, str] | None = None,
    like: Mapping[Key, etree._Element] | None = None,
) -> dict[Key, etree._Element]:
    """Return an element's children by what tells them apart, in their order.

    :param names: the names that disks have in the other definition.
    :param like: children of the like element of another definition: among devices that nothing
        tells apart, those that say the same in both get the same key. Elsewhere the order counts.
    """
    pairs = [(_identity(parent, child, names or {}), child) for child in parent.iterchildren("*")]
    numbers: dict[tuple[str, ...], Iterator[int]] = {}
    if like is not None and parent.tag == "devices":
        numbers = _numbers(pairs, like)
    return {
        (identity, next(numbers.setdefault(identity, itertools.count()))): child
        for identity, child in pairs
    }


def same(one: etree._Element, other: etree._Element) -> bool:
    """Tell whether two elements say the same, see :func:`form`."""
    if one.tag != other.tag or (one.text or "").strip() != (other.text or "").strip():
        return False
    attributes, others = one.items(), other.items()
    if attributes != others and sorted(attributes) != sorted(others):
        return False
    # Mostly it is the address that differs, which libvirt writes last.
    children = list(one.iterchildren("*", reversed=True))
    theirs = list(other.iterchildren("*", reversed=True))
    return len(children) == len(theirs) and all(map(same, children, theirs))


def unchanged(one: etree._Element, other: etree._Element) -> bool:
    """Likewise, for elements that mostly are alike to the letter: libxml2 compares those faster."""
    letters, others = (etree.tostring(element, with_tail=False) for element in (one, other))
    return letters == others or same(one, other)


def form(element: etree._Element) -> tuple[Any, ...]:
    """Return what an element says, whatever its white space and the order of its attributes."""
    children = [form(child) for child in element if isinstance(child.tag, str)]
    return (element.tag, sorted(element.items()), (element.text or "").strip(), children)


def _numbers(
    pairs: list[tuple[tuple[str, ...], etree._Element]], like: Mapping[Key, etree._Element]
) -> dict[tuple[str, ...], Iterator[int]]:
    """Return each child's ordinal among its like, where there are several."""
    alike: dict[tuple[str, ...], list[etree._Element]] = {}
    for identity, child in pairs:
        if (identity, 1) in like:
            alike.setdefault(identity, []).append(child)
    return {identity: _matched(identity, found, like) for identity, found in alike.items()}


def _matched(
    identity: tuple[str, ...], children: list[etree._Element], like: Mapping[Key, etree._Element]
) -> Iterator[int]:
    places: dict[str, list[int]] = {}
    for number in itertools.takewhile(lambda number: (identity, number) in like, itertools.count()):
        places.setdefault(repr(form(like[(identity, number)])), []).insert(0, number)
    equal = [places.get(repr(form(child))) for child in children]
    found = [numbers.pop() if numbers else None for numbers in equal]
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
