# SPDX-License-Identifier: Apache-2.0
"""What is read from a cell database: the machine types recorded there, and what tells how they came about."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from mthook import reconcile
from mthook.errors import NotFound
from mthook.nova import evidence
from mthook.nova.evidence import Rows
from mthook.nova.instance import (
    BUILDING,
    BUS_KEYS,
    MACHINE_KEY,
    RESIZED,
    NovaInstance,
    Whereabouts,
)
from mthook.nova.tables import ACTIONS, INSTANCES, MIGRATIONS, PROPERTIES
from mthook.text import now, printable

_ARCH_KEYS = ("image_hw_architecture", "image_architecture")
_OS_KEY = "image_os_type"
#: The image that the others are of.
_IMAGE_KEY = "image_base_image_ref"
_KEYS = (MACHINE_KEY, *BUS_KEYS, *_ARCH_KEYS, _OS_KEY, _IMAGE_KEY)
#: By how many seconds this host's clock may differ from the database's and count as the same.
_SAME_TIME = 5

#: How many instances one query is about.
_BATCH = 1000
_Item = TypeVar("_Item")


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


def whereabouts(connection: sa.engine.Connection, uuids: Sequence[str]) -> dict[str, Whereabouts]:
    """Return where instances are; those that aren't known are left out."""
    found: dict[str, Whereabouts] = {}
    for batch in _batches(uuids):
        for row in connection.execute(sa.select(INSTANCES).where(INSTANCES.c.uuid.in_(batch))):
            settled = row.task_state is None and row.vm_state != RESIZED
            busy = row.task_state is not None
            found[row.uuid] = Whereabouts(row.host, bool(row.deleted), settled, busy)
    return found


def _exists() -> sa.sql.ColumnElement[bool]:
    """Return the condition that an instance is neither deleted nor still being built."""
    state = INSTANCES.c.vm_state
    return sa.and_(INSTANCES.c.deleted == 0, sa.or_(state.is_(None), state != BUILDING))


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
    rows = connection.execute(sa.select(INSTANCES).where(condition)).all()
    behind = _behind(connection) if rows else 0.0
    found: list[NovaInstance] = []
    for batch in _batches(rows):
        uuids, live = [row.uuid for row in batch], PROPERTIES.c.deleted == 0
        properties = _by_instance(connection, PROPERTIES.c.key, _KEYS, uuids, live)
        actions = _by_instance(connection, ACTIONS.c.action, evidence.ACTION_NAMES, uuids)
        kind, live = MIGRATIONS.c.migration_type, MIGRATIONS.c.deleted == 0
        moves = _by_instance(connection, kind, evidence.MOVES, uuids, live)
        for row in batch:
            of = [rows.get(row.uuid, {}) for rows in (properties, actions, moves)]
            found.append(_with_details(row, of[0], of[1], of[2], behind))
    return found


def _behind(connection: sa.engine.Connection) -> float:
    """Return by how many seconds the database's clock is behind this host's, if that matters."""
    told: Any = connection.execute(sa.select(sa.func.utc_timestamp(type_=sa.DateTime))).scalar()
    behind = time.time() - evidence.seconds(told)
    return behind if abs(behind) > _SAME_TIME else 0.0


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
        row.uuid, row.display_name or "", row.host, row.vm_state or "", row.task_state
    )


def _with_details(
    instance: sa.engine.Row[Any], properties: Rows, actions: Rows, moves: Rows, behind: float
) -> NovaInstance:
    # Of several rows the last one counts for Nova.
    values = {key: rows[-1].value for key, rows in properties.items() if rows[-1].value}
    rows = properties.get(MACHINE_KEY, [])
    refusals = evidence.refused(instance, values.get(_IMAGE_KEY), actions)
    done = [row for row in actions.get("rebuild", []) if row.id not in refusals]
    rebuild, began = (done[-1].id, done[-1].start_time) if done else (0, None)
    evacuations = actions.get("evacuate", [])
    return replace(
        _instance(instance),
        machine=values.get(MACHINE_KEY),
        row=rows[-1].id if MACHINE_KEY in values else None,
        recorded_at=_moment(rows[-1].updated_at or rows[-1].created_at, behind) if rows else "",
        rows=len(rows),
        arch=next((_canonical(values[key]) for key in _ARCH_KEYS if key in values), None),
        windows=values.get(_OS_KEY, "").lower() == "windows",
        buses={key: values[key] for key in BUS_KEYS if key in values},
        rebuild=rebuild or None,
        rebuild_at=_moment(began, behind),
        evacuated=bool(evacuations) and evacuations[-1].id > rebuild,
        author=evidence.author(instance, rows[-1], refusals, actions, moves)
        if rows
        else reconcile.SOMEBODY,
    )


def _moment(stored: datetime | None, behind: float) -> str:
    """Return a time of Nova's as text by this host's clock, which those of pins are by; '' for none."""
    return now(evidence.seconds(stored) + behind) if stored else ""


def _canonical(arch: str) -> str:
    """Return an architecture's name as Nova understands it (nova/objects/fields.py, ``Architecture``)."""
    arch = arch.lower()
    return {"amd64": "x86_64", "x64": "x86_64", "i386": "i686", "i486": "i686", "i586": "i686"}.get(
        arch, arch
    )


def _batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
