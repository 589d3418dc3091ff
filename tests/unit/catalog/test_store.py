# SPDX-License-Identifier: Apache-2.0
"""How a catalog is opened."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from mthook.catalog import lookup
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError, CatalogMissing, CatalogNewer, CatalogOlder, CatalogUnsafe
from tests.programs import WAY_OUT

from .samples import AT, UUID, make_empty, names, pin


def _set_revision(path: str, revision: str) -> None:
    direct = sqlite3.connect(path)
    with direct:
        direct.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    direct.close()


def test_a_new_catalog_is_whole(path: str) -> None:
    """It has the newest schema, is in WAL mode and writes through to the disk."""
    with Catalog.open(path) as catalog:
        pragmas = [
            catalog.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "integrity_check")
        ]
    hook = lookup.connect(path, timeout=5)
    revision = lookup.read_revision(hook)
    hook.close()

    assert pragmas == ["wal", 2, "ok"]
    assert revision == lookup.SCHEMA
    assert names(path) == ["catalog.sqlite"]


def test_the_hook_writes_through_to_the_disk(path: str, catalog: Catalog) -> None:
    """What is acknowledged survives a power cut, whatever SQLite was built with."""
    hook = lookup.connect(path, timeout=5)
    hook.execute("PRAGMA synchronous = OFF")
    Catalog(hook).record_arrival(UUID, "pc", AT)

    assert hook.execute("PRAGMA synchronous").fetchone() == (2,)
    hook.close()


def test_what_is_written_is_there_when_opened_again(path: str) -> None:
    """A catalog that exists is opened, not made anew."""
    with Catalog.open(path) as catalog:
        catalog.add_pin(pin())
    with Catalog.open(path, create=False) as catalog:
        found = catalog.get_pin(UUID)

    assert found == pin()


def test_without_create_there_must_be_one(path: str) -> None:
    """A reader makes neither directory nor file."""
    with pytest.raises(CatalogMissing) as caught:
        Catalog.open(path, create=False)

    directory = os.path.dirname(path)
    assert str(caught.value) == f"no catalog: {directory} does not exist: {WAY_OUT}"
    assert not os.path.exists(directory)


def test_an_empty_file_is_no_catalog_without_create(path: str) -> None:
    """A reader leaves it empty."""
    make_empty(path)
    with pytest.raises(CatalogMissing) as caught:
        Catalog.open(path, create=False)

    assert str(caught.value) == f"the catalog {path} is empty: run mthook-sync"
    assert os.path.getsize(path) == 0


def test_a_hook_wants_a_catalog_that_is_up_to_date(path: str) -> None:
    """It has no time to migrate: sync does that."""
    make_empty(path)
    with pytest.raises(CatalogError) as caught:
        lookup.connect(path, timeout=5)

    assert str(caught.value) == f"the catalog {path} is not up to date: run mthook-sync"


def test_an_older_catalog_is_for_sync_to_upgrade(
    path: str, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook names what to run; a revision it knows to be older is no newer mthook's."""
    monkeypatch.setattr(lookup, "OLDER", (*lookup.OLDER, lookup.SCHEMA))
    monkeypatch.setattr(lookup, "SCHEMA", "9999")
    with pytest.raises(CatalogError) as caught:
        lookup.connect(path, timeout=5)

    assert str(caught.value) == f"the catalog {path} is not up to date: run mthook-sync"
    assert isinstance(caught.value, CatalogOlder)


@pytest.mark.parametrize("revision", ["9999", "abc\ndef"])
@pytest.mark.parametrize("opener", [Catalog.open, lambda path: lookup.connect(path, 5)])
def test_a_newer_catalog_is_refused(
    path: str, catalog: Catalog, revision: str, opener: type
) -> None:
    """Neither hook nor tools touch what they don't understand."""
    catalog.close()
    _set_revision(path, revision)
    before = Path(path).read_bytes()
    with pytest.raises(CatalogNewer) as caught:
        opener(path)

    shown = revision.replace("\n", "\\n")
    assert str(caught.value) == (
        f"the catalog {path} has schema {shown}, this mthook knows {lookup.SCHEMA}: "
        "install the newer mthook that wrote it"
    )
    assert caught.value.path == path
    assert Path(path).read_bytes() == before


def test_a_catalog_in_another_mode_is_put_right(path: str, catalog: Catalog) -> None:
    """A copy restored by other tools may not be in WAL mode."""
    catalog.close()
    direct = sqlite3.connect(path)
    direct.execute("PRAGMA journal_mode = DELETE")
    direct.close()
    with Catalog.open(path) as opened:
        assert opened.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_catalog_that_cannot_be_put_right_is_an_error(path: str, catalog: Catalog) -> None:
    """Another program that reads it keeps it in the other mode."""
    catalog.close()
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("PRAGMA journal_mode = DELETE")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM pins").fetchall()
    with pytest.raises(CatalogError) as caught:
        Catalog.open(path, timeout=0.05)
    reader.close()

    assert str(caught.value) == (
        f"the catalog {path} has been in use by another process for too long: find that with fuser, "
        "then try again (database is locked)"
    )


def test_an_unsafe_directory_gets_no_catalog(path: str) -> None:
    """Where others could reach it, none is made."""
    os.mkdir(os.path.dirname(path), 0o777)
    os.chmod(os.path.dirname(path), 0o777)
    with pytest.raises(CatalogUnsafe):
        Catalog.open(path)

    assert names(path) == []


def test_a_relative_path_works(path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also a bare file name in the working directory."""
    monkeypatch.chdir(tmp_path)
    os.chmod(tmp_path, 0o700)
    for name in ("mthook/catalog.sqlite", "catalog.sqlite"):
        with Catalog.open(name) as catalog:
            catalog.add_pin(pin())
        hook = lookup.connect(name, timeout=5)
        assert lookup.lookup(hook, UUID, AT).has_row
        hook.close()

    assert os.path.exists(path)


@pytest.mark.parametrize(
    "name", ["a b", "x?mode=memory", "x#y", "100%41", "%2e%2e", "ü\udcff", "a&b=c;d", "'q\"", "\n"]
)
def test_any_path_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    """Nothing in a path means anything to SQLite but itself."""
    path = f"{tmp_path}/{name}/{name}"
    with Catalog.open(path) as catalog:
        catalog.add_pin(pin())
    hook = lookup.connect(f"//{path}", timeout=5)
    known = lookup.lookup(hook, UUID, AT)
    hook.close()

    assert known.machine == "pc-i440fx-7.2"
    assert os.listdir(f"{tmp_path}/{name}") == [name]
    assert os.listdir(tmp_path) == [name]
