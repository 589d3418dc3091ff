# SPDX-License-Identifier: Apache-2.0
"""The instances there are, beside their pins, and those that lack a machine type in Nova or that no sync has seen."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mthook import policy
from mthook.catalog.records import Guest, Pin
from mthook.errors import NovaError

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host
    from mthook.nova.cell import Cell
    from mthook.nova.instance import NovaInstance


@dataclass(frozen=True)
class Drift:
    """A place where an instance has another machine type than its pin.

    :ivar where: ``running``, ``defined``, ``nova`` (recorded there, as of the last sync) or
        ``stopped`` (a start with it was stopped, and the guest waits for a repair).
    """

    where: str
    machine: str


@dataclass(frozen=True)
class InstanceRow:
    """One instance, its pin, and its drift."""

    uuid: str
    guest: Guest | None
    pin: Pin | None
    drift: tuple[Drift, ...]

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


@dataclass(frozen=True)
class Selection:
    """Which instances are asked for: those that all of its conditions hold for.

    :ivar unset: without a pin, and not gone.
    :ivar drift: unlike their pins somewhere.
    :ivar machine: a pattern for one of their machine types.
    :ivar deprecated: the machine types of which they have one; ``None``: any.
    :ivar lacking: the UUIDs of which theirs is one; ``None``: any.
    """

    unset: bool = False
    drift: bool = False
    machine: str | None = None
    state: str | None = None
    deprecated: Collection[str] | None = None
    lacking: Collection[str] | None = None

    def has(self, row: InstanceRow) -> bool:
        """Tell whether an instance of this host is asked for."""
        return not (
            (self.unset and (row.machine is not None or row.state == "gone"))
            or (self.drift and not row.drift)
            or (self.machine is not None and not fnmatch.filter(row.machines, self.machine))
            or (self.deprecated is not None and row.machines.isdisjoint(self.deprecated))
            or (self.lacking is not None and row.uuid not in self.lacking)
            or (self.state is not None and row.state != self.state)
        )

    def has_in_nova(self, instance: NovaInstance) -> bool:
        """Tell whether an instance of Nova's is asked for, by what its database has."""
        machine = instance.machine
        return not (
            (self.unset and machine is not None)
            or (self.machine and not (machine and fnmatch.fnmatch(machine, self.machine)))
            or (self.state is not None and instance.vm_state != self.state)
        )


def instances(catalog: Catalog, guests: Iterable[Guest]) -> Iterator[InstanceRow]:
    """Yield all instances: guests by name, then pins of which no guest was ever seen here."""
    pins = {pin.uuid: pin for pin in catalog.pins()}
    aliases: dict[tuple[str | None, str, str], dict[str, str]] = {}
    recorded = {uuid: one.machine for uuid, one in catalog.compared().items()}
    stopped = {repair.uuid: repair.found for repair in catalog.repairs()}
    for guest in guests:
        key = (guest.emulator, guest.arch, guest.virt_type)
        if key not in aliases:
            aliases[key] = catalog.aliases(*key)
        pin = pins.pop(guest.uuid, None)
        here = [*_here(guest, pin, aliases[key])]
        # A definition that was mended since starts.
        mended = guest.defined is not None and "defined" not in {one.where for one in here}
        found = None if mended else stopped.get(guest.uuid)
        drift = [*here, *_elsewhere(pin, recorded.get(guest.uuid), found)]
        yield InstanceRow(guest.uuid, guest, pin, tuple(drift))
    for uuid, pin in pins.items():
        elsewhere = _elsewhere(pin, recorded.get(uuid), stopped.get(uuid))
        yield InstanceRow(uuid, None, pin, tuple(elsewhere))


def _here(guest: Guest, pin: Pin | None, aliases: dict[str, str]) -> Iterator[Drift]:
    """Yield what a guest of this host runs and is defined as, where that is unlike its pin."""
    if pin is None or pin.machine is None or guest.gone_since is not None:
        return
    for where, machine in (("running", guest.running), ("defined", guest.defined)):
        if machine and not policy.satisfied(pin.machine, machine, seen=pin.seen, aliases=aliases):
            yield Drift(where, machine)


def _elsewhere(pin: Pin | None, recorded: str | None, stopped: str | None) -> Iterator[Drift]:
    """Yield what Nova has recorded, where that is unlike the pin, and a start that was stopped."""
    if pin and pin.machine and recorded and recorded != pin.machine:
        yield Drift("nova", recorded)
    if stopped:
        yield Drift("stopped", stopped)


def unset_in_nova(
    cells: Iterable[Cell], state: str | None = None, *, guests_only: bool = False
) -> Iterator[tuple[Cell, NovaInstance | NovaError]]:
    """Yield the instances without a machine type, by cell and UUID; a few at a time are in memory.

    A cell that can't be asked yields why, and doesn't keep the others from it.
    """
    for cell in cells:
        try:
            for instance in cell.unset():
                if state in (None, instance.vm_state) and (instance.has_guest or not guests_only):
                    yield cell, instance
        except NovaError as error:
            yield cell, error


def unseen(host: Host, guests: Iterable[Guest]) -> list[Guest]:
    """Return the guests that libvirt has and that aren't among those known; not such whose XML can't be read."""
    from mthook.host import domains

    known = {guest.uuid for guest in guests if guest.gone_since is None}
    found = (domain.as_guest() for domain in domains.list_domains(host))
    return [guest for guest in found if guest is not None and guest.uuid not in known]
