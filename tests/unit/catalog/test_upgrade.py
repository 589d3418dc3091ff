# SPDX-License-Identifier: Apache-2.0
"""Catalogs of mthook 0.1.0, which Alembic made."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mthook.catalog import lookup
from mthook.catalog.records import (
    Capability,
    Compared,
    Guest,
    HistoryEntry,
    HostFacts,
    Pin,
    Repair,
)
from mthook.catalog.store import Catalog
from mthook.errors import CatalogOlder
from mthook.settings import Settings

from .samples import AT, KVM, LATER, LATEST, OTHER, THIRD, UUID, make_empty, names

FIXTURES = Path(__file__).parents[2] / "fixtures" / "catalogs"
SEEN = "2026-11-22T13:00:03.000000Z"
CHANGED = "2026-11-22T13:00:05.000000Z"
FOURTH = UUID[:-1] + "4"
FIFTH = UUID[:-1] + "5"

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(params=["0001", "0003"])
def revision(request: pytest.FixtureRequest) -> str:
    """The last of Alembic's steps that the old catalog has seen."""
    return str(request.param)


@pytest.fixture
def old(path: str, revision: str) -> str:
    """An old catalog with everything in it; its path."""
    make_empty(path)
    connection = sqlite3.connect(path)
    connection.executescript((FIXTURES / f"0.1.0-{revision}.sql").read_text())
    connection.close()
    return path


def _rows(path: str) -> Rows:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables}
    connection.close()
    return {name: [dict(row) for row in found] for name, found in rows.items()}


def _shape(path: str) -> dict[str, object]:
    """Return what makes up each table, however it is written."""
    connection = sqlite3.connect(path)
    tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    words = ("WITHOUT ROWID", "AUTOINCREMENT", "CHECK (id = 1)")
    shape: dict[str, object] = {}
    for name, sql in tables.fetchall():
        columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
        indexes = [row[1:] for row in connection.execute(f"PRAGMA index_list({name})")]
        shape[name] = (columns, indexes, [word for word in words if word in sql])
    connection.close()
    del shape["alembic_version"]
    return shape


def test_every_row_is_kept(old: str, revision: str) -> None:
    """What is compiled from the configuration of the first schema is compiled anew."""
    before = _rows(old)
    Catalog.open(old, create=False).close()
    after = _rows(old)

    settings = before.pop("policy")
    expected: Rows = {"compared": [], "originals": [], "definitions": [], "instances": [], **before}
    added = {"write_back": 1, "nova_stop": "stop"}
    expected["settings"] = [{**row, **added} for row in settings] if revision == "0003" else []
    expected["alembic_version"] = [{"version_num": lookup.SCHEMA}]
    for row in expected["capabilities"]:
        del row["max_cpus"]
        row["stamp"] = None
    for row in expected["guests"]:
        row["display"] = None
    for row in expected["host"]:
        row.update(steady_since=None, last_sync_errors=None)
        row["ran_at"] = row["succeeded_at"] = row["last_sync_at"]
        row["ran_errors"] = 0
    for row in expected["history"]:
        row["change"] = None
    assert after == expected
    assert all(rows for name, rows in before.items())
    assert names(old) == ["catalog.sqlite"]


@pytest.mark.parametrize(
    ("seen", "kept"),
    [
        *((good, good) for good in ("pc-i440fx-7.2", "pc-i440fx-9.2+pve1", "x" * 255)),
        *((bad, None) for bad in ("", "pc i440fx", "-pc", "größe", "x" * 256, "pc-i440fx-7.2\n")),
    ],
)
def test_what_no_guest_can_have_been_seen_as_is_forgotten(
    old: str, seen: str, kept: str | None
) -> None:
    """0.1.0 imported it, and the guest's starts weren't judged any more."""
    connection = sqlite3.connect(old)
    connection.execute("UPDATE pins SET seen = ? WHERE uuid = ?", (seen, OTHER))
    connection.commit()
    connection.close()

    with Catalog.open(old) as catalog:
        pin = catalog.get_pin(OTHER)

    assert pin is not None and (pin.machine, pin.seen) == ("pc-i440fx-7.2", kept)


def test_it_has_the_tables_of_a_new_one(old: str, tmp_path: Path) -> None:
    """To the last column, whoever made them."""
    new = str(tmp_path / "new" / "catalog.sqlite")
    Catalog.open(new).close()
    Catalog.open(old).close()

    assert _shape(old) == _shape(new)


def test_all_of_it_can_be_read(old: str, revision: str) -> None:
    """Each row comes back as the old mthook would have given it."""
    with Catalog.open(old) as catalog:
        assert catalog.get_pin(OTHER) == Pin(
            OTHER,
            "pc-i440fx-7.2",
            "x86_64",
            "operator",
            "root",
            AT,
            CHANGED,
            reason="licence",
            qemu_version="7.2.22",
            libvirt_version="9.0.0",
        )
        assert [pin.machine for pin in catalog.pins()] == [
            *("pc-q35-7.2", "pc-i440fx-7.2", None, "pc-i440fx-7.2")
        ]
        assert catalog.history(THIRD)[1] == HistoryEntry(
            THIRD, CHANGED, "unset", "root", "virt-7.2", None, "definition", "moved\naway"
        )
        assert catalog.last_rewrite() == LATEST
        assert catalog.repairs() == [
            Repair(OTHER, 'd\'b "1"', LATEST, "pc-i440fx-7.2", "pc-q35-7.2", False, True)
        ]
        assert catalog.find("größe") == [
            Guest(
                THIRD, "größe", "aarch64", "qemu", defined="virt-7.2", seen_at=AT, gone_since=SEEN
            )
        ]
        assert Capability(KVM, "x86_64", "kvm", "pc-i440fx-1.7", None, True) in (
            catalog.capabilities("x86_64")
        )
        assert catalog.host() == HostFacts(
            "host1",
            "7.2.22",
            "9.0.0",
            AT,
            '["libvirtd"]',
            LATER,
            True,
            ran_at=LATER,
            ran_errors=0,
            succeeded_at=LATER,
        )
        assert catalog.take_arrival(FIFTH) == "pc-q35-7.2"
        if revision == "0003":
            assert catalog.settings() == Settings(
                mode="enforce", fingerprint="/etc/mthook/mthook.conf:1:2:3", compiled_at=CHANGED
            )
            assert catalog.compared() == {
                UUID: Compared(UUID, "pc-q35-7.2", 17, None),
                FOURTH: Compared(FOURTH, None, None, 4),
            }
            original = catalog.original(UUID)
            assert original and original.before.decode() == "<domain>größe</domain>"


def test_its_history_goes_on(old: str) -> None:
    """Also where the order of events is told by the rows' ids."""
    with Catalog.open(old) as catalog:
        catalog.add_history(UUID, "repaired", actor="mthook-sync")
        ids = [row[0] for row in catalog.connection.execute("SELECT id FROM history ORDER BY id")]

    assert ids == list(range(1, 11))


def test_the_hook_leaves_it_to_sync(old: str) -> None:
    """It has no time for that, and writes nothing."""
    before = Path(old).read_bytes()
    with pytest.raises(CatalogOlder, match="run mthook-sync"):
        lookup.connect(old, 1)

    assert Path(old).read_bytes() == before


def test_the_old_mthook_knows_it_for_newer(old: str) -> None:
    """What 0.1.0 asks a catalog is answered with what 0.1.0 has never heard of; then it leaves it alone."""
    Catalog.open(old).close()
    connection = sqlite3.connect(old)
    answer = connection.execute("SELECT max(version_num) FROM alembic_version").fetchone()
    connection.close()

    assert answer == (lookup.SCHEMA,)
    assert answer[0] not in ("0001", "0002", "0003")
