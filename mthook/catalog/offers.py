# SPDX-License-Identifier: Apache-2.0
"""What the emulators of this host offer.

Machine types are kept per emulator, architecture and domain type: two QEMUs on one host have
different lists, and the same alias means another machine type in each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mthook.catalog.records import Capability, Guest

if TYPE_CHECKING:
    from mthook.xmlrewrite.summary import Summary

#: The key of a list of machine types: emulator, architecture, domain type.
Key = tuple[str, str, str]


class Offer:
    """The machine types of one emulator, or of several together.

    :ivar names: all of them, aliases too, sorted.
    :ivar aliases: the aliases, and the versioned name behind each, except aliases whose meaning
        differs between emulators.
    :ivar deprecated: those that any emulator deprecates.
    """

    def __init__(self, capabilities: Iterable[Capability] = ()) -> None:
        rows = list(capabilities)
        self.names = sorted({one.machine for one in rows})
        self.deprecated = {one.machine for one in rows if one.deprecated}
        behind: dict[str, set[str]] = {}
        for one in rows:
            if one.canonical:
                behind.setdefault(one.machine, set()).add(one.canonical)
        self.aliases = {name: found.pop() for name, found in behind.items() if len(found) == 1}

    def has(self, machine: str) -> bool:
        """Tell whether a machine type, or an alias, is among them."""
        return machine in self.names

    def stands_for(self, machine: str) -> str:
        """Return the versioned name behind an alias; any other name stands for itself."""
        return self.aliases.get(machine, machine)


class Offers:
    """What all emulators of a host offer."""

    def __init__(self, capabilities: Iterable[Capability]) -> None:
        self._lists: dict[Key, list[Capability]] = {}
        for one in capabilities:
            key = (one.emulator, one.arch, one.virt_type)
            self._lists.setdefault(key, []).append(one)
        self._own = {key: Offer(listed) for key, listed in self._lists.items()}
        self._alike: dict[tuple[str | None, ...], Offer] = {}

    def __bool__(self) -> bool:
        """Tell whether anything is known."""
        return bool(self._lists)

    def of(self, guest: Guest | Summary) -> Offer:
        """Return what a guest's own emulator offers: nothing if this host doesn't list it."""
        return self._own.get(key_of(guest)) or Offer()

    def like(
        self, arch: str | None, virt_type: str | None = None, emulator: str | None = None
    ) -> Offer:
        """Return what all matching emulators offer together; a missing value matches any."""
        wanted = (emulator, arch, virt_type)
        if wanted not in self._alike:  # many guests ask for the same
            self._alike[wanted] = Offer(
                one
                for key, listed in self._lists.items()
                if all(want in (None, "", have) for want, have in zip(wanted, key))
                for one in listed
            )
        return self._alike[wanted]


def key_of(guest: Guest | Summary) -> Key:
    """Return whose list of machine types counts for a guest."""
    return (guest.emulator or "", guest.arch, guest.virt_type)
