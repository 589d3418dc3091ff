# SPDX-License-Identifier: Apache-2.0
"""What all parts of the catalog do with their tables. A row is a dictionary by column name."""

from __future__ import annotations

from mthook.catalog.connection import Connection, Guard, Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


class Rows:
    """An open catalog, for one thread."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @property
    def path(self) -> str:
        """The catalog's file."""
        return self.connection.path

    def close(self) -> None:
        """Close the catalog."""
        self.connection.close()

    def transaction(self) -> Transaction:
        """Return a ``with`` block for changes that belong together; one inside another joins it."""
        return Transaction(self.connection)

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Return what a query finds, without ids, which only order a table internally."""
        with Guard(self.connection):
            cursor = self.connection.execute(query, values)
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row)) for row in cursor]
        for row in rows:
            row.pop("id", None)
        return rows

    def _row(self, query: str, *values: object) -> dict[str, Any] | None:
        """Return the first row that a query finds."""
        rows = self._rows(query, *values)
        return rows[0] if rows else None

    def _value(self, query: str, *values: object) -> Any:
        """Return the single value that a query finds; None: it finds none, or NULL."""
        with Guard(self.connection):
            row = self.connection.execute(query, values).fetchone()
        return row[0] if row else None

    def _change(self, statement: str, *values: object) -> None:
        """Update or delete rows."""
        with self.transaction() as connection:
            connection.execute(statement, values)

    def _add(self, table: str, *rows: Mapping[str, object], instead: str = "") -> None:
        """Add rows, which must all have the same columns.

        :param instead: what to do about a row that exists already.
        """
        if rows:
            columns, marks = ", ".join(rows[0]), ", ".join([f":{name}" for name in rows[0]])
            statement = f"INSERT INTO {table} ({columns}) VALUES ({marks}) {instead}"
            with self.transaction() as connection:
                connection.executemany(statement, rows)

    def _put(
        self,
        table: str,
        *rows: Mapping[str, object],
        key: str = "uuid",
        keep: Sequence[str] = (),
        where: str = "true",
    ) -> None:
        """Add rows, or change those that exist; columns that aren't named stay.

        :param keep: columns that stay as well.
        :param where: which of the existing rows are changed; the new row is called ``excluded``.
        """
        if rows:
            changes = [f"{name} = excluded.{name}" for name in rows[0] if name not in (key, *keep)]
            instead = f"ON CONFLICT ({key}) DO UPDATE SET {', '.join(changes)} WHERE {where}"
            self._add(table, *rows, instead=instead)
