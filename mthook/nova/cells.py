# SPDX-License-Identifier: Apache-2.0
"""All Nova databases that the configuration leads to.

With ``[api_database] connection`` those are the cells in its ``cell_mappings``; with ``[database] connection``
alone, just that one. If both are configured, the API database is asked: in a controller's nova.conf the other one
is often cell0's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg

from mthook.deadline import give_way
from mthook.errors import NotFound, NovaConflict, NovaError, RequestSpecError
from mthook.nova import requestspecs, rights, tables
from mthook.nova.cell import Cell
from mthook.nova.connection import Deadlock, Line, TooLong, asked, engine, fill_in, parse_url
from mthook.nova.instance import NovaInstance
from mthook.nova.tables import CELL_MAPPINGS, HOST_MAPPINGS, INSTANCE_MAPPINGS, REQUEST_SPECS
from mthook.text import printable

#: The cell for instances that got no host (nova/objects/cell_mapping.py, ``CELL0_UUID``).
CELL0 = "00000000-0000-0000-0000-000000000000"
#: Seconds to wait for a database, once.
SECONDS = 10

_API = "Nova's API database"
#: How often a write to a request spec is tried while others write it, too.
_TRIES = 5


class Cells:
    """Nova's databases.

    :param conf: the configuration; it has at least one of the two connections.
    :param seconds: to wait for a database, once.
    :raises NovaError: a URL is invalid, or PyMySQL is missing. Every method raises it if a database fails.
    """

    def __init__(self, conf: cfg.ConfigOpts, seconds: int = SECONDS) -> None:
        self._conf = conf
        self._seconds = seconds
        self._opened: dict[str, Cell] = {}
        self._api: Line | None = None
        self._kept = False
        if conf.api_database.connection:
            url = parse_url(conf.api_database.connection, "[api_database] connection")
            self._api = Line(engine(url, _API, seconds))

    def close(self) -> None:
        """Close all connections."""
        for cell in self._opened.values():
            cell.close()
        if self._api is not None:
            self._api.close()

    def keep(self) -> None:
        """Keep connections open between questions, when there are many in a row."""
        self._kept = True
        for cell in self._opened.values():
            cell.keep()
        if self._api is not None:
            self._api.kept = True

    def all(self) -> list[Cell]:
        """Return all cells but cell0, whose instances never ran."""
        if self._api is None:
            return [self._only()]
        rows = self._ask(sa.select(CELL_MAPPINGS).order_by(CELL_MAPPINGS.c.id))
        return [self._mapped(row) for row in rows if row.uuid != CELL0]

    def lacking_rights(self, *, writes: bool) -> list[rights.Lacking]:
        """Return the rights that mthook's user lacks in the API database, if that is configured."""
        if self._api is None:
            return []
        with asked(_API, self._seconds), self._api.connected() as connection:
            return list(rights.lacking(connection, tables.API, writes=writes))

    def cell(self, uuid: str) -> Cell:
        """Return the cell of a UUID.

        :raises NotFound: there is none.
        :raises NovaError: only [database] connection is configured, which gives no UUID.
        """
        if self._api is None:
            raise NovaError("cells have UUIDs only with [api_database] connection")
        rows = self._ask(sa.select(CELL_MAPPINGS).where(CELL_MAPPINGS.c.uuid == uuid))
        if not rows:
            raise NotFound(f"no cell has the UUID {printable(uuid)}")
        return self._mapped(rows[0])

    def of_host(self, host: str) -> Cell:
        """Return the cell of a compute host.

        :raises NovaError: Nova knows no such host.
        """
        if self._api is None:
            return self._only()
        rows = self._ask(_joined(HOST_MAPPINGS, HOST_MAPPINGS.c.host == host))
        if not rows:
            raise NovaError(f"{_API}: no cell has the host {printable(host)} ([DEFAULT] host)")
        return self._mapped(rows[0])

    def find(self, uuid: str) -> tuple[Cell, NovaInstance]:
        """Return an instance and the cell that has it, cell0 included.

        :raises NotFound: there is none, or it is deleted.
        """
        if self._api is None:
            return self._only(), self._only().get(uuid)
        rows = self._ask(_joined(INSTANCE_MAPPINGS, INSTANCE_MAPPINGS.c.instance_uuid == uuid))
        if not rows:
            raise NotFound(f"no instance has the UUID {printable(uuid)}")
        cell = self._mapped(rows[0])
        return cell, cell.get(uuid)

    def named(self, text: str) -> list[str]:
        """Return the UUIDs of a few instances, in any cell, with this name or start of UUID."""
        return [uuid for cell in self.all() for uuid in cell.named(text)]

    def found(self, uuids: Sequence[str]) -> dict[str, tuple[Cell, NovaInstance]]:
        """Return those of the given instances that exist, each with its cell; see :meth:`find`."""
        places: dict[Cell, list[str]] = {}
        if self._api is None:
            places[self._only()] = list(uuids)
        else:
            one = INSTANCE_MAPPINGS.c.instance_uuid
            query = _joined(INSTANCE_MAPPINGS, one.in_(uuids)).add_columns(one)
            for row in self._ask(query):
                places.setdefault(self._mapped(row), []).append(row.instance_uuid)
        return {
            found.uuid: (cell, found) for cell, own in places.items() for found in cell.some(own)
        }

    def identity(self) -> list[str]:
        """Return what identifies this cloud: its cells' UUIDs, else where its one database is."""
        if self._api is None:
            return [self._only().place]
        rows = self._ask(sa.select(CELL_MAPPINGS).order_by(CELL_MAPPINGS.c.id))
        return [row.uuid for row in rows]

    def dated_specs(self, uuids: Sequence[str]) -> dict[str, tuple[str, datetime | None]]:
        """Return the request specs of the instances that have one, and when each was changed.

        Without the API database there are none.
        """
        if self._api is None:
            return {}
        with self._connected() as connection:
            return requestspecs.dated(connection, uuids)

    def image_property(self, uuid: str) -> str | None:
        """Return the machine type, if any, of the image that an instance was made from.

        Nova's scheduler keeps the image's properties in the API database.
        """
        return self.image_properties([uuid]).get(uuid)

    def request_specs(self, cell: Cell, uuids: Sequence[str]) -> dict[str, str | None]:
        """Return the request specs of instances, without those that aren't mapped to a cell.

        :param cell: one of :meth:`all`.
        :return: None for an instance without one; nothing at all without the API database.
        """
        if self._api is None:
            return {}
        key = next(uuid for uuid, one in self._opened.items() if one is cell)
        with self._connected() as connection:
            return requestspecs.of_cell(connection, key, uuids)

    def replace_spec(
        self, uuid: str, old: str, new: str, at: object = requestspecs.PRESENT
    ) -> None:
        """Replace the request spec that was read.

        :param at: the time of change to record, as Nova stores it.
        :raises NovaConflict: somebody else has changed it.
        :raises RequestSpecError: it is longer than the column.
        """
        with self._changing() as connection:
            requestspecs.replace(connection, uuid, old, new, at)

    def specify(self, uuid: str, machine: str | None, spec: str | None = None) -> str | None:
        """Write a machine type to an instance's request spec, and return what it had.

        :param machine: None: remove it. Without the API database nothing happens.
        :param spec: the spec as it was read a moment ago, if it was.
        :raises RequestSpecError: the spec is left alone.
        :raises NovaConflict: others keep changing it.
        """
        if self._api is None:
            return machine
        for left in reversed(range(_TRIES)):
            try:
                with self._changing() as connection:
                    # Locked, unlike one that was read before: nobody writes in between.
                    spec = requestspecs.read(connection, uuid) if spec is None else spec
                    before = requestspecs.machine_of(spec)
                    if before != machine:
                        new = requestspecs.with_machine(spec, machine)
                        requestspecs.replace(connection, uuid, spec, new)
                    break
            except NovaConflict:
                if not left:
                    raise
                give_way()
                spec = None
        return before

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sa.engine.Connection]:
        """Yield a connection in a transaction that changes a request spec."""
        try:
            with self._connected() as connection, connection.begin():
                yield connection
        except Deadlock as error:
            raise NovaConflict(str(error)) from None
        except TooLong:
            raise RequestSpecError("it is too large for its column", "spec_too_large") from None

    def image_properties(self, uuids: Collection[str]) -> dict[str, str | None]:
        """Return the same for several instances; those without a request spec are left out."""
        if self._api is None:
            return {}
        query = sa.select(REQUEST_SPECS).where(REQUEST_SPECS.c.instance_uuid.in_(uuids))
        return {row.instance_uuid: _machine_of(row.spec) for row in self._ask(query)}

    def deleted(self, cell: Cell, uuids: Collection[str], seen: Collection[str]) -> set[str]:
        """Return those of a cell's instances that Nova has deleted, even if archived since.

        :param seen: Nova guests that libvirt has or had. A cell that knows none of them may belong to another cloud:
            then an instance that isn't in it isn't taken for deleted.
        """
        places = cell.whereabouts({*uuids, *seen})
        gone = {uuid for uuid in uuids if uuid in places and places[uuid].deleted}
        if places.keys().isdisjoint(seen):
            return gone
        return gone | (set(uuids) - places.keys() - self._in_a_cell(uuids))

    def _in_a_cell(self, uuids: Collection[str]) -> set[str]:
        """Return the instances that any cell has."""
        if self._api is None:
            return set()
        of = INSTANCE_MAPPINGS.c.instance_uuid
        return {row.instance_uuid for row in self._ask(sa.select(of).where(of.in_(uuids)))}

    def _ask(self, query: sa.sql.Select[Any]) -> list[sa.engine.Row[Any]]:
        with self._connected() as connection:
            return list(connection.execute(query))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sa.engine.Connection]:
        assert self._api is not None
        with asked(_API, self._seconds), self._api.connected() as connection:
            yield connection

    def _only(self) -> Cell:
        connection = self._conf.database.connection
        return self._open("", "Nova's database", connection, "[database] connection")

    def _mapped(self, row: sa.engine.Row[Any]) -> Cell:
        name = printable(row.name or row.uuid)
        what = f"the database_connection of cell {name}"
        return self._open(row.uuid, f"Nova's cell {name}", row.database_connection or "", what)

    def _open(self, key: str, name: str, connection: str, what: str) -> Cell:
        if key not in self._opened:
            url: sa.engine.URL | NovaError
            try:
                if key:
                    connection = fill_in(connection, self._conf.database.connection, what)
                url = parse_url(connection, what)
            except NovaError as error:
                url = error  # the other cells have nothing to do with that
            self._opened[key] = Cell(url, name, self._seconds)
            if self._kept:
                self._opened[key].keep()
        return self._opened[key]


@contextlib.contextmanager
def opened(conf: cfg.ConfigOpts, seconds: int = SECONDS) -> Iterator[Cells]:
    """Open Nova's databases for a ``with`` block; see :class:`Cells`."""
    with contextlib.closing(Cells(conf, seconds)) as cells:
        yield cells


def _joined(mapping: sa.Table, condition: sa.sql.ColumnElement[bool]) -> sa.sql.Select[Any]:
    """Return the query for the cell that something is mapped to."""
    both = CELL_MAPPINGS.join(mapping, mapping.c.cell_id == CELL_MAPPINGS.c.id)
    return sa.select(CELL_MAPPINGS).select_from(both).where(condition)


def _machine_of(spec: str | None) -> str | None:
    """Return the machine type in a request spec; None: there is none, or it isn't understood."""
    with contextlib.suppress(RequestSpecError):
        return requestspecs.machine_of(spec or "")
    return None
