# SPDX-License-Identifier: Apache-2.0
"""Instances beside their pins: in what is each unlike its own?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mthook import policy
from mthook.catalog.records import Compared, Guest, Pin
from mthook.text import printable

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog


@dataclass(frozen=True)
class Row:
    """One instance as ``list`` shows it.

    :ivar drift: in what the guest is unlike its pin; '' in nothing.
    """

    uuid: str
    guest: Guest | None
    pin: Pin | None
    drift: str

    @property
    def machine(self) -> str | None:
        """The pin, ``None`` without one."""
        return self.pin.machine if self.pin else None

    @property
    def state(self) -> str:
        """libvirt's word, or ``gone`` for a guest that is no longer on this host."""
        return self.guest.state if self.guest and self.guest.gone_since is None else "gone"

    @property
    def machines(self) -> set[str]:
        """Every machine type that has to do with the instance."""
        guest = self.guest
        known = (self.machine, guest.defined if guest else None, guest.running if guest else None)
        return {machine for machine in known if machine}


def rows(catalog: Catalog, guests: Iterable[Guest]) -> Iterator[Row]:
    """Yield all instances: guests by name, then pins of which no guest was ever seen here."""
    pins = {pin.uuid: pin for pin in catalog.pins()}
    aliases: dict[tuple[str | None, str, str], dict[str, str]] = {}
    stopped = {repair.uuid for repair in catalog.repairs()}
    compared = catalog.compared()
    for guest in guests:
        key = (guest.emulator, guest.arch, guest.virt_type)
        if key not in aliases:
            aliases[key] = catalog.aliases(*key)
        pin = pins.pop(guest.uuid, None)
        drift = [
            *_drift(guest, pin, aliases[key]),
            *_in_nova(pin, compared),
            *_stopped(guest.uuid in stopped),
        ]
        yield Row(guest.uuid, guest, pin, ", ".join(drift))
    for uuid, pin in pins.items():
        drift = [*_in_nova(pin, compared), *_stopped(uuid in stopped)]
        yield Row(uuid, None, pin, ", ".join(drift))


def _stopped(waits: bool) -> list[str]:
    """Say that a guest waits for a repair, if it does."""
    return ["start stopped"] if waits else []


def _in_nova(pin: Pin | None, compared: Mapping[str, Compared]) -> list[str]:
    """Say what Nova has recorded, as the last sync saw it, if it is unlike the pin."""
    said = compared.get(pin.uuid) if pin and pin.machine else None
    if pin is None or said is None or said.machine in (None, pin.machine):
        return []
    return [f"Nova has {printable(said.machine)}"]


def _drift(guest: Guest, pin: Pin | None, aliases: dict[str, str]) -> list[str]:
    """Say in what a guest is unlike its pin."""
    if pin is None or pin.machine is None or guest.gone_since is not None:
        return []
    wanted = pin.machine
    return [
        f"{what} {machine}"
        for what, machine in (("runs", guest.running), ("defined", guest.defined))
        if machine and not policy.satisfied(wanted, machine, seen=pin.seen, aliases=aliases)
    ]
