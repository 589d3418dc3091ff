# SPDX-License-Identifier: Apache-2.0
"""Catalogs that can't be used: one line that names the path, and nothing half-written."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Callable

import pytest

from mthook.catalog import files, lookup
from mthook.catalog.connection import explain
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError

from .samples import AT, UUID, pin, summary


def _record(path: str) -> None:
    """Do what a hook does for a new guest."""
    connection = lookup.connect(path, timeout=0.1)
    try:
        lookup.lookup(connection, UUID, AT)
        Catalog(connection).record_pin(summary(), "pc", source="first boot", at=AT)
    finally:
        connection.close()


def _set(path: str) -> None:
    """Do what a command does."""
    with Catalog.open(path, timeout=0.1) as catalog:
        catalog.set_pin(UUID, "pc", source="operator", actor="root")


both = pytest.mark.parametrize("use", [_record, _set])
Use = Callable[[str], None]


def _refusal(use: Use, path: str) -> str:
    with pytest.raises(CatalogError) as caught:
        use(path)
    assert caught.value.path == path
    return str(caught.value)


@both
def test_a_text_file_is_no_database(path: str, use: Use) -> None:
    """What is there is left alone."""
    files.create_directory(os.path.dirname(path))
    files.create_file(path)
    content = b"pins = none\n" * 1000
    Path(path).write_bytes(content)

    assert _refusal(use, path) == (
        f"the catalog {path} is not an SQLite database: restore a copy, or move it away and run "
        "mthook-sync (file is not a database)"
    )
    assert Path(path).read_bytes() == content


@both
def test_another_programs_database_is_no_catalog(path: str, use: Use) -> None:
    """It gets no tables of ours."""
    files.create_directory(os.path.dirname(path))
    files.create_file(path)
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = Path(path).read_bytes()

    assert _refusal(use, path) == (
        f"the catalog {path} is not a whole catalog: restore a copy, or move it away and run "
        "mthook-sync (no such table: alembic_version)"
    )
    assert Path(path).read_bytes() == before


@both
def test_a_damaged_catalog_is_named_so(path: str, catalog: Catalog, use: Use) -> None:
    """Every page but the first overwritten, as a broken disk would."""
    catalog.add_pin(pin())
    catalog.close()
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))

    assert _refusal(use, path) == (
        f"the catalog {path} is damaged: restore a copy, or move it away and run mthook-sync "
        "(database disk image is malformed)"
    )


@both
def test_a_truncated_catalog_is_named_so(path: str, catalog: Catalog, use: Use) -> None:
    """Cut off in the middle of a page."""
    catalog.close()
    os.truncate(path, 6000)

    assert _refusal(use, path) == (
        f"the catalog {path} is damaged: restore a copy, or move it away and run mthook-sync "
        "(database disk image is malformed)"
    )


@both
def test_a_locked_catalog_is_waited_for_and_named(path: str, catalog: Catalog, use: Use) -> None:
    """Another process that writes for too long is no reason to hang."""
    with catalog.transaction():
        refusal = _refusal(use, path)

    assert refusal == (
        f"the catalog {path} has been in use by another process for too long: find that with fuser, "
        "then try again (database is locked)"
    )
    assert list(catalog.pins()) == []


def test_an_exclusively_locked_catalog_is_waited_for_once(path: str, catalog: Catalog) -> None:
    """Where even reading is kept out."""
    catalog.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    refusal = _refusal(_record, path)
    other.close()

    assert refusal == (
        f"the catalog {path} has been in use by another process for too long: find that with fuser, "
        "then try again (database is locked)"
    )


def test_the_store_can_go_on_after_it_was_locked_out(path: str, catalog: Catalog) -> None:
    """A transaction that could not begin leaves nothing behind."""
    catalog.close()
    with Catalog.open(path, timeout=0.05) as waiting:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CatalogError):
            waiting.add_pin(pin())
        other.execute("COMMIT")
        other.close()

        assert waiting.add_pin(pin())
        assert waiting.get_pin(UUID) == pin()


def test_a_full_catalog_keeps_what_it_has(path: str, catalog: Catalog) -> None:
    """What no longer fits is not written, and the rest stays whole."""
    hook = lookup.connect(path, timeout=5)
    pages = hook.execute("PRAGMA page_count").fetchone()[0]
    hook.execute(f"PRAGMA max_page_count = {pages}")
    recorded: list[str] = []
    with pytest.raises(CatalogError) as caught:
        for number in range(10000):
            guest = summary(f"{UUID[:-5]}{number:05}")
            Catalog(hook).record_pin(guest, "pc" * 50, source="first boot", at=AT, running="pc")
            recorded.append(f"{UUID[:-5]}{number:05}")
    hook.close()

    assert str(caught.value) == (
        f"the catalog {path} is on a full disk: make room there (database or disk is full)"
    )
    assert recorded
    assert [one.uuid for one in catalog.pins()] == recorded
    assert [len(catalog.history(uuid)) for uuid in recorded] == [1] * len(recorded)


def test_a_column_that_is_missing_is_named(path: str, catalog: Catalog) -> None:
    """A catalog that somebody has changed by hand."""
    with catalog.transaction() as direct:
        direct.execute("ALTER TABLE pins RENAME COLUMN seen TO gone")

    assert _refusal(_record, path) == (
        f"the catalog {path} is not a whole catalog: restore a copy, or move it away and run "
        "mthook-sync (no such column: pins.seen)"
    )


def test_a_file_that_sqlite_cannot_open_is_named(
    path: str, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It vanished between the check and the opening; none is created."""
    catalog.close()
    os.unlink(path)
    monkeypatch.setattr(files, "check", lambda _: None)

    assert _refusal(_record, path) == (
        f"the catalog {path} can't be opened: its directory must be writable and its disk not "
        "full (unable to open database file)"
    )
    assert not os.path.exists(path)


def test_every_message_is_one_line() -> None:
    """Whatever SQLite says and wherever the catalog is."""
    error = explain("/a\nb", sqlite3.OperationalError('near "x\ny": syntax error'))

    assert str(error) == 'the catalog /a\\nb can\'t be used: near "x\\ny": syntax error'
    assert error.path == "/a\nb"
