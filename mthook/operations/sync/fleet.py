# SPDX-License-Identifier: Apache-2.0
"""What a host writes to the fleet's record at the end of a sync."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from mthook import __version__
from mthook.conf import has_nova
from mthook.errors import Error
from mthook.fleet import claims, pushing
from mthook.fleet.rows import DRIFT, Guest, Host, Machine
from mthook.operations.acts import Failure, SyncResult
from mthook.operations.forecast.offering import Offering, to_text
from mthook.operations.observed import Observed
from mthook.operations.opening import opened_fleet
from mthook.text import label, printable

if TYPE_CHECKING:
    import sqlalchemy as sa
    from oslo_config import cfg

    from mthook.fleet.claims import Before, Claim
    from mthook.operations.inventory import InstanceRow
    from mthook.operations.readiness.context import Context

MACHINE_ID = "/etc/machine-id"


def own_key(conf: cfg.ConfigOpts) -> str:
    """Return the key of this host in the record; without a machine-id its name alone makes it."""
    try:
        with open(MACHINE_ID, encoding="ascii") as file:
            machine_id = file.read().strip()
    except (OSError, UnicodeError):
        machine_id = ""
    return pushing.key_of(machine_id, conf.host)


def push(context: Context, result: SyncResult, at: str, errors: int) -> None:
    """Write what is known of this host and its guests; note what other hosts say against it.

    :param at: when the sync ended.
    :param errors: how many errors it had.
    :raises FleetError: nothing was written.
    """
    conf, catalog = context.conf, context.catalog()
    key = own_key(conf)
    with opened_fleet(conf) as record:
        found = Observed(context)
        read = functools.partial(_read, found, key, ask_nova=has_nova(conf))
        elsewhere, mark = record.transact(read)
        said = _Said(found, key, elsewhere.pins)
        rows = catalog.history_after(mark.number, mark.at, pushing.MOST_HISTORY)
        for row in rows:
            del row["change"]  # this host alone can undo it
        history = [pushing.Entry(**row) for row in rows]
        rest = (tuple(result.outcomes), history, mark)
        push = pushing.Push(said.host(at, errors), said.offer, said.guests, said.machines(), *rest)
        twins = pushing.push(record, push)
    for failure in elsewhere.failures:
        result.add(failure)
    if twins:
        result.add(
            Failure(
                Error(
                    f"another host writes to the fleet's record as {printable(conf.host)}: give each host"
                    " a [DEFAULT] host of its own"
                )
            )
        )


def _read(
    found: Observed, key: str, connection: sa.engine.Connection, *, ask_nova: bool
) -> tuple[_Elsewhere, pushing.Mark]:
    """Return what has to be known of the record before it is written to."""
    return _Elsewhere(found, connection, key, ask_nova=ask_nova), pushing.mark(connection, key)


class _Elsewhere:
    """What other hosts say of the guests that are here.

    :ivar pins: their pins where these are unlike the ones here, or what they run as well, by UUID.
    :ivar failures: the same as errors.
    """

    def __init__(
        self, found: Observed, connection: sa.engine.Connection, key: str, *, ask_nova: bool
    ) -> None:
        here = {
            row.uuid: row for row in found.here if row.guest and not (row.guest.nova and ask_nova)
        }
        self.pins: dict[str, str] = {}
        self.failures: list[Failure] = []
        others = claims.others(connection, key, here)
        before = claims.before(connection, key) if others else None
        for claim in others:
            if before is not None and claim.host != found.context.conf.host:
                self._compare(here[claim.uuid], claim, before)

    def _compare(self, row: InstanceRow, claim: Claim, before: Before) -> None:
        assert row.guest is not None
        host, machine = printable(claim.host), claim.pin
        if runs_on_both(row, claim, before):
            text = f"it runs on {host} as well: stop one of the two before they damage its disks"
            machine = claim.running
        elif machine and row.machine and machine != row.machine and counts(row, claim):
            name = row.guest.name
            text = (
                f"pinned to {row.machine} here and to {printable(machine)} on {host}: give it one pin with"
                f" 'mthook-admin set {printable(name)} TYPE' or 'mthook-admin accept {printable(name)}'"
                f" here{'' if claim.present else ', and remove the other one there'}"
            )
        else:
            return
        self.pins[row.uuid] = machine or ""
        who = label(row.uuid, row.guest.name, row.display)
        self.failures.append(Failure(Error(f"{who}: {text}")))


def counts(row: InstanceRow, claim: Claim) -> bool:
    """Tell whether another host's pin counts beside the one here: its guest is there, or left it there later."""
    since = row.pin.updated_at if row.pin else ""
    return claim.present or (claim.pinned_at or "") > since


def runs_on_both(row: InstanceRow, claim: Claim, before: Before) -> bool:
    """Tell whether a guest has run on both hosts at once: a migration, which takes a moment, doesn't count.

    It ran here when this host wrote last, it does now, and the other host has written in between that it runs there.
    """
    assert row.guest is not None
    here = row.guest.running is not None and row.uuid in before.running
    return here and claim.running is not None and claim.pushed_at > before.pushed_at


class _Said:
    """A host and its guests as the record has them."""

    def __init__(self, found: Observed, key: str, elsewhere: Mapping[str, str]) -> None:
        self.found, self.key = found, key
        capabilities = tuple(found.context.catalog().capabilities())
        name, facts = "", found.host
        offering = Offering(name, facts.qemu_version or "", facts.libvirt_version, capabilities)
        self.offer = to_text(offering) if capabilities else None
        self._deprecated = found.offers.like(None).deprecated
        self._recorded = found.context.catalog().compared()
        here = {row.uuid for row in found.here}
        self.guests = [
            self._guest(row, row.uuid in here, elsewhere.get(row.uuid), row.uuid in found.lacking)
            for row in found.rows
        ]

    def host(self, at: str, errors: int) -> Host:
        """Return the host, whose sync has just ended."""
        found, facts = self.found, self.found.host
        told = json.loads(facts.last_sync_errors or "null") or {"errors": []}
        return Host(
            id=self.key,
            host=found.context.conf.host,
            mthook_version=__version__,
            qemu_version=facts.qemu_version,
            libvirt_version=facts.libvirt_version,
            mode=found.context.conf.hook.mode,
            ran_at=at,
            succeeded_at=facts.succeeded_at if errors else at,
            errors=errors,
            error=next((one["message"] for one in told["errors"]), None) if errors else None,
            hook_installed=found.hook["installed"],
            hook_current=found.hook["current"],
            # A start without it belies that it is.
            hook_loaded=found.hook["loaded"] and not (found.proof and found.proof.proven is False),
            hook_at=found.context.catalog().last_call(),
            offer=pushing.digest_of(self.offer) if self.offer else None,
            guests=len(found.here),
            running=sum(found.running.values()),
            unpinned=found.unpinned,
            drifting=sum(bool(one.drift) for one in self.guests),
            unstartable=found.unstartable,
            deprecated=found.deprecated_guests,
        )

    def machines(self) -> list[Machine]:
        """Count the machine types."""
        guests, running = Counter(self.found.machines.values()), self.found.running
        pins = self.found.pinned_to
        # Also those that guests are defined as: they are looked for here.
        anywhere = {machine for row in self.found.rows for machine in row.machines}
        names = sorted({*guests, *pins, *anywhere})
        return [Machine(name, guests[name], running[name], pins.get(name, 0)) for name in names]

    def _guest(
        self, row: InstanceRow, present: bool, elsewhere: str | None, unsupported: bool
    ) -> Guest:
        guest, pin = row.guest, row.pin if row.machine else None
        found, recorded = (
            {one.where: one.machine for one in row.drift},
            self._recorded.get(row.uuid),
        )
        return Guest(
            uuid=row.uuid,
            name=guest.name if guest else None,
            display=row.display,
            arch=guest.arch if guest else pin.arch if pin else "",
            virt_type=guest.virt_type if guest else "",
            state=row.state,
            nova=guest.nova if guest else row.known is not None,
            windows=bool(guest and guest.windows),
            running=guest.running if guest else None,
            defined=guest.defined if guest else None,
            machine=self.found.machines[row.uuid] if present else None,
            managed_save=bool(guest and guest.managed_save),
            snapshots=guest.snapshots if guest else 0,
            pin=row.machine,
            seen=pin.seen if pin else None,
            source=pin.source if pin else None,
            actor=pin.actor if pin else None,
            reason=pin.reason if pin else None,
            # A released pin has a time as well: a wish for the guest goes by it.
            pinned_at=row.pin.updated_at if row.pin else None,
            recorded=recorded.machine if recorded else None,
            stopped=found.get("stopped"),
            elsewhere=elsewhere,
            drift=",".join(_kinds({*found, *(["elsewhere"] if elsewhere is not None else [])})),
            deprecated=not row.machines.isdisjoint(self._deprecated),
            unsupported=unsupported,
        )


def _kinds(found: Collection[str]) -> Iterator[str]:
    return (kind for kind in DRIFT if kind in found)
