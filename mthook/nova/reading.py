# SPDX-License-Identifier: Apache-2.0
"""What is read from a cell database: the machine types recorded there, and what tells how they came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import sqlalchemy as sa

from mthook.errors import NotFound
from mthook.nova.instance import (
    BUILDING,
    BUS_KEYS,
    MACHINE_KEY,
    RESCUED,
    RESCUING,
    RESIZED,
    NovaInstance,
    Whereabouts,
)
from mthook.nova.tables import ACTIONS, COMPUTE_NODES, INSTANCES, PROPERTIES
from mthook.text import now, printable

_ARCH_KEYS = ("image_hw_architecture", "image_architecture")
_OS_KEY = "image_os_type"
_KEYS = (MACHINE_KEY, *BUS_KEYS, *_ARCH_KEYS, _OS_KEY)
_ACTIONS = ("rebuild", "evacuate", "rescue", "unrescue")

#: How many instances one query is about.
_BATCH = 1000
_Item = TypeVar("_Item")
#: An instance's rows, oldest first, by key of the property or name of the action.
_Rows = Mapping[str, "list[sa.engine.Row[Any]]"]


def of_host(connection: sa.engine.Connection, host: str) -> list[NovaInstance]:
    """See :meth:`mthook.nova.cell.Cell.of_host`."""
    return _instances(connection, sa.and_(INSTANCES.c.host == host, _exists()))


def get(connection: sa.engine.Connection, uuid: str) -> NovaInstance:
    """See :meth:`mthook.nova.cell.Cell.get`."""
    found = _instances(connection, sa.and_(INSTANCES.c.uuid == uuid, INSTANCES.c.deleted == 0))
    if not found:
        raise NotFound(f"no instance has the UUID {printable(uuid)}")
    return found[0]


def unset(connection: sa.engine.Connection, after: str) -> tuple[list[NovaInstance], str | None]:
    """Return some instances without a machine type, by UUID, and where the next ones begin; None: there are no more.

    :param after: the UUID before them, '' at first.
    """
    live = sa.and_(
        PROPERTIES.c.instance_uuid == INSTANCES.c.uuid,
        PROPERTIES.c.key == MACHINE_KEY,
        # Upper and lower case are the same to the database, and not to Nova.
        sa.cast(PROPERTIES.c.key, sa.LargeBinary) == MACHINE_KEY.encode(),
        PROPERTIES.c.deleted == 0,
        PROPERTIES.c.value != "",
    )
    page, last = _page(connection, after)
    query = (
        sa.select(*(column for column in INSTANCES.c if column.name != "deleted"))
        .select_from(INSTANCES.outerjoin(PROPERTIES, live))
        .where(_exists(), PROPERTIES.c.id.is_(None), page)
        .order_by(INSTANCES.c.uuid)
    )
    return [_instance(row) for row in connection.execute(query)], last


def page(connection: sa.engine.Connection, after: str) -> tuple[list[NovaInstance], str | None]:
    """Return some instances by UUID, and where the next ones begin; see :func:`unset`. Ironic's are left out."""
    found, last = _page(connection, after)
    return _instances(connection, sa.and_(found, _exists(), _virtual())), last


def newest_change(connection: sa.engine.Connection) -> datetime | None:
    """Return when an instance was last changed; None: there is none."""
    newest: datetime | None = connection.execute(
        sa.select(sa.func.max(INSTANCES.c.updated_at))
    ).scalar()
    return newest


def changed(
    connection: sa.engine.Connection, since: datetime, after: str
) -> tuple[list[NovaInstance], tuple[datetime, str] | None]:
    """Return some instances that Nova has changed since, and where the next ones begin; None: there are no more.

    Both conditions are there for the index on ``updated_at``. Ironic's are left out.

    :param since: a moment as Nova stores it.
    :param after: the UUID after which to begin among those changed at just that moment, '' at first.
    """
    at, uuid = INSTANCES.c.updated_at, INSTANCES.c.uuid
    query = sa.select(at, uuid).where(at >= since, sa.or_(at > since, uuid > after))
    rows = connection.execute(query.order_by(at, uuid).limit(_BATCH)).all()
    uuids = [row.uuid for row in rows]
    last = (rows[-1].updated_at, rows[-1].uuid) if len(rows) == _BATCH else None
    return _instances(connection, sa.and_(uuid.in_(uuids), _exists(), _virtual())), last


def whereabouts(connection: sa.engine.Connection, uuids: Sequence[str]) -> dict[str, Whereabouts]:
    """Return where instances are; those that aren't known are left out."""
    found: dict[str, Whereabouts] = {}
    for batch in _batches(uuids):
        for row in connection.execute(sa.select(INSTANCES).where(INSTANCES.c.uuid.in_(batch))):
            settled = row.task_state is None and row.vm_state != RESIZED
            found[row.uuid] = Whereabouts(row.host, bool(row.deleted), settled)
    return found


def _exists() -> sa.sql.ColumnElement[bool]:
    """Return the condition that an instance is neither deleted nor still being built."""
    state = INSTANCES.c.vm_state
    return sa.and_(INSTANCES.c.deleted == 0, sa.or_(state.is_(None), state != BUILDING))


def _virtual() -> sa.sql.ColumnElement[bool]:
    """Return the condition that an instance is none of Ironic's, which is a machine of its own."""
    node = COMPUTE_NODES.c
    return ~sa.exists().where(
        node.host == INSTANCES.c.host,
        node.hypervisor_hostname == INSTANCES.c.node,
        node.deleted == 0,
        node.hypervisor_type == "ironic",
    )


def _page(
    connection: sa.engine.Connection, after: str
) -> tuple[sa.sql.ColumnElement[bool], str | None]:
    """Return a condition for the next instances by UUID, deleted ones too, and the last one's UUID.

    It bounds what a query has to look at, not just what it returns: of a large cloud in which nothing is found that
    would take longer than anybody waits. The database need not be clever for it, both ends are in an index.
    """
    uuid = INSTANCES.c.uuid
    query = sa.select(uuid).where(uuid > after).order_by(uuid).offset(_BATCH - 1).limit(1)
    end: str | None = connection.execute(query).scalar()
    return (uuid > after if end is None else sa.and_(uuid > after, uuid <= end)), end


def _instances(
    connection: sa.engine.Connection, condition: sa.sql.ColumnElement[bool]
) -> list[NovaInstance]:
    """Return the instances for which a condition holds, with what the other tables know of them."""
    found: list[NovaInstance] = []
    for batch in _batches(connection.execute(sa.select(INSTANCES).where(condition)).all()):
        uuids, live = [row.uuid for row in batch], PROPERTIES.c.deleted == 0
        properties = _by_instance(connection, PROPERTIES.c.key, _KEYS, uuids, live)
        actions = _by_instance(connection, ACTIONS.c.action, _ACTIONS, uuids)
        found += [
            _with_details(_instance(row), properties.get(row.uuid, {}), actions.get(row.uuid, {}))
            for row in batch
        ]
    return found


def _by_instance(
    connection: sa.engine.Connection,
    column: sa.Column[Any],
    names: Sequence[str],
    uuids: Sequence[str],
    *conditions: sa.sql.ColumnElement[bool],
) -> dict[str, dict[str, list[sa.engine.Row[Any]]]]:
    """Return the rows of instances that have one of some names in a column, by instance and name, oldest first."""
    of = column.table.c
    query = sa.select(column.table).where(of.instance_uuid.in_(uuids), column.in_(names))
    found: dict[str, dict[str, list[sa.engine.Row[Any]]]] = {}
    for row in connection.execute(query.where(*conditions).order_by(of.id)):
        rows = found.setdefault(row.instance_uuid, {})
        rows.setdefault(getattr(row, column.name), []).append(row)
    return found


def _instance(row: sa.engine.Row[Any]) -> NovaInstance:
    return NovaInstance(
        row.uuid,
        row.display_name or "",
        row.host,
        row.vm_state or "",
        row.task_state,
        updated_at=_moment(row.updated_at),
    )


def _with_details(instance: NovaInstance, properties: _Rows, actions: _Rows) -> NovaInstance:
    # Of several rows the last one counts for Nova.
    values = {key: rows[-1].value for key, rows in properties.items() if rows[-1].value}
    rows = properties.get(MACHINE_KEY, [])
    written = (rows[-1].updated_at or rows[-1].created_at) if rows else None
    rebuild, began = _last(actions, "rebuild")
    return replace(
        instance,
        machine=values.get(MACHINE_KEY),
        row=rows[-1].id if MACHINE_KEY in values else None,
        recorded_at=_moment(written),
        rows=len(rows),
        arch=next((_canonical(values[key]) for key in _ARCH_KEYS if key in values), None),
        windows=values.get(_OS_KEY, "").lower() == "windows",
        buses={key: values[key] for key in BUS_KEYS if key in values},
        rebuild=rebuild or None,
        rebuild_at=_moment(began),
        evacuated=_last(actions, "evacuate")[0] > rebuild,
        by_rescue=_is_by_rescue(instance, written, actions),
    )


def _last(actions: _Rows, name: str) -> tuple[int, datetime | None]:
    """Return the row of the last action of a name and when that began; 0 and None: there was none."""
    rows = actions.get(name)
    return (rows[-1].id, rows[-1].start_time) if rows else (0, None)


def _is_by_rescue(instance: NovaInstance, written: datetime | None, actions: _Rows) -> bool:
    """Tell whether what was written last was so between a rescue and its end."""
    row, began = _last(actions, "rescue")
    end_row, ended = _last(actions, "unrescue")
    second = timedelta(seconds=1)  # the database rounds to it
    if written is None or began is None or written < began - second:
        return False
    if end_row > row and ended is not None:
        return written <= ended + second
    return instance.vm_state == RESCUED or instance.task_state == RESCUING


def _moment(stored: datetime | None) -> str:
    """Return a time of Nova's, which is UTC without saying so, as text; '' for none."""
    return now(stored.replace(tzinfo=timezone.utc).timestamp()) if stored else ""


def _canonical(arch: str) -> str:
    """Return an architecture's name as Nova understands it (nova/objects/fields.py, ``Architecture``)."""
    arch = arch.lower()
    return {"amd64": "x86_64", "x64": "x86_64", "i386": "i686", "i486": "i686", "i586": "i686"}.get(
        arch, arch
    )


def _batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
