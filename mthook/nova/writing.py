# SPDX-License-Identifier: Apache-2.0
"""What is written to a cell database, on a connection with a transaction.

No unique key guards Nova's table: first the instance is locked, then all rows of the key, and the gap where none are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from mthook.errors import NotFound, NovaConflict
from mthook.nova.instance import REBUILD_STATES, Change, Disk, DiskChange, PropertyChange
from mthook.nova.tables import DISKS, INSTANCES, PROPERTIES
from mthook.text import printable


def lock_instance(connection: sa.engine.Connection, uuid: str, host: str | None) -> None:
    """Make sure that an instance exists, on a host, and stays so until the transaction ends.

    :param host: also that it isn't being rebuilt there; None: wherever it is.
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
        put(connection, uuid, wanted)


def _change_disk(connection: sa.engine.Connection, uuid: str, wanted: DiskChange) -> None:
    live = sa.and_(
        DISKS.c.id == wanted.old.row, DISKS.c.instance_uuid == uuid, DISKS.c.deleted == 0
    )
    row = connection.execute(sa.select(DISKS).where(live).with_for_update()).first()
    found = Disk(row.id, row.device_name, row.disk_bus) if row else None
    if found != wanted.old:
        raise NovaConflict(
            f"{wanted.key} of {printable(uuid)} is {printable(found or 'gone')} in Nova now, not "
            f"{printable(wanted.old)}: somebody else changed it, look again"
        )
    new = {"device_name": wanted.new.name, "disk_bus": wanted.new.bus, "updated_at": _utcnow()}
    connection.execute(sa.update(DISKS).where(live).values(**new))


def put(connection: sa.engine.Connection, uuid: str, change: PropertyChange) -> int:
    """Give a key of an instance a value; of several rows all but the last one are deleted.

    :return: the id of the row.
    :raises NovaConflict: it has another value than expected.
    """
    live, dead = _lock_rows(connection, uuid, change.key)
    _check_value(uuid, change.key, change.old, live)
    if not live:
        _delete(connection, dead)
        new = sa.insert(PROPERTIES).values(
            instance_uuid=uuid, key=change.key, value=change.new, created_at=_utcnow(), deleted=0
        )
        key = connection.execute(new).inserted_primary_key
        assert key is not None
        return int(key[0])
    last = live[-1]
    _delete(connection, [*live[:-1], *dead])
    if last.value != change.new:
        connection.execute(
            sa.update(PROPERTIES)
            .where(PROPERTIES.c.id == last.id)
            .values(value=change.new, updated_at=_utcnow())
        )
    return int(last.id)


def erase(connection: sa.engine.Connection, uuid: str, key: str, old: str) -> None:
    """Delete all rows of a key of an instance.

    :raises NovaConflict: it has another value than expected.
    """
    live, dead = _lock_rows(connection, uuid, key)
    _check_value(uuid, key, old, live)
    _delete(connection, [*live, *dead])


def _lock_rows(
    connection: sa.engine.Connection, uuid: str, key: str
) -> tuple[list[sa.engine.Row[Any]], list[sa.engine.Row[Any]]]:
    """Return the rows of a key that count and those marked deleted, and keep others from changing or adding any."""
    query = (
        sa.select(PROPERTIES)
        .where(PROPERTIES.c.instance_uuid == uuid, PROPERTIES.c.key == key)
        .order_by(PROPERTIES.c.id)
    )
    found = connection.execute(query.with_for_update()).all()
    # Upper and lower case are the same to the database, and not to Nova.
    rows = [row for row in found if row.key == key]
    return [row for row in rows if not row.deleted], [row for row in rows if row.deleted]


def _check_value(uuid: str, key: str, old: str | None, rows: Sequence[sa.engine.Row[Any]]) -> None:
    """Make sure that a value is still what it is to be replaced for."""
    value = (rows[-1].value or None) if rows else None
    if value != old:
        raise NovaConflict(
            f"{key} of {printable(uuid)} is {printable(value or 'unset')} in Nova now, not "
            f"{printable(old or 'unset')}: somebody else changed it, look again"
        )


def _delete(connection: sa.engine.Connection, rows: Sequence[sa.engine.Row[Any]]) -> None:
    """Delete rows for good, as Nova does: of a living instance it reads those marked deleted, too.

    See nova/db/main/api.py, ``_instance_metadata_update_in_place``, and nova/utils.py, ``instance_sys_meta``.
    """
    for row in rows:
        connection.execute(sa.delete(PROPERTIES).where(PROPERTIES.c.id == row.id))


def _utcnow() -> datetime:
    """Return the present as Nova stores it: UTC, without a zone, in whole seconds."""
    return datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None)
