# SPDX-License-Identifier: Apache-2.0
"""The way back for a guest that somebody converted by hand, from its last definition that was right.

Nothing tells what else was changed by hand. The board and where devices are on it become again
what they were; what a guest has on any board stays as it is now: memory, CPU, where its data
are, disks and network cards that came or went.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lxml import etree

from mthook.machinetype import MachineType
from mthook.xmlrewrite import elements, safexml, summary
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.family import drives
from mthook.xmlrewrite.family.board import devices
from mthook.xmlrewrite.family.likeness import form
from mthook.xmlrewrite.family.naming import named
from mthook.xmlrewrite.secrets import without_secrets
from mthook.xmlrewrite.target import Kept, Original

if TYPE_CHECKING:
    _Pair = tuple[etree._Element | None, etree._Element | None]

#: The parts of a domain that are another board's after a change of family.
_BOARD = ("os", "features", "clock", "devices")
#: The devices that connect a guest with its data and with networks.
_CONNECTING = ("disk", "filesystem", "hostdev", "interface")
#: What in such a device says what it is connected to: elements, and attributes of the device and its driver.
_CONNECTION = ("auth", "backingStore", "encryption", "source", "virtualport")
_REMOVABLE = ("cdrom", "floppy")


def way_back(
    original: Original | None, kept: Kept | None, now: Definition, machine: str
) -> Original | None:
    """Return what to lead a guest back to, where it is to get a machine type of another family.

    :param original: what it was before mthook changed its family the last time.
    :param kept: its last definition that satisfied its pin.
    :return: the newer one of those that fit; ``original`` where none does, or none is needed.
    """
    here, there = _family(now.summary.machine), _family(machine)
    if kept is None or here == there or _family(kept.machine) != there:
        return original
    if original is not None and original.at >= kept.at:
        ends = [summary.read(xml).machine for xml in (original.before, original.after)]
        if [_family(end) for end in ends] == [there, here]:
            return original
    return _by_hand(kept, now) or original


def _by_hand(kept: Kept, now: Definition) -> Original | None:
    """Return both ends of somebody's change of family; None where it can't be told which disk was which."""
    before, after = safexml.parse_kept(kept.xml), safexml.parse_kept(without_secrets(now))
    before.attrib.pop("id", "")  # a start's number
    pairs = _pairs(devices(before, *_CONNECTING), devices(after, *_CONNECTING))
    if not _is_clear(before, after, pairs):
        return None
    for old, new in pairs:
        if old is not None and new is not None:
            _connect(old, new)
            continue
        for one in (old, new):
            if one is not None:  # it came, or went, for reasons of its own
                elements.remove(one)
    _take_rest(before, after)
    ends = [safexml.serialize(domain.getroottree()) for domain in (before, after)]
    return Original(ends[0], ends[1], kept.at)


def _pairs(olds: list[etree._Element], news: list[etree._Element]) -> Sequence[_Pair]:
    """Return which device is which: by what it is connected to, by its name, or, for drives, the next one."""
    pairs: list[_Pair] = []
    for identity in (_source, _name, _drive):
        for old in list(olds):
            new = _like(old, news, identity)
            if new is not None:
                pairs.append((old, new))
                olds.remove(old)
                news.remove(new)
    return [*pairs, *((old, None) for old in olds), *((None, new) for new in news)]


def _like(
    old: etree._Element, news: list[etree._Element], identity: Callable[[etree._Element], object]
) -> etree._Element | None:
    wanted = identity(old)
    return next((new for new in news if wanted is not None and identity(new) == wanted), None)


def _source(device: etree._Element) -> object:
    source = device.find("source") if device.tag == "disk" else None
    return form(source)[1:] if source is not None else None


def _name(device: etree._Element) -> object:
    return device.tag, named(device)


def _drive(device: etree._Element) -> object:
    kind = device.get("device") if device.tag == "disk" else None
    return kind if kind in _REMOVABLE else None


def _is_clear(before: etree._Element, after: etree._Element, pairs: Sequence[_Pair]) -> bool:
    """Tell whether no disk can be taken for another: the way back knows them by their names."""
    olds, news = ({_dev(disk): disk for disk in devices(one, "disk")} for one in (before, after))
    if any((olds[dev], news[dev]) not in pairs for dev in olds.keys() & news.keys()):
        return False
    lost = [old for old, new in pairs if new is None and old is not None and old.tag == "disk"]
    found = [new for old, new in pairs if old is None and new is not None and new.tag == "disk"]
    return not (lost and found)


def _dev(disk: etree._Element) -> str:
    return drives.target(disk).get("dev", "")


def _connect(old: etree._Element, new: etree._Element) -> None:
    """Connect a device as it is connected now."""
    if _form(old) == _form(new):
        return
    for child in old.findall("*"):
        if child.tag in _CONNECTION:
            elements.remove(child)
    for child in new.findall("*"):
        if child.tag in _CONNECTION:
            elements.append(old, copy.deepcopy(child))
    for one, other in ((old, new), (old.find("driver"), new.find("driver"))):
        if one is not None and other is not None and other.get("type") is not None:
            one.set("type", other.get("type", ""))


def _form(device: etree._Element) -> object:
    return [form(child) for child in device.iterchildren("*") if child.tag in _CONNECTION]


def _take_rest(before: etree._Element, after: etree._Element) -> None:
    """Make a domain what it is now, except for its board."""
    boards = {str(child.tag): child for child in before.iterchildren(*_BOARD)}
    rest = []
    for child in after.iterchildren("*"):
        board = boards.pop(str(child.tag), None)
        rest.append(copy.deepcopy(child) if board is None else board)
    for child in list(before):
        before.remove(child)
    before.extend([*rest, *boards.values()])


def _family(machine: str | None) -> str:
    return MachineType.parse(machine).family if machine else ""
