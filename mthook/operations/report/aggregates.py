# SPDX-License-Identifier: Apache-2.0
"""What a report is made of: figures that can be added up, so that its size doesn't grow with the number of guests.

Every source of a report (this host, export files, a database of many hosts) comes to :class:`Aggregates`. Names and
machine types are text from strangers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mthook.fleet.rows import DRIFT

#: How many instances are named for each kind of drift.
NAMED = 5


@dataclass(frozen=True)
class HostFigures:
    """One host.

    :ivar name: untrusted text.
    :ivar as_of: when these figures were taken.
    :ivar guests: guests that are on it, in any state, with a pin or without.
    :ivar running: those of them that aren't shut off.
    :ivar unpinned: those of them without a pin.
    :ivar drifting: instances that are unlike their pin in at least one place.
    :ivar unstartable: instances that its QEMU can't start as what they are pinned to; None: it isn't known.
    :ivar deprecated: guests with a machine type that its QEMU deprecates.
    :ivar mode: the hook's: ``enforce``, ``audit`` or ``off``.
    :ivar proven: whether the hook is installed, current, and known to every libvirt daemon, and no start without it
        contradicts that.
    :ivar ran_at: when mthook-sync last ended, also a run that broke off; None: never.
    :ivar errors: those of that run.
    :ivar qemu_version: as of the last sync.
    """

    name: str
    as_of: str
    guests: int
    running: int
    unpinned: int
    drifting: int
    unstartable: int | None
    deprecated: int
    mode: str
    proven: bool
    ran_at: str | None
    errors: int
    qemu_version: str | None


@dataclass(frozen=True)
class MachineFigures:
    """One machine type, all hosts together.

    :ivar name: '' where a guest has none.
    :ivar guests: guests that run it or would be started as it; an alias counts as what it stands for on its host.
    :ivar running: those of them that aren't shut off.
    :ivar pins: pins that say it, an alias as it is.
    :ivar hosts: hosts that have one of these guests or pins.
    """

    name: str
    guests: int
    running: int
    pins: int
    hosts: int


@dataclass(frozen=True)
class Drifter:
    """An instance that is unlike its pin in one place.

    :ivar pin: '' where that was released since a start was stopped.
    :ivar where: one of :data:`mthook.fleet.rows.DRIFT`.
    :ivar machine: what it is there.
    """

    host: str
    uuid: str
    name: str | None
    pin: str
    where: str
    machine: str


@dataclass(frozen=True)
class Aggregates:
    """Some hosts together.

    :ivar drift: how many instances are unlike their pin, by where that is so; one can count in several.
    :ivar drifters: the first :data:`NAMED` of each kind, by host and name.
    """

    hosts: Sequence[HostFigures] = ()
    machines: Sequence[MachineFigures] = ()
    drift: Mapping[str, int] = field(default_factory=dict)
    drifters: Sequence[Drifter] = ()


def together(parts: Iterable[Aggregates]) -> Aggregates:
    """Add up the figures of different hosts."""
    hosts: list[HostFigures] = []
    machines: dict[str, list[int]] = {}
    drift: Counter[str] = Counter()
    drifters: list[Drifter] = []
    for part in parts:
        hosts += part.hosts
        drift.update(part.drift)
        drifters = first([*drifters, *part.drifters])
        for one in part.machines:
            figures = (one.guests, one.running, one.pins, one.hosts)
            sums = machines.setdefault(one.name, [0, 0, 0, 0])
            machines[one.name] = [a + b for a, b in zip(sums, figures)]
    return Aggregates(
        sorted(hosts, key=lambda one: one.name),
        [MachineFigures(name, *sums) for name, sums in sorted(machines.items())],
        dict(drift),
        drifters,
    )


def first(drifters: Iterable[Drifter]) -> list[Drifter]:
    """Return those that a report names: so many of each kind, by host and name."""
    found: dict[str, list[Drifter]] = {where: [] for where in DRIFT}
    for one in sorted(drifters, key=lambda one: (one.host, one.name or "", one.uuid)):
        if len(found[one.where]) < NAMED:
            found[one.where].append(one)
    return [one for where in DRIFT for one in found[where]]
