# SPDX-License-Identifier: Apache-2.0
"""What a change can alter about an instance in Nova's databases: enough to take the change back.

Only the rows of machine type and buses that count are kept. Surplus rows, which a change deletes, stay gone: Nova has
them by mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from mthook.errors import NovaConflict, RequestSpecError
from mthook.nova import requestspecs, writing
from mthook.nova.instance import BUS_KEYS, MACHINE_KEY, DiskChange, PropertyChange
from mthook.nova.tables import DISKS, PROPERTIES
from mthook.text import printable

_KEYS = (MACHINE_KEY, *BUS_KEYS)


@dataclass(frozen=True)
class Property:
    """A row of ``instance_system_metadata``; the times are Nova's, None: it has none."""

    value: str
    created_at: str | None
    updated_at: str | None


@dataclass(frozen=True)
class Imprint:
    """The rows that counted for an instance in its cell database.

    :ivar properties: by key.
    :ivar neighbour: id and time of change of its oldest row of another key, which adding a row also changes; None if no
        row is to be added.
    :ivar disks: when the rows of its disks were last changed, by their ids.
    """

    properties: Mapping[str, Property] = field(default_factory=dict)
    neighbour: tuple[int, str | None] | None = None
    disks: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """An instance's request spec.

    :ivar machine: the machine type in it.
    :ivar text: all of it, if writing the machine type back wouldn't restore it byte for byte.
    """

    machine: str | None
    updated_at: str | None
    text: str | None = None


def read(
    connection: sa.engine.Connection, uuids: Sequence[str], *, disks: bool
) -> dict[str, Imprint]:
    """Return the rows that count for instances.

    :param disks: include their disks.
    """
    own, of = PROPERTIES.c, DISKS.c
    live = sa.select(PROPERTIES).where(
        own.instance_uuid.in_(uuids), own.key.in_(_KEYS), own.deleted == 0
    )
    found: dict[str, dict[str, Property]] = {uuid: {} for uuid in uuids}
    for row in connection.execute(live.order_by(own.id)):
        times = _text(row.created_at), _text(row.updated_at)
        found[row.instance_uuid][row.key] = Property(row.value or "", *times)
    beside = _neighbours(connection, [one for one in uuids if MACHINE_KEY not in found[one]])
    changed: dict[str, dict[str, str | None]] = {uuid: {} for uuid in uuids}
    if disks:
        query = sa.select(DISKS).where(of.instance_uuid.in_(uuids), of.deleted == 0)
        for row in connection.execute(query):
            changed[row.instance_uuid][str(row.id)] = _text(row.updated_at)
    return {uuid: Imprint(found[uuid], beside.get(uuid), changed[uuid]) for uuid in uuids}


def _neighbours(
    connection: sa.engine.Connection, uuids: Sequence[str]
) -> dict[str, tuple[int, str | None]]:
    own = PROPERTIES.c
    oldest = (
        sa.select(sa.func.min(own.id))
        .where(own.instance_uuid.in_(uuids), own.key != MACHINE_KEY)
        .group_by(own.instance_uuid)
    )
    rows = connection.execute(sa.select(PROPERTIES).where(own.id.in_(oldest))) if uuids else ()
    return {row.instance_uuid: (row.id, _text(row.updated_at)) for row in rows}


def put_back(
    connection: sa.engine.Connection,
    uuid: str,
    before: Imprint,
    after: Mapping[str, str | None],
    disks: Iterable[DiskChange],
    *,
    times: bool,
) -> None:
    """Restore an instance's rows to what they were, where they differ.

    :param after: what the change made of the keys that it changed; None: nothing.
    :param disks: what it changed about disks.
    :param times: also restore the time of change of the machine type's row.
    :raises NovaConflict: they are neither what they were nor what the change made of them.
    """
    writing.lock_instance(connection, uuid, None)
    for key, made in after.items():
        _put_back(connection, uuid, key, before, made, times or key != MACHINE_KEY)
    for one in disks:
        back = DiskChange(one.new, one.old)
        row = writing.find_disk(connection, uuid, one.old.row)
        if row != one.old:
            writing.change(connection, uuid, back)
            _set_time(connection, DISKS, one.old.row, before.disks.get(str(one.old.row)))


def _put_back(
    connection: sa.engine.Connection,
    uuid: str,
    key: str,
    before: Imprint,
    made: str | None,
    times: bool,
) -> None:
    old, found = before.properties.get(key), writing.value(connection, uuid, key)
    if found == (old.value if old else None):
        return
    if found != made:
        raise NovaConflict(
            f"{key} of {printable(uuid)} is {printable(found or 'unset')} in Nova now, not"
            f" {printable(made or 'unset')}: somebody else changed it since"
        )
    if old is None:
        writing.erase(connection, uuid, key, made or "")
        if before.neighbour is not None:
            _set_time(connection, PROPERTIES, *before.neighbour)
        return
    # A row made anew is an operator's wish; with the times of the first one it would look like Nova's.
    at = _moment(old.updated_at) if times and found is not None else writing.PRESENT
    writing.put(connection, uuid, PropertyChange(key, found, old.value), pinned=True, at=at)


def _set_time(connection: sa.engine.Connection, table: sa.Table, row: int, at: str | None) -> None:
    moment = _moment(at)
    connection.execute(sa.update(table).where(table.c.id == row).values(updated_at=moment))


def spec_of(text: str, updated_at: datetime | None, machine: str | None) -> Spec | None:
    """Return what taking a change back needs of a request spec; None: not understood, so unchanged.

    :param machine: the machine type that the change writes into it.
    """
    try:
        old = requestspecs.machine_of(text)
        back = requestspecs.with_machine(requestspecs.with_machine(text, machine), old)
    except RequestSpecError:
        return None
    return Spec(old, _text(updated_at), None if back == text else text)


def restored_spec(found: str, before: Spec, made: str | None) -> str | None:
    """Return a request spec as it was; None: it already is.

    :param found: what it is now.
    :param made: the machine type that the change has written into it.
    :raises NovaConflict: it is neither what it was nor what the change made of it.
    :raises RequestSpecError: it is no longer understood.
    """
    machine = requestspecs.machine_of(found)
    if machine == before.machine:
        return None
    if machine != made or (
        before.text is not None and requestspecs.with_machine(before.text, made) != found
    ):
        raise NovaConflict("its request spec was changed by somebody else since")
    return before.text or requestspecs.with_machine(found, before.machine)


def moment_of(spec: Spec) -> datetime | None:
    """Return when a request spec was last changed, as Nova stores it."""
    return _moment(spec.updated_at)


def _text(stored: datetime | None) -> str | None:
    return stored.isoformat(" ") if stored else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
