# SPDX-License-Identifier: Apache-2.0
"""The rights that mthook needs in Nova's databases, column by column, and which its user lacks.

They match the GRANT statements in the operator guide: a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from mthook.nova import tables
from mthook.nova.connection import reason_of

#: The columns that are written, by right and table; DELETE is a right to whole rows.
WRITTEN: tuple[tuple[str, sa.Table, tuple[str, ...]], ...] = (
    (
        "INSERT",
        tables.PROPERTIES,
        ("instance_uuid", "key", "value", "created_at", "updated_at", "deleted"),
    ),
    ("UPDATE", tables.PROPERTIES, ("value", "updated_at")),
    ("DELETE", tables.PROPERTIES, ()),
    ("UPDATE", tables.DISKS, ("device_name", "disk_bus", "updated_at")),
    ("UPDATE", tables.REQUEST_SPECS, ("spec", "updated_at")),
)
#: MySQL's codes for a command that a user may not run on a table or a column.
_DENIED = (1142, 1143)


@dataclass(frozen=True)
class Lacking:
    """The rights to one table that a user lacks.

    :ivar user: as the server knows it, such as ``mthook@10.0.0.%``.
    :ivar rights: as GRANT spells them, such as ``SELECT (uuid, host)``.
    """

    database: str
    table: str
    user: str
    rights: tuple[str, ...]

    @property
    def grant(self) -> str:
        """The statement that grants them."""
        user = "@".join(f"'{part}'" for part in self.user.rsplit("@", 1))
        return f"GRANT {', '.join(self.rights)} ON {self.database}.{self.table} TO {user}"


def lacking(
    connection: sa.engine.Connection, schema: sa.MetaData, *, writes: bool
) -> Iterator[Lacking]:
    """Yield what the connection's user lacks, by table. Statements are only explained, not run.

    :param schema: :data:`.tables.CELL` or :data:`.tables.API`.
    :param writes: whether the rights to write count.
    """
    user, database = connection.execute(sa.select(sa.func.current_user(), sa.func.database())).one()
    for table in schema.sorted_tables:
        needed = [("SELECT", tuple(column.name for column in table.columns))]
        needed += [(verb, names) for verb, one, names in WRITTEN if one is table and writes]
        rights = tuple(
            right
            for verb, columns in needed
            if (right := _lacking(connection, verb, table.name, columns))
        )
        if rights:
            yield Lacking(database, table.name, user, rights)


def _lacking(
    connection: sa.engine.Connection, verb: str, table: str, columns: tuple[str, ...]
) -> str | None:
    """Return the part of one right to a table that a user lacks, as GRANT spells it."""
    if _may(connection, verb, table, columns):
        return None
    denied = [name for name in columns if not _may(connection, verb, table, (name,))]
    return f"{verb} ({', '.join(_quoted(name) for name in denied)})" if denied else verb


def _may(connection: sa.engine.Connection, verb: str, table: str, columns: tuple[str, ...]) -> bool:
    """Tell whether the server would let a statement of that kind pass."""
    names = [_quoted(name) for name in columns]
    nulls = ", ".join("NULL" for _ in names)
    statement = {
        "SELECT": f"SELECT {', '.join(names)} FROM {table}",
        # IGNORE: columns that are left out may have no default.
        "INSERT": f"INSERT IGNORE INTO {table} ({', '.join(names)}) SELECT {nulls} FROM DUAL",
        "UPDATE": f"UPDATE {table} SET {', '.join(f'{name} = NULL' for name in names)}",
        "DELETE": f"DELETE FROM {table}",
    }[verb]
    try:
        connection.exec_driver_sql(f"EXPLAIN {statement} WHERE 1 = 0").close()
    except sa.exc.DBAPIError as error:
        if reason_of(error.orig)[0] not in _DENIED:
            raise
        return False
    return True


def _quoted(name: str) -> str:
    return f"`{name}`" if name == "key" else name
