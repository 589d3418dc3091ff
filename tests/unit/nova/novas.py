# SPDX-License-Identifier: Apache-2.0
"""Nova's tables in SQLite: what is asked of them is the same SQL. What only MariaDB does is in tests/nova."""

from __future__ import annotations

import uuid as uuids
from datetime import datetime, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from mthook.nova import cell, cells, connection, tables
from mthook.nova.instance import MACHINE_KEY

HOST = "alpha"


def database(*schemas: sa.MetaData) -> sa.engine.Engine:
    """Return an empty database in memory."""
    engine = sa.create_engine(
        "sqlite://", future=True, poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    sa.event.listen(engine, "connect", _teach)
    for metadata in schemas:
        metadata.create_all(engine)
    return engine


def _teach(connection: Any, _record: object) -> None:
    """Give SQLite a function of MySQL's."""
    now = "%Y-%m-%d %H:%M:%S.000000"
    connection.create_function("utc_timestamp", 0, lambda: datetime.now(timezone.utc).strftime(now))


class Databases:
    """Stand-ins for all databases, by the name in their URLs; ``api`` is the API's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._engines: dict[str, sa.engine.Engine] = {}
        for module in (cells, cell):
            monkeypatch.setattr(module, "engine", self._engine)

    def __getitem__(self, name: str) -> sa.engine.Engine:
        """Return a database, a new one unless it was asked for before."""
        if name not in self._engines:
            schemas = (tables.API,) if name == "api" else (tables.CELL,)
            self._engines[name] = database(*schemas)
        return self._engines[name]

    def _engine(self, url: sa.engine.URL, name: str, seconds: int) -> sa.engine.Engine:
        connection.engine(url, name, seconds).dispose()  # the URL must do for the real thing
        return self[url.database or ""]


def insert(engine: sa.engine.Engine, table: sa.Table, **values: Any) -> int:
    """Insert a row and return its number."""
    with engine.begin() as connection:
        connection.execute(sa.insert(table).values(**values))
        return int(connection.execute(sa.text("SELECT last_insert_rowid()")).scalar() or 0)


def add(engine: sa.engine.Engine, uuid: str | None = None, **columns: Any) -> str:
    """Add an instance, active and of this host unless told otherwise, and return its UUID."""
    uuid = uuid or str(uuids.uuid4())
    about = {"host": HOST, "vm_state": "active", "deleted": 0, "display_name": "web", **columns}
    insert(engine, tables.INSTANCES, uuid=uuid, **about)
    return uuid


def put(
    engine: sa.engine.Engine, uuid: str, value: str | None, key: str = MACHINE_KEY, deleted: int = 0
) -> int:
    """Add a row of an instance's system metadata and return its number."""
    return insert(
        engine, tables.PROPERTIES, instance_uuid=uuid, key=key, value=value, deleted=deleted
    )


def rows(engine: sa.engine.Engine, uuid: str, key: str = MACHINE_KEY) -> list[tuple[int, str]]:
    """Return number and value of the rows that count."""
    table = tables.PROPERTIES
    query = sa.select(table.c.id, table.c.value).where(
        table.c.instance_uuid == uuid, table.c.key == key, table.c.deleted == 0
    )
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(table.c.id))]
