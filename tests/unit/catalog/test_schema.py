# SPDX-License-Identifier: Apache-2.0
"""Schema, migrations and the hook's hand-written statements say the same."""

from __future__ import annotations

import inspect
import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.schema import CreateTable

from mthook.catalog import fastsql, migrate, opening, recording
from mthook.catalog.opening import Connection
from mthook.catalog.schema import METADATA
from mthook.catalog.store import Catalog
from mthook.settings import Settings

from .samples import AT, KVM, UUID, summary


def _scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", migrate.SCRIPTS)
    return ScriptDirectory.from_config(config)


def _is_ours(name: str | None, kind: str, parents: object) -> bool:
    """Leave out SQLite's own table of AUTOINCREMENT, which old Alembics don't know."""
    return name != "sqlite_sequence"


def test_the_hook_is_written_for_the_newest_schema() -> None:
    """The revisions that the hook knows are Alembic's, the head last."""
    revisions = [step.revision for step in _scripts().walk_revisions()]

    assert revisions == [fastsql.SCHEMA, *reversed(fastsql.OLDER)]
    assert _scripts().get_heads() == [fastsql.SCHEMA]


def test_the_migrations_make_the_schema(catalog: Catalog) -> None:
    """Alembic finds nothing to add, change or remove in a new catalog."""
    with catalog.reading() as connection:
        opts = {"compare_type": True, "include_name": _is_ours}
        context = MigrationContext.configure(connection, opts=opts)
        differences = compare_metadata(context, METADATA)

    assert differences == []


def test_the_migrations_make_the_very_tables(catalog: Catalog) -> None:
    """Also what Alembic does not compare: WITHOUT ROWID, AUTOINCREMENT, CHECK."""
    with catalog.reading() as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
        made = dict(tuple(row) for row in connection.exec_driver_sql(query))
        wanted = {
            table.name: str(CreateTable(table).compile(connection)).strip()
            for table in METADATA.sorted_tables
        }

    assert {name: made[name].strip() for name in wanted} == wanted
    assert made.keys() - wanted.keys() == {"alembic_version", "sqlite_sequence"}


@pytest.fixture
def used(connection: Connection) -> set[tuple[str, str]]:
    """Filled with (table, column) of everything that is read or written through the connection."""
    seen: set[tuple[str, str]] = set()

    def note(action: int, first: str | None, second: str | None, *_: object) -> int:
        if action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_UPDATE) and first and second:
            seen.add((first, second))
        elif action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_DELETE) and first:
            seen.add((first, ""))
        return sqlite3.SQLITE_OK

    connection.set_authorizer(note)
    return seen


def test_every_column_of_the_hook_exists(
    connection: Connection, used: set[tuple[str, str]]
) -> None:
    """All statements of the hook run on a new catalog and touch only what the schema has."""
    guest = summary()
    fastsql.read_revision(connection)
    for replace in (False, True):
        recording.record_pin(
            connection, guest, "pc", source="first boot", at=AT, running="pc", replace=replace
        )
    recording.record_drift(connection, guest, "pc", "q35", "started", AT)
    recording.record_running(connection, guest, "q35-1", AT)
    recording.record_stop(connection, guest, "pc", "q35", "prepare", AT)
    recording.record_arrival(connection, UUID, "pc", AT)
    recording.record_rewrite(connection, UUID, None, "pc", actor="gate", call="define", at=AT)
    recording.compile_settings(connection, Settings(), AT)
    recording.record_compared(connection, UUID, "pc", 1, None)
    recording.release_pin(connection, UUID, actor="hook", reason="rebuilt", at=AT)
    fastsql.compared(connection, UUID)
    fastsql.lookup(connection, UUID, AT)
    fastsql.aliases(connection, KVM, "x86_64", "kvm")
    recording.take_arrival(connection, UUID)

    there = {(table.name, column.name) for table in METADATA.sorted_tables for column in table.c}
    there |= {(table.name, "") for table in METADATA.sorted_tables}
    assert used - there == {("alembic_version", "version_num")}
    # What guests were before is no business of the hook.
    hooks = {*METADATA.tables, "alembic_version"} - {"originals"}
    assert {table for table, _ in used} == hooks


def test_no_statement_of_the_hook_is_left_out() -> None:
    """The test above calls every function of the hook that has a statement."""
    here = inspect.getsource(test_every_column_of_the_hook_exists)
    functions = [
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in (fastsql, recording)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and "execute(" in inspect.getsource(function)
    ]
    public = [name for name in functions if "._" not in name]

    assert "fastsql.lookup" in public
    assert [name for name in public if f"{name}(" not in here] == []
    assert "SELECT" not in inspect.getsource(opening)
