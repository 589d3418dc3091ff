# SPDX-License-Identifier: Apache-2.0
"""One of Nova's cell databases. Queries are in :mod:`.reading`, changes in :mod:`.writing`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa

from mthook.deadline import give_way
from mthook.errors import NovaError
from mthook.nova import hardware, imprint, reading, rights, tables, writing
from mthook.nova.connection import Deadlock, Line, asked, engine
from mthook.nova.imprint import Imprint
from mthook.nova.instance import (
    MACHINE_KEY,
    Change,
    DiskChange,
    Hardware,
    NovaInstance,
    PropertyChange,
    Whereabouts,
)
from mthook.nova.rights import Lacking

#: How often a write is tried while others write the same rows.
_TRIES = 5
_Result = TypeVar("_Result")


class Cell:
    """One cell database.

    :param url: where it is, with the password; or an error that says why that isn't known: any use then raises it.
    :param name: what messages call it.
    :param seconds: to wait for a connection, for each answer and for rows that others have locked.
    :raises NovaError: from every method, if the database fails; the message never holds the password.
    """

    def __init__(self, url: sa.engine.URL | NovaError, name: str, seconds: int) -> None:
        self.name, self._seconds = name, seconds
        self._line = url if isinstance(url, NovaError) else Line(engine(url, name, seconds))

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> str:
        """Where it is, without user and password."""
        if isinstance(self._line, NovaError):
            raise self._line
        url = self._line.way.url
        return f"{url.host}:{url.port or 3306}/{url.database}"

    def close(self) -> None:
        """Close all connections."""
        if not isinstance(self._line, NovaError):
            self._line.close()

    def keep(self) -> None:
        """Keep the connection between questions; see :class:`.Line`."""
        if not isinstance(self._line, NovaError):
            self._line.kept = True

    def of_host(self, host: str) -> list[NovaInstance]:
        """Return the instances of a host, without those that are deleted or still being built."""
        with self._connected() as connection:
            return reading.of_host(connection, host)

    def get(self, uuid: str) -> NovaInstance:
        """Return an instance.

        :raises NotFound: this cell has no such instance, or it is deleted.
        """
        with self._connected() as connection:
            return reading.get(connection, uuid)

    def named(self, text: str) -> list[str]:
        """Return the UUIDs of a few instances that have this name, or whose UUID begins with it."""
        with self._connected() as connection:
            return reading.named(connection, text)

    def some(self, uuids: Sequence[str]) -> list[NovaInstance]:
        """Return those of the given instances that this cell has and that aren't deleted."""
        with self._connected() as connection:
            return reading.some(connection, uuids)

    def imprints(self, uuids: Sequence[str], *, disks: bool) -> dict[str, Imprint]:
        """Return what a change can alter in instances; see :func:`mthook.nova.imprint.read`."""
        with self._connected() as connection:
            return imprint.read(connection, uuids, disks=disks)

    def put_back(
        self,
        uuid: str,
        before: Imprint,
        after: Mapping[str, str | None],
        disks: Sequence[DiskChange],
        *,
        times: bool,
    ) -> None:
        """Take a change back, all of it or nothing; see :func:`mthook.nova.imprint.put_back`.

        :raises NovaConflict: somebody else has changed something since.
        :raises NotFound: the instance is deleted.
        """

        def work(connection: sa.engine.Connection) -> None:
            imprint.put_back(connection, uuid, before, after, disks, times=times)

        self._write(work)

    def hardware(self, uuid: str) -> Hardware:
        """Return the part of an instance's hardware that depends on its machine type."""
        with self._connected() as connection:
            return hardware.of(connection, uuid)

    def has_host(self, host: str) -> bool:
        """Tell whether this cell has a compute host."""
        with self._connected() as connection:
            return reading.has_host(connection, host)

    def unset(self, host: str | None = None) -> Iterator[NovaInstance]:
        """Yield the instances without a machine type, by UUID; only a few at a time are in memory.

        :param host: only those of this host; None: all.
        """
        for page in self._pages(reading.unset, host):
            yield from page

    def recorded(self, host: str | None = None) -> Iterator[list[NovaInstance]]:
        """Yield lists of the instances with a machine type, by UUID; else like :meth:`unset`."""
        return self._pages(reading.recorded, host)

    def _pages(self, read: reading.Page, host: str | None) -> Iterator[list[NovaInstance]]:
        last: str | None = ""
        while last is not None:
            # No cursor stays open while the caller is at work.
            with self._connected() as connection:
                found, last = read(connection, last, host)
            yield found

    def pages(self) -> Iterator[list[NovaInstance]]:
        """Yield all instances by UUID, some at a time; not Ironic's or those still being built."""
        last: str | None = ""
        while last is not None:
            with self._connected() as connection:
                found, last = reading.page(connection, last)
            yield found

    def newest_change(self) -> datetime | None:
        """Return when Nova last changed an instance; None: there is none."""
        with self._connected() as connection:
            return reading.newest_change(connection)

    def changed(self, since: datetime) -> Iterator[list[NovaInstance]]:
        """Yield the instances that Nova has changed since, some at a time; else like :meth:`pages`.

        :param since: a moment as Nova stores it: UTC, without a zone.
        """
        last: tuple[datetime, str] | None = (since, "")
        while last is not None:
            with self._connected() as connection:
                found, last = reading.changed(connection, *last)
            yield found

    def whereabouts(self, uuids: Iterable[str]) -> dict[str, Whereabouts]:
        """Return where instances are; those that this cell doesn't know are left out."""
        with self._connected() as connection:
            return reading.whereabouts(connection, list(uuids))

    def moved_from(self, host: str, uuids: Iterable[str]) -> set[str]:
        """Return those of the given instances that anyone ever tried to move from a host."""
        with self._connected() as connection:
            return reading.moved_from(connection, host, list(uuids))

    def lacking_rights(self, *, writes: bool) -> list[Lacking]:
        """Return the rights that mthook needs here and its user lacks; rights to write if asked."""
        with self._connected() as connection:
            return list(rights.lacking(connection, tables.CELL, writes=writes))

    def record(
        self,
        uuid: str,
        machine: str,
        *,
        expect: str | None,
        host: str | None = None,
        changes: Sequence[Change] = (),
        pinned: bool = True,
    ) -> int:
        """Record an instance's machine type, all of it or nothing; afterwards only one row counts.

        :param expect: what is recorded now; None: nothing.
        :param host: the pin is this host's, and counts only while the instance is there and not being rebuilt; None:
            wherever it is.
        :param changes: to other rows, in the same transaction.
        :param pinned: somebody asked for it, or it is a pin; False: it is what Nova would give the instance by itself.
        :return: the id of the row.
        :raises NovaConflict: something else is recorded, or Nova is rebuilding the instance.
        :raises NotFound: the instance is deleted, or no longer on that host.
        """

        def work(connection: sa.engine.Connection) -> int:
            writing.lock_instance(connection, uuid, host)
            for change in changes:
                writing.change(connection, uuid, change)
            new = PropertyChange(MACHINE_KEY, expect, machine)
            return writing.put(connection, uuid, new, pinned=pinned)

        return self._write(work)

    def erase(self, uuid: str, *, expect: str) -> None:
        """Remove an instance's machine type.

        :param expect: what is recorded now.
        :raises NovaConflict: something else is recorded.
        :raises NotFound: the instance is deleted.
        """

        def work(connection: sa.engine.Connection) -> None:
            writing.lock_instance(connection, uuid, None)
            writing.erase(connection, uuid, MACHINE_KEY, expect)

        self._write(work)

    def _write(self, work: Callable[[sa.engine.Connection], _Result]) -> _Result:
        """Do some work in a transaction; retry if others who write the same rows get in the way."""
        for _ in range(_TRIES - 1):
            try:
                with self._connected() as connection, connection.begin():
                    return work(connection)
            except Deadlock:
                give_way()
        with self._connected() as connection, connection.begin():
            return work(connection)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sa.engine.Connection]:
        if isinstance(self._line, NovaError):
            raise self._line
        with asked(self.name, self._seconds), self._line.connected() as connection:
            yield connection
