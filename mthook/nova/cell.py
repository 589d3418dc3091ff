# SPDX-License-Identifier: Apache-2.0
"""One cell database of Nova's: the machine types recorded there, and what tells how they came about.

Only columns that Nova has had since Queens are named, and only those used. Nova keeps an instance's machine
type in ``instance_system_metadata`` under the key ``image_hw_machine_type``; a row counts while its ``deleted``
is 0. No unique key guards that table (nova/db/main/models.py, ``InstanceSystemMetadata``), so every writer has to.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import sqlalchemy as sa

from mthook.errors import NotFound, NovaConflict, NovaError
from mthook.nova.connection import Deadlock, asking, engine
from mthook.reconcile import REBUILD_STATES
from mthook.text import now, printable

METADATA = sa.MetaData()

#: The key of the machine type.
KEY = "image_hw_machine_type"
#: The buses that Nova keeps beside it, and that a change of family can make invalid.
BUS_KEYS = ("image_hw_cdrom_bus", "image_hw_disk_bus", "image_hw_rescue_bus")
_ARCH_KEYS = ("image_hw_architecture", "image_architecture")
_OS_KEY = "image_os_type"
_KEYS = (KEY, *BUS_KEYS, *_ARCH_KEYS, _OS_KEY)

#: Nova hasn't started such an instance yet.
BUILDING = "building"
#: States in which an instance's guest doesn't run: ``ALLOWED_UPDATE_VM_STATES`` of
#: nova/virt/libvirt/machine_type_utils.py.
STOPPED_STATES = ("stopped", "shelved", "shelved_offloaded")
#: An instance's ``task_state`` while Nova starts a rescue image in the guest's place, and its ``vm_state`` then.
RESCUING, RESCUED = "rescuing", "rescued"

INSTANCES = sa.Table(
    "instances",
    METADATA,
    sa.Column("uuid", sa.String(36)),
    sa.Column("display_name", sa.String(255)),
    sa.Column("host", sa.String(255)),
    sa.Column("vm_state", sa.String(255)),
    sa.Column("task_state", sa.String(255)),
    sa.Column("deleted", sa.Integer),
)
PROPERTIES = sa.Table(
    "instance_system_metadata",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("instance_uuid", sa.String(36)),
    sa.Column("key", sa.String(255), quote=True),
    sa.Column("value", sa.String(255)),
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("deleted", sa.Integer),
)
ACTIONS = sa.Table(
    "instance_actions",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("instance_uuid", sa.String(36)),
    sa.Column("action", sa.String(255)),
    sa.Column("start_time", sa.DateTime),
)

#: What :func:`_bare` needs.
_BARE = [column for column in INSTANCES.c if column.name != "deleted"]
#: How many instances one query is about.
_BATCH = 1000
#: How often a write is tried when others write the same rows.
_TRIES = 5
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Change:
    """A row to be changed beside the machine type.

    :param old: the value that it must have; None: there must be none.
    """

    key: str
    old: str | None
    new: str


@dataclass(frozen=True)
class NovaInstance:
    """An instance as Nova has it.

    :ivar host: of the host it is on; None for a shelved and offloaded one.
    :ivar machine: the machine type recorded for it; None: none.
    :ivar row: the id of the row that has it.
    :ivar recorded_at: when that was written, as :func:`mthook.text.now` has it; '' where nothing tells.
    :ivar rows: how many rows for it count, where one should.
    :ivar arch: the architecture that its image asks for; None: the host's.
    :ivar buses: what is recorded for device buses, by key.
    :ivar rebuild: the id of its last rebuild in ``instance_actions``; None: never rebuilt.
    :ivar rebuild_at: when that began, as :func:`mthook.text.now` has it; '' without one.
    :ivar evacuated: an evacuation is more recent than that.
    :ivar by_rescue: ``machine`` was written while it was in rescue. The XML of that is made from the rescue image, and
        where that names no machine type, Nova records its default (nova/virt/libvirt/driver.py, ``rescue``).
    """

    uuid: str
    name: str
    host: str | None
    vm_state: str
    task_state: str | None
    machine: str | None = None
    row: int | None = None
    recorded_at: str = ""
    rows: int = 0
    arch: str | None = None
    windows: bool = False
    buses: Mapping[str, str] = field(default_factory=dict)
    rebuild: int | None = None
    rebuild_at: str = ""
    evacuated: bool = False
    by_rescue: bool = False

    @property
    def stopped(self) -> bool:
        """Whether its machine type may be changed without ``--force``."""
        return self.vm_state in STOPPED_STATES


@dataclass(frozen=True)
class Whereabouts:
    """Where Nova says that an instance is.

    :ivar settled: not on its way from one host to another.
    """

    host: str | None
    deleted: bool
    settled: bool


class Cell:
    """One cell database.

    :param url: where it is, with its password; or why that isn't known, which every use of it then raises.
    :param name: what messages call it.
    :param seconds: to wait for a connection, for each answer and for rows that others have locked.
    :raises NovaError: by every method, where the database fails; the message never holds the password.
    """

    def __init__(self, url: sa.engine.URL | NovaError, name: str, seconds: int) -> None:
        self.name = name
        self._engine = url if isinstance(url, NovaError) else engine(url, name, seconds)

    def __str__(self) -> str:
        return self.name

    def close(self) -> None:
        """Close all connections."""
        if not isinstance(self._engine, NovaError):
            self._engine.dispose()

    def of_host(self, host: str) -> list[NovaInstance]:
        """Return the instances of a host, without deleted ones and those that Nova still builds."""
        mine = sa.and_(INSTANCES.c.host == host, _exists())
        with self._connected() as connection:
            return _complete(connection, connection.execute(sa.select(INSTANCES).where(mine)).all())

    def get(self, uuid: str) -> NovaInstance:
        """Return an instance.

        :raises NotFound: this cell has no such instance, or it is deleted.
        """
        this = sa.and_(INSTANCES.c.uuid == uuid, INSTANCES.c.deleted == 0)
        with self._connected() as connection:
            found = _complete(
                connection, connection.execute(sa.select(INSTANCES).where(this)).all()
            )
        if not found:
            raise NotFound(f"no instance has the UUID {printable(uuid)}")
        return found[0]

    def unset(self) -> Iterator[NovaInstance]:
        """Yield the instances without a machine type, by UUID; a few at a time are in memory."""
        live = sa.and_(
            PROPERTIES.c.instance_uuid == INSTANCES.c.uuid,
            PROPERTIES.c.key == KEY,
            # Upper and lower case are the same to the database, and not to Nova.
            sa.cast(PROPERTIES.c.key, sa.LargeBinary) == KEY.encode(),
            PROPERTIES.c.deleted == 0,
            PROPERTIES.c.value != "",
        )
        query = (
            sa.select(*_BARE)
            .select_from(INSTANCES.outerjoin(PROPERTIES, live))
            .where(_exists(), PROPERTIES.c.id.is_(None))
            .order_by(INSTANCES.c.uuid)
        )
        last: str | None = ""
        while last is not None:
            # No cursor stays open while the caller is at work.
            with self._connected() as connection:
                page, last = _page(connection, last)
                rows = connection.execute(query.where(page)).all()
            yield from (_bare(row) for row in rows)

    def whereabouts(self, uuids: Iterable[str]) -> dict[str, Whereabouts]:
        """Return where instances are; those that this cell doesn't know are left out."""
        found: dict[str, Whereabouts] = {}
        with self._connected() as connection:
            for batch in _batches(list(uuids)):
                query = sa.select(INSTANCES).where(INSTANCES.c.uuid.in_(batch))
                for row in connection.execute(query):
                    settled = row.task_state is None and row.vm_state != "resized"
                    found[row.uuid] = Whereabouts(row.host, bool(row.deleted), settled)
        return found

    def record(
        self,
        uuid: str,
        machine: str,
        *,
        expect: str | None,
        host: str | None = None,
        changes: Sequence[Change] = (),
    ) -> int:
        """Record an instance's machine type, all of it or nothing; afterwards just one row counts.

        :param expect: what is recorded now; None: nothing.
        :param host: only while the instance is on this host and not being rebuilt; None: wherever it is.
        :param changes: of other rows, in the same transaction.
        :return: the id of the row.
        :raises NovaConflict: something else is recorded, or Nova is rebuilding the instance.
        :raises NotFound: the instance is deleted, or no longer on that host.
        """

        def work(connection: sa.engine.Connection) -> int:
            _hold(connection, uuid, host)
            for change in changes:
                _put(connection, uuid, change)
            return _put(connection, uuid, Change(KEY, expect, machine))

        return self._write(work)

    def erase(self, uuid: str, *, expect: str) -> None:
        """Take back an instance's machine type.

        :param expect: what is recorded now.
        :raises NovaConflict: something else is recorded.
        :raises NotFound: the instance is deleted.
        """

        def work(connection: sa.engine.Connection) -> None:
            _hold(connection, uuid, None)
            live, dead = _rows(connection, uuid, KEY)
            _expect(uuid, Change(KEY, expect, ""), live)
            _delete(connection, [*live, *dead])

        self._write(work)

    def _write(self, work: Callable[[sa.engine.Connection], _Result]) -> _Result:
        """Do some work in a transaction, again where others who write the same rows are in its way."""
        for _ in range(_TRIES - 1):
            try:
                with self._connected() as connection, connection.begin():
                    return work(connection)
            except Deadlock:
                time.sleep(random.uniform(0.01, 0.1))
        with self._connected() as connection, connection.begin():
            return work(connection)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sa.engine.Connection]:
        if isinstance(self._engine, NovaError):
            raise self._engine
        with asking(self.name), self._engine.connect() as connection:
            yield connection


def _exists() -> sa.sql.ColumnElement[bool]:
    """Return the condition that an instance is neither deleted nor still being built."""
    state = INSTANCES.c.vm_state
    return sa.and_(INSTANCES.c.deleted == 0, sa.or_(state.is_(None), state != BUILDING))


def _page(
    connection: sa.engine.Connection, last: str
) -> tuple[sa.sql.ColumnElement[bool], str | None]:
    """Return a condition for the next instances by UUID, deleted ones too, and the last one's UUID.

    It bounds what a query has to look at, not just what it returns: of a large cloud in which nothing is found that
    would take longer than anybody waits. The database need not be clever for it, both ends are in an index.

    :param last: the UUID before them.
    :return: None in place of a UUID: there are no more.
    """
    uuid = INSTANCES.c.uuid
    query = sa.select(uuid).where(uuid > last).order_by(uuid).offset(_BATCH - 1).limit(1)
    end: str | None = connection.execute(query).scalar()
    return (uuid > last if end is None else sa.and_(uuid > last, uuid <= end)), end


def _bare(row: sa.engine.Row[Any]) -> NovaInstance:
    return NovaInstance(
        row.uuid, row.display_name or "", row.host, row.vm_state or "", row.task_state
    )


def _complete(
    connection: sa.engine.Connection, rows: Sequence[sa.engine.Row[Any]]
) -> list[NovaInstance]:
    """Add to instances what the other tables know of them."""
    found: list[NovaInstance] = []
    for batch in _batches(rows):
        uuids = [row.uuid for row in batch]
        properties = _properties(connection, uuids)
        actions = _actions(connection, uuids)
        found += [
            _told(_bare(row), properties.get(row.uuid, {}), actions.get(row.uuid, {}))
            for row in batch
        ]
    return found


#: The rows of an instance by key, oldest first.
_Rows = Mapping[str, "list[tuple[int, str | None, datetime | None]]"]


def _properties(connection: sa.engine.Connection, uuids: Sequence[str]) -> dict[str, _Rows]:
    """Return id, value and time of the rows that count, by instance and key."""
    query = (
        sa.select(PROPERTIES)
        .where(
            PROPERTIES.c.instance_uuid.in_(uuids),
            PROPERTIES.c.key.in_(_KEYS),
            PROPERTIES.c.deleted == 0,
        )
        .order_by(PROPERTIES.c.id)
    )
    found: dict[str, dict[str, list[tuple[int, str | None, datetime | None]]]] = {}
    for row in connection.execute(query):
        rows = found.setdefault(row.instance_uuid, {}).setdefault(row.key, [])
        rows.append((row.id, row.value, row.updated_at or row.created_at))
    return dict(found)


def _actions(
    connection: sa.engine.Connection, uuids: Sequence[str]
) -> dict[str, dict[str, tuple[int, datetime | None]]]:
    """Return the last action of each kind that matters, row and time, by instance."""
    query = (
        sa.select(ACTIONS)
        .where(
            ACTIONS.c.instance_uuid.in_(uuids),
            ACTIONS.c.action.in_(("rebuild", "evacuate", "rescue", "unrescue")),
        )
        .order_by(ACTIONS.c.id)
    )
    found: dict[str, dict[str, tuple[int, datetime | None]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.instance_uuid, {})[row.action] = (row.id, row.start_time)
    return found


def _told(
    instance: NovaInstance,
    properties: _Rows,
    actions: Mapping[str, tuple[int, datetime | None]],
) -> NovaInstance:
    # Of several rows the last one counts for Nova.
    row, machine, written = properties.get(KEY, [(None, None, None)])[-1]
    values = {key: rows[-1][1] for key, rows in properties.items() if rows[-1][1]}
    rebuild, began = actions.get("rebuild", (None, None))
    return replace(
        instance,
        machine=machine or None,
        row=row if machine else None,
        recorded_at=_moment(written),
        rows=len(properties.get(KEY, ())),
        arch=next((_canonical(values[key]) for key in _ARCH_KEYS if key in values), None),
        windows=values.get(_OS_KEY, "").lower() == "windows",
        buses={key: values[key] for key in BUS_KEYS if key in values},
        rebuild=rebuild,
        rebuild_at=_moment(began),
        evacuated=actions.get("evacuate", (0, None))[0] > (rebuild or 0),
        by_rescue=_is_by_rescue(instance, written, actions),
    )


def _is_by_rescue(
    instance: NovaInstance,
    written: datetime | None,
    actions: Mapping[str, tuple[int, datetime | None]],
) -> bool:
    """Tell whether what was written last was so between a rescue and its end."""
    row, began = actions.get("rescue", (0, None))
    end_row, ended = actions.get("unrescue", (0, None))
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


def _hold(connection: sa.engine.Connection, uuid: str, host: str | None) -> None:
    """Make sure that an instance exists, on a host, and stays so until the transaction ends."""
    query = sa.select(INSTANCES.c.host, INSTANCES.c.task_state).where(
        INSTANCES.c.uuid == uuid, INSTANCES.c.deleted == 0
    )
    row = connection.execute(query.with_for_update(read=True)).first()
    if row is None or (host is not None and row.host != host):
        where = f"on {printable(host)}" if host is not None else "in Nova"
        raise NotFound(f"instance {printable(uuid)} is no longer {where}")
    if host is not None and row.task_state in REBUILD_STATES:
        raise NovaConflict(f"Nova is rebuilding instance {printable(uuid)}: look again")


def _put(connection: sa.engine.Connection, uuid: str, change: Change) -> int:
    """Give a key of an instance a value; of several rows all but the last one are deleted."""
    live, dead = _rows(connection, uuid, change.key)
    _expect(uuid, change, live)
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


def _rows(
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


def _expect(uuid: str, change: Change, rows: Sequence[sa.engine.Row[Any]]) -> None:
    """Make sure that a value is still what it is to be replaced for."""
    value = (rows[-1].value or None) if rows else None
    if value != change.old:
        raise NovaConflict(
            f"{change.key} of {printable(uuid)} is {printable(value or 'unset')} in Nova now, not "
            f"{printable(change.old or 'unset')}: somebody else changed it, look again"
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


def _batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
