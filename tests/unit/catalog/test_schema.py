# SPDX-License-Identifier: Apache-2.0
"""The steps make the tables that the records and the statements are written for."""

from __future__ import annotations

import pytest

from mthook.catalog import lookup, schema
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
from mthook.settings import FIELDS

_TYPES = {"str": "TEXT", "int": "INTEGER", "bool": "BOOLEAN"}


def test_the_hook_is_written_for_the_newest_schema() -> None:
    """The steps are those that the hook knows, in their order."""
    assert list(schema.STEPS) == [*lookup.OLDER, lookup.SCHEMA] == sorted(schema.STEPS)


@pytest.mark.parametrize(
    ("table", "record"),
    [
        ("pins", Pin),
        ("history", HistoryEntry),
        ("repairs", Repair),
        ("capabilities", Capability),
        ("guests", Guest),
        ("host", HostFacts),
        ("compared", Compared),
    ],
)
def test_a_record_is_a_row(catalog: Catalog, table: str, record: type) -> None:
    """Its fields are the columns, of their type; None is NULL."""
    columns = {
        name: (kind, not required)
        for _, name, kind, required, *_ in catalog.connection.execute(f"PRAGMA table_info({table})")
        if name != "id"
    }

    fields = record.__annotations__.items()
    assert columns == {
        name: (_TYPES[kind.split()[0]], kind.endswith("None")) for name, kind in fields
    }


def test_settings_are_a_row(catalog: Catalog) -> None:
    """In the order in which they are kept."""
    columns = catalog.connection.execute("PRAGMA table_info(settings)")

    assert [name for _, name, *_ in columns] == ["id", *FIELDS]


def test_a_new_catalog_has_these_tables(catalog: Catalog) -> None:
    """Rows that are looked up by UUID live in the index itself."""
    query = "SELECT name, sql LIKE '%WITHOUT ROWID%' FROM sqlite_master WHERE type = 'table'"
    found = dict(catalog.connection.execute(query).fetchall())

    assert {name for name, in_index in found.items() if in_index} == {
        *("pins", "repairs", "arrivals", "guests", "compared", "originals", "definitions"),
        *("capabilities", "instances"),
    }
    assert {name for name, in_index in found.items() if not in_index} == {
        *("history", "host", "settings", "alembic_version", "sqlite_sequence")
    }
