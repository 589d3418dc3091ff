# SPDX-License-Identifier: Apache-2.0
"""What is read from a cell database: the recorded machine types, and how they came about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Optional, TypeVar

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
from mthook.nova.tables import ACTIONS, COMPUTE_NODES, INSTANCES, MIGRATIONS, PROPERTIES
from mthook.text import may_begin_uuid, now, printable

#: The guest's architecture, the first key that exists: one that QEMU emulates isn't the host's
#: (nova/virt/libvirt/driver.py, ``_check_emulation_arch``).
_ARCH_KEYS = ("image_hw_emulation_architecture", "image_hw_architecture", "image_architecture")
_TYPE_KEY, _DISTRO_KEY = "image_os_type", "image_os_distro"
_SHELVED_KEY = "shelved_image_id"
#: The image that the other properties belong to.
_IMAGE_KEY = "image_base_image_ref"
_KEYS = (
    *(MACHINE_KEY, *BUS_KEYS, *_ARCH_KEYS),
    *(_TYPE_KEY, _DISTRO_KEY, _SHELVED_KEY, _IMAGE_KEY),
)
#: How many seconds this host's clock may differ from the database's and still count as the same.
_SAME_TIME = 5

#: How many instances one query is about.
_BATCH = 1000
_Item = TypeVar("_Item")
#: Returns some instances by UUID after one, '' at first, of a host or None for all; and where the next ones begin,
#: None: there are no more.
Page = Callable[
    [sa.engine.Connection, str, Optional[str]], "tuple[list[NovaInstance], Optional[str]]"
]


def of_host(connection: sa.engine.Connection, host: str) -> list[NovaInstance]:
    """See :meth:`mthook.nova.cell.Cell.of_host`."""
    return _instances(connection, sa.and_(INSTANCES.c.host == host, _exists()))


def get(connection: sa.engine.Connection, uuid: str) -> NovaInstance:
    """See :meth:`mthook.nova.cell.Cell.get`."""
    found = _instances(connection, sa.and_(INSTANCES.c.uuid == uuid, INSTANCES.c.deleted == 0))
    if not found:
        raise NotFound(f"no instance has the UUID {printable(uuid)}")
    return found[0]


def some(connection: sa.engine.Connection, uuids: Sequence[str]) -> list[NovaInstance]:
    """See :meth:`mthook.nova.cell.Cell.some`."""
    return _instances(connection, sa.and_(INSTANCES.c.uuid.in_(uuids), INSTANCES.c.deleted == 0))


def unset(
    connection: sa.engine.Connection, after: str, host: str | None
) -> tuple[list[NovaInstance], str | None]:
    """Return instances without a machine type; a :data:`Page`."""
    page, last = _page(connection, after, host)
    query = _listed(INSTANCES.outerjoin(PROPERTIES, _has_machine())).where(
        PROPERTIES.c.id.is_(None), page
    )
    return [_instance(row) for row in connection.execute(query)], last


def page(connection: sa.engine.Connection, after: str) -> tuple[list[NovaInstance], str | None]:
    """Return some instances by UUID, not Ironic's, and where the next begin; see :func:`unset`."""
    found, last = _page(connection, after, None)
    return _instances(connection, sa.and_(found, _exists(), ~_is_ironics())), last


def newest_change(connection: sa.engine.Connection) -> datetime | None:
    """Return when an instance was last changed; None: there is none."""
    newest: datetime | None = connection.execute(
        sa.select(sa.func.max(INSTANCES.c.updated_at))
    ).scalar()
    return newest


def changed(
    connection: sa.engine.Connection, since: datetime, after: str
) -> tuple[list[NovaInstance], tuple[datetime, str] | None]:
    """Return some instances that Nova has changed since, and where the next begin; None: no more.

    Both conditions are there for the index on ``updated_at``. Ironic's are left out.

    :param since: a moment as Nova stores it.
    :param after: the UUID after which to begin among those changed at exactly that moment, '' at first.
    """
    at, uuid = INSTANCES.c.updated_at, INSTANCES.c.uuid
    query = sa.select(at, uuid).where(at >= since, sa.or_(at > since, uuid > after))
    rows = connection.execute(query.order_by(at, uuid).limit(_BATCH)).all()
    uuids = [row.uuid for row in rows]
    last = (rows[-1].updated_at, rows[-1].uuid) if len(rows) == _BATCH else None
    return _instances(connection, sa.and_(uuid.in_(uuids), _exists(), ~_is_ironics())), last


def recorded(
    connection: sa.engine.Connection, after: str, host: str | None
) -> tuple[list[NovaInstance], str | None]:
    """Return instances with a machine type; a :data:`Page`."""
    page, last = _page(connection, after, host)
    query = _listed(INSTANCES.join(PROPERTIES, _has_machine()), PROPERTIES.c.value).where(page)
    rows = connection.execute(query.order_by(PROPERTIES.c.id))
    # Of several rows the last one counts for Nova.
    return list(
        {row.uuid: replace(_instance(row), machine=row.value) for row in rows}.values()
    ), last


def has_host(connection: sa.engine.Connection, host: str) -> bool:
    """See :meth:`mthook.nova.cell.Cell.has_host`."""
    node = COMPUTE_NODES.c
    query = sa.select(node.host).where(node.host == host, node.deleted == 0)
    return connection.execute(query.limit(1)).first() is not None


def whereabouts(connection: sa.engine.Connection, uuids: Sequence[str]) -> dict[str, Whereabouts]:
    """Return where instances are; those that aren't known are left out."""
    found: dict[str, Whereabouts] = {}
    for batch in _batches(uuids):
        for row in connection.execute(sa.select(INSTANCES).where(INSTANCES.c.uuid.in_(batch))):
            settled = row.task_state is None and row.vm_state != RESIZED
            busy = row.task_state is not None
            found[row.uuid] = Whereabouts(row.host, bool(row.deleted), settled, busy)
    return found


def moved_from(connection: sa.engine.Connection, host: str, uuids: Sequence[str]) -> set[str]:
    """See :meth:`mthook.nova.cell.Cell.moved_from`."""
    of = MIGRATIONS.c
    query = sa.select(of.instance_uuid).where(of.source_compute == host, of.deleted == 0)
    return {
        row.instance_uuid
        for batch in _batches(uuids)
        for row in connection.execute(query.where(of.instance_uuid.in_(batch)))
    }


def _has_machine() -> sa.sql.ColumnElement[bool]:
    """Return the condition for joining rows of the two tables."""
    return sa.and_(
        PROPERTIES.c.instance_uuid == INSTANCES.c.uuid,
        PROPERTIES.c.key == MACHINE_KEY,
        # Upper and lower case are the same to the database, and not to Nova.
        sa.cast(PROPERTIES.c.key, sa.LargeBinary) == MACHINE_KEY.encode(),
        PROPERTIES.c.deleted == 0,
        PROPERTIES.c.value != "",
    )


def named(connection: sa.engine.Connection, text: str) -> list[str]:
    """Return the UUIDs of some instances that have this name, or whose UUID begins with it."""
    if not text:
        return []
    uuid, name = INSTANCES.c.uuid, INSTANCES.c.display_name
    which, begins = name == text, may_begin_uuid(text)
    if begins:
        which = sa.or_(which, uuid.startswith(text.lower()))
    query = sa.select(uuid, name).where(INSTANCES.c.deleted == 0, which).order_by(uuid)
    rows = connection.execute(query.limit(_BATCH)).all()
    # Upper and lower case are the same to the database, and not to Nova.
    return [
        one.uuid
        for one in rows
        if one.display_name == text or (begins and one.uuid.startswith(text.lower()))
    ]


def _listed(source: sa.sql.FromClause, *more: sa.Column[Any]) -> sa.sql.Select[Any]:
    """Return the query for a list of instances by UUID that tells ironic's from the others."""
    columns = [column for column in INSTANCES.c if column.name not in ("deleted", "node")]
    query = sa.select(*columns, _is_ironics().label("ironic"), *more)
    return query.select_from(source).where(_exists()).order_by(INSTANCES.c.uuid)


def _is_ironics() -> sa.sql.ColumnElement[bool]:
    """Return the condition that an instance is a physical machine, on an ironic node."""
    node = COMPUTE_NODES.c
    return sa.exists().where(
        node.host == INSTANCES.c.host,
        node.hypervisor_hostname == INSTANCES.c.node,
        node.deleted == 0,
        node.hypervisor_type == "ironic",
    )


def _exists() -> sa.sql.ColumnElement[bool]:
    """Return the condition that an instance is neither deleted nor still being built."""
    state = INSTANCES.c.vm_state
    return sa.and_(INSTANCES.c.deleted == 0, sa.or_(state.is_(None), state != BUILDING))


def _page(
    connection: sa.engine.Connection, after: str, host: str | None
) -> tuple[sa.sql.ColumnElement[bool], str | None]:
    """Return a condition for the next instances by UUID, deleted ones too, and the last one's UUID.

    It bounds what a query has to look at, not just what it returns: on a large cloud, a query that finds nothing would
    otherwise take longer than anybody waits. The database needn't be clever for it: both ends are in an index.
    """
    uuid, rest = INSTANCES.c.uuid, INSTANCES.c.uuid > after
    if host is not None:
        rest = sa.and_(rest, INSTANCES.c.host == host)
    query = sa.select(uuid).where(rest).order_by(uuid).offset(_BATCH - 1).limit(1)
    end: str | None = connection.execute(query).scalar()
    return (rest if end is None else sa.and_(rest, uuid <= end)), end


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
    """Return how many seconds the database's clock is behind this host's, if that matters."""
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
    """Return instances' rows with given names in a column, by instance and name, oldest first."""
    of = column.table.c
    query = sa.select(column.table).where(of.instance_uuid.in_(uuids), column.in_(names))
    found: dict[str, dict[str, list[sa.engine.Row[Any]]]] = {}
    for row in connection.execute(query.where(*conditions).order_by(of.id)):
        rows = found.setdefault(row.instance_uuid, {})
        rows.setdefault(getattr(row, column.name), []).append(row)
    return found


def _instance(row: sa.engine.Row[Any]) -> NovaInstance:
    name, state, ironic = row.display_name or "", row.vm_state or "", getattr(row, "ironic", False)
    changed_at = _moment(row.updated_at, 0.0)
    return NovaInstance(
        row.uuid, name, row.host, state, row.task_state, updated_at=changed_at, ironic=bool(ironic)
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
        windows=_is_windows(values),
        buses={key: values[key] for key in BUS_KEYS if key in values},
        rebuild=rebuild or None,
        rebuild_at=_moment(began, behind),
        evacuated=bool(evacuations) and evacuations[-1].id > rebuild,
        author=evidence.author(instance, rows[-1], refusals, actions, moves)
        if rows
        else reconcile.SOMEBODY,
        shelved_image=values.get(_SHELVED_KEY),
    )


def _is_windows(values: Mapping[str, str]) -> bool:
    """Tell by the image's operating system; libosinfo's names are like ``win10`` or ``win2k22``."""
    distro = values.get(_DISTRO_KEY, "").lower()
    return values.get(_TYPE_KEY, "").lower() == "windows" or distro.startswith("win")


def _moment(stored: datetime | None, behind: float) -> str:
    """Return a time from Nova as text by this host's clock, like the times of pins; '' for none."""
    return now(evidence.seconds(stored) + behind) if stored else ""


def _canonical(arch: str) -> str:
    """Return Nova's name for an architecture (nova/objects/fields.py, ``Architecture``)."""
    arch = arch.lower()
    return {"amd64": "x86_64", "x64": "x86_64", "i386": "i686", "i486": "i686", "i586": "i686"}.get(
        arch, arch
    )


def _batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
