# SPDX-License-Identifier: Apache-2.0
"""A copy of the catalog for a dry run: the steps work on it, the real one stays as it is."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator

from mthook.catalog import files, lookup
from mthook.catalog.connection import Guard, open_database
from mthook.catalog.store import Catalog
from mthook.errors import CatalogMissing

_TIMEOUT = 10.0


@contextlib.contextmanager
def scratch(path: str) -> Iterator[Catalog]:
    """Open a copy of a catalog, brought up to date, or an empty one. It ends with the block.

    :raises CatalogError: the real one can't be read, or a newer mthook has written it.
    """
    with tempfile.TemporaryDirectory(prefix="mthook-") as directory:
        copy = os.path.join(directory, "catalog.sqlite")
        with contextlib.suppress(CatalogMissing):
            _copy(path, copy)
        with Catalog.open(copy) as catalog:
            yield catalog


def _copy(path: str, copy: str) -> None:
    source = open_database(path, _TIMEOUT)
    with contextlib.closing(source), Guard(source):
        revision = lookup.read_revision(source)
        if revision is not None:
            lookup.check_known(path, revision)
        files.create_file(copy)
        with contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)
