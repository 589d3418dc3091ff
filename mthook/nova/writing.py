# SPDX-License-Identifier: Apache-2.0
"""What is written to a cell database, on a connection with a transaction.

No unique key guards Nova's table, so the instance is locked first, then all its rows and the gaps between them.

A Galera cluster keeps locks local to a node. If transactions on two nodes have changed a row in common, as two that
change the same value have, the later one fails at its commit. Two that each *add* a row have none in common: of 500
such pairs, 343 left two rows, and both writers were told that they had succeeded. So whoever adds a row also changes
``updated_at``, which Nova doesn't read, in the instance's oldest other row (:func:`_contend`): after that, none of 500
pairs left two rows. Also tried (``python -m bench --only galera``):

* a row in a table of mthook's own works, too, but needs a database and rights of its own;
* so does looking again after the commit, with two more statements, and two rows for a moment;
* an update that changes nothing doesn't work: it isn't replicated.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa

from mthook.errors import NotFound, NovaConflict
from mthook.nova.instance import REBUILD_STATES, Change, Disk, DiskChange, PropertyChange
from mthook.nova.tables import DISKS, INSTANCES, PROPERTIES
from mthook.text import printable

#: For :func:`put`: the present time.
PRESENT = object()
_Rows = Sequence["sa.engine.Row[Any]"]


def lock_instance(connection: sa.engine.Connection, uuid: str, host: str | None) -> None:
    """Make sure that an instance exists, and is on a host, until the transaction ends.

    :param host: also make sure that it isn't being rebuilt there; None: wherever it is.
    :raises NotFound: it is deleted, or no longer on that host.
    :raises NovaConflict: Nova is rebuilding it.
    """
    query = sa.select(INSTANCES.c.host, INSTANCES.c.task_state).where(
        INSTANCES.c.uuid == uuid, INSTANCES.c.deleted == 0
    )
    row = connection.execute(query.with_for_update(read=True)).first()
    if row is None or (host is not None and row.host != host):
        where = f"on {printable(host)}" if host is not None else "in Nova"
        raise NotFound(f"instance {printable(uuid)} is no longer {where}")
    if host is not None and row.task_state in REBUILD_STATES:
        raise NovaConflict(f"Nova is rebuilding instance {printable(uuid)}: look again")


def change(connection: sa.engine.Connection, uuid: str, wanted: Change) -> None:
    """Change a row of an instance.

    :raises NovaConflict: it isn't what was expected.
    """
    if isinstance(wanted, DiskChange):
        _change_disk(connection, uuid, wanted)
    else:
        put(connection, uuid, wanted, pinned=False)


def _change_disk(connection: sa.engine.Connection, uuid: str, wanted: DiskChange) -> None:
    found = find_disk(connection, uuid, wanted.old.row)
    if found != wanted.old:
        raise NovaConflict(
            f"{wanted.key} of {printable(uuid)} is {printable(found or 'gone')} in Nova now, not "
            f"{printable(wanted.old)}: somebody else changed it, look again"
        )
    new = {"device_name": wanted.new.name, "disk_bus": wanted.new.bus, "updated_at": _utcnow()}
    connection.execute(sa.update(DISKS).where(_live(uuid, wanted.old.row)).values(**new))


def find_disk(connection: sa.engine.Connection, uuid: str, row: int) -> Disk | None:
    """Return a row of an instance's disks, locked until the transaction ends; None: it is gone."""
    query = sa.select(DISKS).where(_live(uuid, row)).with_for_update()
    found = connection.execute(query).first()
    return Disk(found.id, found.device_name, found.disk_bus) if found else None


def _live(uuid: str, row: int) -> sa.sql.ColumnElement[bool]:
    return sa.and_(DISKS.c.id == row, DISKS.c.instance_uuid == uuid, DISKS.c.deleted == 0)


def value(connection: sa.engine.Connection, uuid: str, key: str) -> str | None:
    """Return the value of an instance's key, locked until the transaction ends; None: none."""
    live, _ = _of_key(_lock_rows(connection, uuid), key)
    return (live[-1].value or None) if live else None


def put(
    connection: sa.engine.Connection,
    uuid: str,
    change: PropertyChange,
    *,
    pinned: bool,
    at: object = PRESENT,
) -> int:
    """Give an instance's key a value; if it has several rows, delete all but the last.

    :param pinned: make a new row look like one that was changed, not like one that Nova fills in by itself.
    :param at: the time of change to record for an existing row, as Nova stores it.
    :return: the id of the row.
    :raises NovaConflict: it has another value than expected.
    """
    rows = _lock_rows(connection, uuid)
    live, dead = _of_key(rows, change.key)
    _check_value(uuid, change.key, change.old, live)
    if not live:
        _contend(connection, change.key, rows)
        _delete(connection, dead)
        now = _utcnow()
        new = {"instance_uuid": uuid, "key": change.key, "value": change.new, "deleted": 0}
        times = {"created_at": now, "updated_at": now} if pinned else {"created_at": now}
        key = connection.execute(sa.insert(PROPERTIES).values(**new, **times)).inserted_primary_key
        assert key is not None
        return int(key[0])
    last = live[-1]
    _delete(connection, [*live[:-1], *dead])
    connection.execute(
        sa.update(PROPERTIES)
        .where(PROPERTIES.c.id == last.id)
        .values(value=change.new, updated_at=_utcnow() if at is PRESENT else at)
    )
    return int(last.id)


def erase(connection: sa.engine.Connection, uuid: str, key: str, old: str) -> None:
    """Delete all rows of an instance's key.

    :raises NovaConflict: it has another value than expected.
    """
    live, dead = _of_key(_lock_rows(connection, uuid), key)
    _check_value(uuid, key, old, live)
    _delete(connection, [*live, *dead])


def _lock_rows(connection: sa.engine.Connection, uuid: str) -> _Rows:
    """Return an instance's rows, oldest first, and keep others from changing or adding any."""
    query = sa.select(PROPERTIES).where(PROPERTIES.c.instance_uuid == uuid)
    return connection.execute(query.order_by(PROPERTIES.c.id).with_for_update()).all()


def _of_key(rows: _Rows, key: str) -> tuple[_Rows, _Rows]:
    """Return the rows of a key that count, and those marked deleted."""
    # Upper and lower case are the same to the database, and not to Nova.
    own = [row for row in rows if row.key == key]
    return [row for row in own if not row.deleted], [row for row in own if row.deleted]


def _contend(connection: sa.engine.Connection, key: str, rows: _Rows) -> None:
    """Change a row that everyone adding to a key changes: on a Galera cluster only one succeeds."""
    row = next((row for row in rows if row.key != key), None)
    if row is not None:
        # The time must differ, or nothing is replicated.
        now = _utcnow()
        moment = now if row.updated_at != now else now + timedelta(seconds=1)
        connection.execute(
            sa.update(PROPERTIES).where(PROPERTIES.c.id == row.id).values(updated_at=moment)
        )


def _check_value(uuid: str, key: str, old: str | None, rows: _Rows) -> None:
    """Make sure that a value is still the one to be replaced."""
    value = (rows[-1].value or None) if rows else None
    if value != old:
        raise NovaConflict(
            f"{key} of {printable(uuid)} is {printable(value or 'unset')} in Nova now, not "
            f"{printable(old or 'unset')}: somebody else changed it, look again"
        )


def _delete(connection: sa.engine.Connection, rows: _Rows) -> None:
    """Delete rows for good, as Nova does: for a living instance it also reads those marked deleted.

    See nova/db/main/api.py, ``_instance_metadata_update_in_place``, and nova/utils.py, ``instance_sys_meta``.
    """
    for row in rows:
        connection.execute(sa.delete(PROPERTIES).where(PROPERTIES.c.id == row.id))


def _utcnow() -> datetime:
    """Return the present as Nova stores it: UTC, without a zone, in whole seconds."""
    return datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None)
