# SPDX-License-Identifier: Apache-2.0
"""All instances with their pins, and those that lack a machine type in Nova or that no sync has seen."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mthook import policy
from mthook.catalog.records import Guest, Pin
from mthook.errors import NovaError
from mthook.machinetype import MachineType
from mthook.nova.instance import ACTIVE
from mthook.text import now

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host
    from mthook.nova.cell import Cell
    from mthook.nova.instance import NovaInstance

#: The places where an instance can be unlike its pin: running, in its definition, in Nova's record as of the last
#: sync, and in a start that was stopped.
WHERE = ("running", "defined", "nova", "stopped")


@dataclass(frozen=True)
class Drift:
    """A place where an instance has another machine type than its pin.

    :ivar where: one of :data:`WHERE`; after a stopped start the guest waits for a repair.
    """

    where: str
    machine: str


@dataclass(frozen=True)
class InstanceRow:
    """One instance, its pin, and its drift.

    :ivar known: what Nova calls it, and its state there, if Nova has it on this host.
    """

    uuid: str
    guest: Guest | None
    pin: Pin | None
    drift: tuple[Drift, ...]
    known: tuple[str, str] | None = None

    @property
    def machine(self) -> str | None:
        """The pin, ``None`` without one."""
        return self.pin.machine if self.pin else None

    @property
    def display(self) -> str | None:
        """Its name in Nova, ``None`` where it has none."""
        return (self.guest.display if self.guest else None) or (
            self.known[0] if self.known else None
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What libvirt and Nova call it."""
        return tuple(one for one in (self.guest.name if self.guest else None, self.display) if one)

    @property
    def present(self) -> bool:
        """Whether its guest is on this host."""
        return self.guest is not None and self.guest.gone_since is None

    @property
    def state(self) -> str:
        """libvirt's word; without a guest on this host Nova's, such as ``error``, else ``gone``."""
        if self.guest is not None and self.present:
            return self.guest.state
        # Nova believes that it runs: its guest is lost.
        return self.known[1] if self.known and self.known[1] != ACTIVE else "gone"

    @property
    def families(self) -> set[str]:
        """The families of those machine types."""
        return {MachineType.parse(machine).family for machine in self.machines}

    @property
    def machines(self) -> set[str]:
        """Every machine type that the instance has somewhere."""
        guest = self.guest
        known = (self.machine, guest.defined if guest else None, guest.running if guest else None)
        return {machine for machine in known if machine}


@dataclass(frozen=True)
class Selection:
    """Which instances are asked for: those that meet all of its conditions.

    :ivar unset: without a pin, and present.
    :ivar drift: unlike their pins somewhere.
    :ivar name: a pattern for one of their names.
    :ivar machine: a pattern for one of their machine types.
    :ivar family: of one of their machine types.
    :ivar source: where their pins come from, in lower case.
    :ivar states: theirs is one of these; none: any.
    :ivar deprecated: they have one of these machine types; ``None``: any.
    :ivar lacking: theirs is one of these UUIDs; ``None``: any.
    """

    unset: bool = False
    drift: bool = False
    name: str | None = None
    machine: str | None = None
    family: str | None = None
    source: str | None = None
    states: Collection[str] = ()
    deprecated: Collection[str] | None = None
    lacking: Collection[str] | None = None

    def has(self, row: InstanceRow) -> bool:
        """Tell whether an instance of this host is asked for."""
        pin = row.pin if row.machine else None
        return (
            not (self.unset and (row.machine is not None or not row.present))
            and not (self.drift and not row.drift)
            and is_like(self.name, row.names)
            and is_like(self.machine, row.machines)
            and self.family in (None, *row.families)
            and self.source in (None, pin.source.lower() if pin else "")
            and (not self.states or row.state in self.states)
            and (self.deprecated is None or not row.machines.isdisjoint(self.deprecated))
            and (self.lacking is None or row.uuid in self.lacking)
        )

    def has_in_nova(self, instance: NovaInstance) -> bool:
        """Tell whether a Nova instance is asked for, by what Nova's database has."""
        machines = [instance.machine] if instance.machine else []
        return (
            not (self.unset and machines)
            and is_like(self.name, [instance.name])
            and is_like(self.machine, machines)
            and self.family in (None, *(MachineType.parse(one).family for one in machines))
            and (not self.states or instance.vm_state in self.states)
        )


def is_like(pattern: str | None, names: Iterable[str]) -> bool:
    """Tell whether one of some names matches a pattern; without a pattern, all do."""
    return pattern is None or any(fnmatch.fnmatchcase(name, pattern) for name in names)


def instances(catalog: Catalog, guests: Iterable[Guest]) -> Iterator[InstanceRow]:
    """Yield all instances: guests by name, then pins whose guests were never seen here."""
    pins = {pin.uuid: pin for pin in catalog.pins()}
    aliases: dict[tuple[str | None, str, str], dict[str, str]] = {}
    answers: dict[tuple[object, ...], bool] = {}
    recorded = {uuid: one.machine for uuid, one in catalog.compared().items()}
    stopped = {repair.uuid: repair.found for repair in catalog.repairs()}
    known = catalog.instances()
    for guest in guests:
        key = (guest.emulator, guest.arch, guest.virt_type)
        if key not in aliases:
            aliases[key] = catalog.aliases(*key)
        pin = pins.pop(guest.uuid, None)
        here = [*_here(guest, pin, aliases[key], answers)]
        # A definition that has been mended since will start.
        mended = guest.defined is not None and "defined" not in {one.where for one in here}
        found = None if mended else stopped.get(guest.uuid)
        drift = [*here, *_elsewhere(pin, recorded.get(guest.uuid), found)]
        yield InstanceRow(guest.uuid, guest, pin, tuple(drift), known.get(guest.uuid))
    for uuid, pin in pins.items():
        elsewhere = _elsewhere(pin, recorded.get(uuid), stopped.get(uuid))
        yield InstanceRow(uuid, None, pin, tuple(elsewhere), known.get(uuid))


def _here(
    guest: Guest, pin: Pin | None, aliases: dict[str, str], answers: dict[tuple[object, ...], bool]
) -> Iterator[Drift]:
    """Yield what a guest of this host runs and is defined as, where that is unlike its pin.

    :param answers: whether pins are satisfied, as found before: many guests are alike.
    """
    if pin is None or pin.machine is None or guest.gone_since is not None:
        return
    for where, machine in (("running", guest.running), ("defined", guest.defined)):
        question = (pin.machine, machine, pin.seen, id(aliases))
        if machine and question not in answers:
            answers[question] = policy.satisfied(
                pin.machine, machine, seen=pin.seen, aliases=aliases
            )
        if machine and not answers[question]:
            yield Drift(where, machine)


def _elsewhere(pin: Pin | None, recorded: str | None, stopped: str | None) -> Iterator[Drift]:
    """Yield what Nova has recorded, where that is unlike the pin, and a start that was stopped."""
    if pin and pin.machine and recorded and recorded != pin.machine:
        yield Drift("nova", recorded)
    if stopped:
        yield Drift("stopped", stopped)


def unset_in_nova(
    cells: Iterable[Cell], states: Collection[str] = (), *, guests_only: bool = False
) -> Iterator[tuple[Cell, NovaInstance | NovaError]]:
    """Yield instances without a machine type, by cell and UUID; only a few at a time are in memory.

    A cell that can't be asked yields why, and doesn't hold up the others.

    :param states: only instances in one of these; none: in any.
    """
    for cell in cells:
        try:
            for instance in cell.unset():
                wanted = not states or instance.vm_state in states
                if wanted and (instance.has_guest or not guests_only):
                    yield cell, instance
        except NovaError as error:
            yield cell, error


def unseen(host: Host, guests: Iterable[Guest]) -> list[Guest]:
    """Return libvirt's guests that aren't among the known ones, except those whose XML can't be read."""
    from mthook.host import domains

    known = {guest.uuid for guest in guests if guest.gone_since is None}
    found = (domain.as_guest() for domain in domains.list_domains(host))
    return [guest for guest in found if guest is not None and guest.uuid not in known]


def as_now(host: Host, guests: Iterable[Guest]) -> list[Guest]:
    """Return guests in the states that libvirt has them in now; all else is as it was seen last."""
    from mthook.host import domains

    states = domains.states(host)
    return [one if one.gone_since else _in_state(one, states.get(one.uuid)) for one in guests]


def _in_state(guest: Guest, state: str | None) -> Guest:
    if state is None:
        return replace(guest, gone_since=now())
    running = None if state in ("shut off", "saved") else guest.running
    return replace(guest, state=state, running=running, managed_save=state == "saved")


def guest_words(catalog: Catalog, beginning: str) -> set[str]:
    """Return the names of the guests that are here; with the beginning of one, UUIDs as well."""
    guests = [guest for guest in catalog.guests() if guest.gone_since is None]
    return {guest.name for guest in guests} | (
        {guest.uuid for guest in guests} if beginning else set()
    )


def known_machines(catalog: Catalog) -> set[str]:
    """Return the machine types that QEMU offers here or that a guest is pinned to."""
    offered = {one.machine for one in catalog.capabilities()}
    return offered | {pin.machine for pin in catalog.pins() if pin.machine}
