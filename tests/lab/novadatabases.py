# SPDX-License-Identifier: Apache-2.0
"""Real Nova's databases in a real MariaDB."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from pymysql.cursors import Cursor

from tests.lab.mariadb import MariaDB
from tests.lab.novaschema import Schema, write_conf

if TYPE_CHECKING:
    from typing_extensions import Self

_KEPT = {"alembic_version", "cell_mappings"}


class Databases:
    """A context manager: the databases are there inside the block.

    There are cell0, which has the instances that found no host, and cell1.

    :param prefix: of the databases' names, where a server has several clouds.
    """

    def __init__(self, mariadb: MariaDB, schema: Schema, prefix: str = "") -> None:
        self.mariadb = mariadb
        self._schema = schema
        self._prefix = prefix
        #: The databases' names in the server, by ``api`` and the names of the cells.
        self.databases: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._create("api", self._schema.api)
        for cell in ("cell0", "cell1"):
            self._create(cell, self._schema.cell)
        self._map_cells()
        return self

    def __exit__(self, *_: object) -> None:
        for database in self.databases.values():
            self.mariadb.drop(database)
        self.databases.clear()

    def reset(self) -> None:
        """Make it as it was at first: no instances, no further cells."""
        for name in self.databases:
            with self.connect(name) as cursor:
                _empty(cursor)
        for cell in [*self.databases][3:]:
            self.execute("DELETE FROM cell_mappings WHERE name = %s", (cell,), "api")
            self.mariadb.drop(self.databases.pop(cell))
        self._map_cells()

    @property
    def api_url(self) -> str:
        """The URL of the API database."""
        return self.mariadb.url(self.databases["api"])

    @property
    def cell0_url(self) -> str:
        """The URL of cell0's database."""
        return self.cell_url("cell0")

    def cell_url(self, name: str = "cell1") -> str:
        """Return the URL of a cell's database."""
        return self.mariadb.url(self.databases[name])

    def cell_uuid(self, name: str = "cell1") -> str:
        """Return the UUID of a cell."""
        ((uuid,),) = self.execute("SELECT uuid FROM cell_mappings WHERE name = %s", (name,), "api")
        return str(uuid)

    def add_cell(self, name: str) -> str:
        """Add a cell and return its UUID."""
        uuid = str(uuids.uuid4())
        self._create(name, self._schema.cell)
        self.execute(
            "INSERT INTO cell_mappings (created_at, uuid, name, transport_url, database_connection)"
            " VALUES (UTC_TIMESTAMP(), %s, %s, 'fake:///', %s)",
            (uuid, name, self.cell_url(name)),
            "api",
        )
        return uuid

    def conf(
        self, path: Path, *, host: str = "alpha", cell: str = "cell1", **groups: Mapping[str, Any]
    ) -> Path:
        """Write a nova.conf.

        :param cell: whose database it names.
        :param groups: further options by group.
        """
        own = {
            "DEFAULT": {"host": host, "transport_url": "fake:///", "state_path": path.parent},
            **self._connections(cell, True),
            "oslo_concurrency": {"lock_path": path.parent},
        }
        return write_conf(path, _merged(own, groups))

    def mthook_conf(
        self,
        directory: Path,
        *,
        catalog: Optional[Path] = None,
        host: str = "alpha",
        cell: Optional[str] = "cell1",
        api: bool = True,
        **groups: Mapping[str, Any],
    ) -> Path:
        """Write an mthook.conf.

        :param catalog: the local catalog, in the same directory unless given.
        :param cell: whose database it names, if any.
        :param api: whether it names the API database.
        :param groups: further options by group, such as ``sync={"write_back": False}``.
        """
        own = {
            "DEFAULT": {"host": host},
            "catalog": {"path": catalog or directory / "catalog.sqlite"},
            "hook": {"mode": "enforce"},
            **self._connections(cell, api),
        }
        return write_conf(directory / "mthook.conf", _merged(own, groups))

    def connect(self, name: str = "cell1") -> AbstractContextManager[Cursor]:
        """Return a cursor of the administrator's in ``api`` or a cell; committed at the end."""
        return self.mariadb.connect(self.databases[name])

    def execute(
        self, sql: str, parameters: Sequence[Any] = (), name: str = "cell1"
    ) -> list[tuple[Any, ...]]:
        """Execute one statement in ``api`` or a cell and return its rows."""
        return self.mariadb.execute(sql, self.databases[name], parameters)

    def dump_all(self, cell: str = "cell1") -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of all tables of a cell, or of ``api``."""
        with self.connect(cell) as cursor:
            return {table: _all(cursor, table) for table in _tables(cursor)}

    def _create(self, name: str, dump: bytes) -> None:
        database = f"{self._prefix}nova_{name}"
        self.mariadb.create(database)
        self.databases[name] = database
        self.mariadb.load(database, dump)

    def _map_cells(self) -> None:
        for cell in ("cell0", "cell1"):
            self.execute(
                "UPDATE cell_mappings SET database_connection = %s WHERE name = %s",
                (self.cell_url(cell), cell),
                "api",
            )

    def _connections(self, cell: Optional[str], api: bool) -> dict[str, dict[str, Any]]:
        groups = {}
        if cell:
            groups["database"] = {"connection": self.cell_url(cell)}
        if api:
            groups["api_database"] = {"connection": self.api_url}
        return groups


def _merged(
    groups: Mapping[str, Mapping[str, Any]], others: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    names = [*groups, *(name for name in others if name not in groups)]
    return {name: {**groups.get(name, {}), **others.get(name, {})} for name in names}


def _tables(cursor: Cursor) -> list[str]:
    # Newer ones of MariaDB show this connection's temporary tables as well.
    cursor.execute("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
    return [table for table, _ in cursor.fetchall()]


def _all(cursor: Cursor, table: str) -> list[tuple[Any, ...]]:
    cursor.execute(f"SELECT * FROM `{table}`")
    return list(cursor.fetchall())


def _empty(cursor: Cursor) -> None:
    """Empty the tables that have rows; asking them all at once is much quicker than emptying all."""
    tables = [table for table in _tables(cursor) if table not in _KEPT]
    cursor.execute(
        " UNION ALL ".join(
            f"SELECT '{table}' FROM DUAL WHERE EXISTS (SELECT * FROM `{table}`)" for table in tables
        )
    )
    filled = cursor.fetchall()
    cursor.execute("SET foreign_key_checks = 0")
    for (table,) in filled:
        cursor.execute(f"TRUNCATE TABLE `{table}`")
