# SPDX-License-Identifier: Apache-2.0
"""Transactions on the catalog through SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from mthook.catalog.opening import Connection, Guard, explain

_READ = "BEGIN"
#: A transaction that first reads and then writes could otherwise fail for want of the lock.
_WRITE = "BEGIN IMMEDIATE"


class Session:
    """One open catalog, for one thread.

    The database driver's own way of beginning transactions is off (the connection has
    ``isolation_level=None``): it would begin them late and not IMMEDIATE. SQLAlchemy's "begin"
    event begins them instead.

    :raises CatalogError: SQLite fails.
    """

    def __init__(self, raw: Connection) -> None:
        self.path = raw.path
        self._raw = raw
        self._current: sa.engine.Connection | None = None
        # future: the one style that SQLAlchemy 1.4 and 2 share.
        self._engine = sa.create_engine(
            "sqlite://", creator=lambda: raw, poolclass=StaticPool, future=True
        )
        sa.event.listen(self._engine, "begin", _begin)
        with Guard(raw):
            # An upgraded or restored copy may be in another mode, in which a writer would keep the
            # hooks out.
            raw.execute("PRAGMA journal_mode = WAL")
            raw.execute("PRAGMA synchronous = FULL")

    def close(self) -> None:
        """Close the catalog."""
        self._engine.dispose()
        self._raw.close()

    @contextmanager
    def transaction(self) -> Iterator[sa.engine.Connection]:
        """A ``with`` block that writes all or nothing, and on the disk when it ends well.

        Inside another one it is part of that.

        :raises CatalogError: others kept the catalog locked for too long, or it can't be written.
        """
        with self._begun(_WRITE) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.engine.Connection]:
        """A ``with`` block that sees one state of the catalog throughout."""
        with self._begun(_READ) as connection:
            yield connection

    @contextmanager
    def _begun(self, statement: str) -> Iterator[sa.engine.Connection]:
        if self._current is not None:
            yield self._current
            return
        try:
            with self._engine.connect() as connection:
                connection = connection.execution_options(mthook_begin=statement)
                with connection.begin():
                    self._current = connection
                    yield connection
        except DBAPIError as error:
            raise explain(self.path, error.orig or error) from error
        finally:
            self._current = None


def _begin(connection: sa.engine.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options()["mthook_begin"])
