# SPDX-License-Identifier: Apache-2.0
"""A fresh catalog for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook.catalog import lookup
from mthook.catalog.connection import Connection
from mthook.catalog.store import Catalog


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a catalog may be made; its directory is not there yet."""
    return str(tmp_path / "mthook" / "catalog.sqlite")


@pytest.fixture
def catalog(path: str) -> Iterator[Catalog]:
    """A new catalog, open."""
    with Catalog.open(path, timeout=5) as opened:
        yield opened


@pytest.fixture
def connection(path: str, catalog: Catalog) -> Iterator[Connection]:
    """The hook's connection to the new catalog."""
    opened = lookup.connect(path, timeout=5)
    yield opened
    opened.close()


@pytest.fixture
def hook(connection: Connection) -> Catalog:
    """The new catalog as the hook sees it."""
    return Catalog(connection)
