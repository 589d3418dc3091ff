# SPDX-License-Identifier: Apache-2.0
"""This host as the last sync or hook saw it, counted once for figures, reports and exports.

libvirt is asked only for pins that the catalog's offers lack.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING

from mthook.errors import InstallError
from mthook.operations.inventory import WHERE, InstanceRow, instances
from mthook.operations.readiness import guard
from mthook.operations.support import unsupported, with_offer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mthook.catalog.records import Guest
    from mthook.operations.readiness.context import Context

#: What has to be so for the guard to be proven.
_HOOK_CHECKS = ("installed", "current", "loaded")


class Observed:
    """What is known of the host.

    :ivar host: its versions, and how its last sync went.
    :ivar offers: what its emulators offer.
    :ivar hook: the checks of the hook's installation.
    :ivar proof: the proof that it is called; None: nobody knows.
    :ivar rows: all instances.
    :ivar here: those with a guest on this host.
    :ivar pins: those that count here, with what the emulator of each offers.
    :ivar machines: what each guest runs or would be started as, by UUID; an alias resolved as its emulator does.
    :raises CatalogError: the catalog can't be read.
    """

    def __init__(self, context: Context) -> None:
        catalog = context.catalog()
        self.context = context
        self.host = catalog.host()
        self.offers = context.offers()
        self.rows = list(instances(catalog, catalog.guests()))
        self.here = [row for row in self.rows if row.guest and row.guest.gone_since is None]
        self.hook, self.proof = _hook(context, [row.guest for row in self.here if row.guest])
        self.pins = [
            with_offer(row.pin, row.guest, self.offers)
            for row in self.rows
            if row.pin and row.machine and not (row.guest and row.guest.gone_since)
        ]
        self.machines = {row.uuid: self._machine(row) for row in self.here}

    @property
    def proven(self) -> bool:
        """Whether every check of the hook's installation passes, and no start without it contradicts that."""
        sound = self.proof is not None and self.proof.proven is not False
        return sound and all(self.hook.values())

    @property
    def unpinned(self) -> int:
        """How many guests of this host have no pin."""
        return sum(row.machine is None for row in self.here)

    @property
    def drift(self) -> dict[str, int]:
        """How many instances are unlike their pin, by where that is so; of each kind at least zero."""
        found = Counter(one.where for row in self.rows for one in row.drift)
        return {where: found[where] for where in WHERE}

    @functools.cached_property
    def lacking(self) -> frozenset[str]:
        """UUIDs of the instances that this host's QEMU can't start, as far as it is known what it offers."""
        return frozenset(pin.uuid for pin, *_ in unsupported(self.pins, self.context.host))

    @property
    def unstartable(self) -> int | None:
        """How many instances this host's QEMU can't start; None: nobody knows what it offers."""
        return len(self.lacking) if self.offers else None

    @property
    def running(self) -> Counter[str]:
        """How many guests of each machine type run."""
        return Counter(
            self.machines[row.uuid]
            for row in self.here
            if row.guest is not None and row.guest.running is not None
        )

    @property
    def deprecated_guests(self) -> int:
        """How many guests have a machine type that their emulator deprecates."""
        return sum(self.deprecated(row) is True for row in self.here)

    @property
    def pinned_to(self) -> dict[str, int]:
        """How many pins say each machine type."""
        return Counter(pin.machine or "" for pin, *_ in self.pins)

    def deprecated(self, row: InstanceRow) -> bool | None:
        """Tell whether a guest's emulator deprecates its machine type; None: it doesn't offer it."""
        assert row.guest is not None
        offer, machine = self.offers.of(row.guest), self.machines[row.uuid]
        return machine in offer.deprecated if offer.has(machine) else None

    def _machine(self, row: InstanceRow) -> str:
        guest = row.guest
        assert guest is not None
        return guest.running or self.offers.of(guest).stands_for(row.machine or guest.defined or "")


def _hook(context: Context, guests: Sequence[Guest]) -> tuple[dict[str, bool], guard.Proof | None]:
    """Return what is known about the hook; a check that can't be made counts as failed, as where no daemon runs."""
    try:
        status = guard.hook_status(context)
        proof = guard.prove(context, guests, status)
    except InstallError:
        return dict.fromkeys(_HOOK_CHECKS, False), None
    return {check: bool(getattr(status, check)) for check in _HOOK_CHECKS}, proof
