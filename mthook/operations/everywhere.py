# SPDX-License-Identifier: Apache-2.0
"""The instances of all hosts, as the fleet's record has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from mthook.catalog.records import Guest, Pin
from mthook.errors import MachineTypeError
from mthook.fleet import reading
from mthook.fleet.claims import GONE
from mthook.machinetype import MachineType
from mthook.operations.inventory import Drift, InstanceRow, is_like
from mthook.text import now

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mthook.fleet import rows
    from mthook.fleet.reading import Selected


def instances(
    connection: sa.engine.Connection,
    selected: Selected,
    machine: str | None = None,
    family: str | None = None,
) -> Iterator[tuple[str, InstanceRow]]:
    """Yield instances by host and name, each with its host.

    :param machine: a pattern for one of their machine types.
    :param family: of one of their machine types.
    """
    sets = []
    if machine is not None or family is not None:
        known = reading.machine_names(connection)
        if machine is not None:
            sets.append([name for name in known if is_like(machine, [name])])
        if family is not None:
            sets.append([name for name in known if _family(name) == family])
    for host, guest in reading.guests(connection, replace(selected, machines=sets)):
        row = row_of(guest)
        if is_like(selected.name, row.names):
            yield host, row


def _family(machine: str) -> str | None:
    """Return the family of what a host has written as a machine type, which may be anything."""
    try:
        return MachineType.parse(machine).family
    except MachineTypeError:
        return None


def row_of(guest: rows.Guest) -> InstanceRow:
    """Return an instance as this host would have it."""
    present = guest.machine is not None
    seen = None
    if present or guest.name is not None:
        seen = Guest(
            uuid=guest.uuid,
            name=guest.name or "",
            arch=guest.arch,
            virt_type=guest.virt_type,
            defined=guest.defined,
            running=guest.running,
            state=guest.state,
            managed_save=guest.managed_save,
            snapshots=guest.snapshots,
            nova=guest.nova,
            windows=guest.windows,
            display=guest.display,
            gone_since=None if present else now(0),  # when, nobody asks
        )
    # Without a guest the state is Nova's.
    known = None if present or guest.state == GONE else (guest.display or "", guest.state)
    return InstanceRow(guest.uuid, seen, _pin(guest), tuple(_drift(guest)), known)


def _pin(guest: rows.Guest) -> Pin | None:
    if guest.pin is None or guest.pinned_at is None:
        return None
    return Pin(
        uuid=guest.uuid,
        machine=guest.pin,
        arch=guest.arch,
        source=guest.source or "",
        actor=guest.actor or "",
        created_at=guest.pinned_at,
        updated_at=guest.pinned_at,
        seen=guest.seen,
        reason=guest.reason,
    )


def _drift(guest: rows.Guest) -> Iterator[Drift]:
    found = {
        "running": guest.running,
        "defined": guest.defined,
        "nova": guest.recorded,
        "stopped": guest.stopped,
        "elsewhere": guest.elsewhere,
    }
    for kind in filter(None, guest.drift.split(",")):
        yield Drift(kind, found.get(kind) or "")
