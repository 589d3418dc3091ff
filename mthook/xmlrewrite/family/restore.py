# SPDX-License-Identifier: Apache-2.0
"""The way back: a guest becomes again what it was, apart from what was changed since.

Three definitions are merged: the guest as it is, as it was before its last change of family, and
as it was right after it. What is still as it was right after becomes what it was before. What was
changed since is taken as the passes convert it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

from lxml import etree

from mthook.machinetype import MachineType
from mthook.xmlrewrite import safexml
from mthook.xmlrewrite.family import disks, drives
from mthook.xmlrewrite.family.board import Conversion, addresses, bus_of, devices
from mthook.xmlrewrite.family.likeness import keyed, same, unchanged
from mthook.xmlrewrite.family.naming import named, pci_address
from mthook.xmlrewrite.target import Original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    Element = Optional[etree._Element]
    _Pair = tuple[etree._Element, etree._Element]
    _Part = tuple[Element, Element, Element]


def without(conversion: Conversion) -> str:
    """Say what isn't restored where there is nothing to go back to, or it isn't known."""
    return (
        "not restored: the PCI addresses, controllers and buses that this guest may have had on"
        f" {conversion.new.family} before"
    )


class WayBack:
    """What is needed to lead one domain back; create it before the domain is converted.

    :ivar before: the domain as it was before its last change of family.
    """

    def __init__(
        self, domain: etree._Element, before: etree._Element, after: etree._Element, at: str
    ) -> None:
        self._domain = domain
        self.before = before
        self._after = after
        self._at = at
        #: The domain as it is, and the elements that the passes are about to change.
        self._now = copy.deepcopy(domain)
        self._converted = dict(_pairs(self._now, domain))
        self._names: Mapping[str, str] = {}
        self._new: list[etree._Element] = []
        #: What a report names: each part as it was before, as it is, and what becomes of it.
        self._parts: list[_Part] = []

    @classmethod
    def of(
        cls, domain: etree._Element, conversion: Conversion, original: Original | None
    ) -> WayBack | None:
        """Return the way back for a conversion, None if nothing fitting was kept.

        A definition without any PCI address was made anew, by Nova for example, and has no parts
        in common with the kept one.

        :raises DomainXMLError: what was kept can't be read.
        """
        if original is None:
            return None
        before, after = (safexml.parse_kept(xml) for xml in (original.before, original.after))
        families = [_family(before), _family(after)]
        if families != [conversion.new.family, conversion.old.family]:
            return None
        if _is_placed(after) and not _is_placed(domain):
            return None
        way_back = cls(domain, before, after, original.at)
        way_back._names = _renamed(before, conversion)
        return way_back

    def take(self) -> list[str]:
        """Make the converted domain what it was before; return what that changes."""
        merged = self._merge(self.before, self._after, self._now)
        # Read and release elements while they are part of a document: for each one
        # released from a tree that isn't, lxml searches the whole tree.
        self._converted.clear()
        self._free_places(merged)
        etree.indent(merged)
        domain = self._domain
        domain.attrib.clear()
        domain.attrib.update(dict(merged.attrib))
        domain.text = merged.text
        for child in list(domain):
            domain.remove(child)
        domain.extend(list(merged))
        changes = [f"back to the definition kept on {self._at}; changes made since then stay"]
        return changes + self._differences()

    def _merge(
        self, before: etree._Element, after: etree._Element, now: etree._Element
    ) -> etree._Element:
        """Return an element as it was before, except what now differs from how it was after."""
        converted = self._converted[now]
        merged = before.makeelement(before.tag)
        for name in dict.fromkeys([*before.keys(), *now.keys()]):
            source = before if now.get(name) == after.get(name) else converted
            value = source.get(name)
            if value is not None:
                merged.set(name, value)
        unchanged = (now.text or "").strip() == (after.text or "").strip()
        merged.text = before.text if unchanged else converted.text
        merged.extend(self._children(before, after, now))
        return merged

    def _children(
        self, before: etree._Element, after: etree._Element, now: etree._Element
    ) -> list[etree._Element]:
        olds = keyed(before)
        afters = keyed(after, self._names)
        nows = keyed(now, self._names, afters)
        found: list[_Part] = [
            (old, nows.get(key), self._child(old, afters.get(key), nows.get(key)))
            for key, old in olds.items()
        ]
        for key, present in nows.items():
            if key not in olds:
                found.append((None, present, self._new_child(afters.get(key), present)))
        if self._has_parts(before):
            self._parts += found
        return [child for _, _, child in found if child is not None]

    def _new_child(
        self, after: etree._Element | None, now: etree._Element
    ) -> etree._Element | None:
        if after is not None and same(after, now):
            return None  # what came with the change of family goes with it
        new = self._as_converted(now)
        if new is not None:
            self._new.append(new)
        return new

    def _child(
        self, old: etree._Element, after: etree._Element | None, now: etree._Element | None
    ) -> etree._Element | None:
        if now is None:
            # Gone with the change of family, or by somebody's hand since.
            return self._as_it_was(old) if after is None else None
        if after is None:
            return self._as_converted(now)
        if old.tag != "devices" and unchanged(after, now):
            return self._as_it_was(old)
        if old.tag == "address" and _is_of_device(old):
            return copy.deepcopy(old) if _is_boards(old, after, now) else self._as_converted(now)
        if str(old.tag).startswith("{"):
            return self._as_converted(now)  # others' elements are theirs as a whole
        return self._merge(old, after, now)

    def _as_it_was(self, old: etree._Element) -> etree._Element:
        """Return an element as it was: a part itself, not a copy, as there are many."""
        parent = old.getparent()
        return old if parent is not None and self._has_parts(parent) else copy.deepcopy(old)

    def _has_parts(self, before: etree._Element) -> bool:
        within = before.tag == "devices" and before.getparent() is self.before
        return within or before is self.before

    def _as_converted(self, now: etree._Element) -> etree._Element | None:
        """Return what the passes have made of an element, None if they dropped it.

        It is taken out of the domain, where nothing stays in its place.
        """
        converted = self._converted[now]
        return converted if converted.getparent() is not None else None

    def _free_places(self, merged: etree._Element) -> None:
        """Let libvirt choose places for new devices: others may be there again."""
        new = set(self._new)
        taken = {
            place
            for disk in devices(merged, "disk")
            if disk not in new
            for place in _drive_places(disk)
        }
        for device in devices(merged):
            if device in new:
                for address in list(addresses(device, "pci")):
                    device.remove(address)
                if taken.intersection(_drive_places(device)):
                    for address in list(addresses(device, "drive")):
                        device.remove(address)

    def _differences(self) -> list[str]:
        parts = [part for part in self._parts if _is_reported(part)]
        changes = [
            f"{_title(now)}: removed" for _, now, new in parts if now is not None and new is None
        ]
        for old, now, new in parts:
            if new is None:
                continue
            if now is None:
                changes.append(f"{_title(new)}: restored{_where(new)}")
            elif not same(new, now):
                changes.append(f"{_title(new)}: {self._likeness(new, old)}{_where(new)}")
        return changes

    def _likeness(self, new: etree._Element, old: etree._Element | None) -> str:
        if old is None:
            return "new since then, converted"
        whole = "as it was"
        return (
            whole
            if new is old or same(new, old)
            else f"{whole}, except for what was changed since or isn't kept"
        )


def _pairs(one: etree._Element, other: etree._Element) -> Iterator[_Pair]:
    """Yield each element of a tree with its counterpart in a copy; others' elements only as a whole."""
    yield one, other
    for child, copied in zip(one, other):
        if str(child.tag).startswith("{"):
            yield child, copied
        elif child.tag == "metadata":
            yield from _pairs(child, copied)
        else:
            yield from zip(child.iter(), copied.iter())


def _family(domain: etree._Element) -> str:
    os_type = domain.find("os/type")
    machine = os_type.get("machine", "") if os_type is not None else ""
    return MachineType.parse(machine).family if machine else ""


def _is_placed(domain: etree._Element) -> bool:
    return any(True for device in devices(domain) for _ in addresses(device, "pci"))


def _renamed(before: etree._Element, conversion: Conversion) -> dict[str, str]:
    """Return the old names of the disks that got new ones when the domain was converted."""
    if not conversion.nova:
        return {}
    there = Conversion(conversion.new, conversion.old, nova=True)
    trial = copy.deepcopy(before)
    old = [drives.target(disk).get("dev", "") for disk in devices(trial, "disk")]
    for move in (disks.ide_to_sata, disks.sata_to_ide):
        move(trial, there)
    new = [drives.target(disk).get("dev", "") for disk in devices(trial, "disk")]
    return dict(zip(new, old))


def _is_of_device(address: etree._Element) -> bool:
    """Tell whether an address is where a guest's device is; one in ``<source>`` is the host's."""
    device = address.getparent()
    parent = device.getparent() if device is not None else None
    return parent is not None and parent.tag == "devices"


def _is_boards(old: etree._Element, after: etree._Element, now: etree._Element) -> bool:
    """Tell whether an address that was changed since is still one that the board gave a device.

    Then the one on the old board comes back, except for a device that was moved to another bus.
    """
    before, converted, present = (_bus_of_device(one) for one in (old, after, now))
    return present == converted and (before != converted or old.get("type") == "pci")


def _bus_of_device(address: etree._Element) -> tuple[str | None, str]:
    device = address.getparent()
    assert device is not None
    return address.get("type"), bus_of(device) if device.tag == "disk" else ""


def _drive_places(disk: etree._Element) -> list[tuple[str, ...]]:
    bus = bus_of(disk)
    parts = ("controller", "bus", "target", "unit")
    return [
        (bus, *(address.get(part, "0") for part in parts)) for address in addresses(disk, "drive")
    ]


def _is_reported(part: _Part) -> bool:
    """Tell whether a report names a part: it names each device, not their list."""
    return all(one is None or one.tag not in ("devices", "metadata") for one in part)


def _title(part: etree._Element) -> str:
    parent = part.getparent()
    is_device = parent is not None and parent.tag == "devices"
    return named(part) if is_device else f"<{part.tag}>"


def _where(part: etree._Element) -> str:
    for address in addresses(part, "pci"):
        return f", at PCI address {pci_address(address)}"
    return ""
