# SPDX-License-Identifier: Apache-2.0
"""Create a catalog, or bring an older one up to date."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mthook.catalog import files, lookup, schema
from mthook.catalog.connection import Guard, open_database
from mthook.errors import CatalogError, CatalogMissing
from mthook.text import cause, printable

#: Seconds between two tries to get the directory's lock.
_PAUSE = 0.02


def bring_up(path: str, *, create: bool, timeout: float) -> None:
    """Create a catalog or bring it to the current schema. Others may do so at the same time.

    :param create: create it where there is none, or an empty file.
    :raises CatalogError: or a subclass; :class:`CatalogMissing` only if none is to be created.
    """
    directory = os.path.dirname(path) or "."
    if create:
        files.create_directory(directory)
    else:
        files.check(path)
    with _alone_in(directory, timeout):
        if os.path.lexists(path):
            _upgrade(path, path, timeout, create)
        else:
            _create(path, timeout)


def _create(path: str, timeout: float) -> None:
    """Make a whole catalog beside ``path``, then rename it: nobody sees half of one."""
    draft = f"{path}.new"
    try:
        _remove(draft)  # left by a process that was killed
        files.create_file(draft)
        _upgrade(draft, path, timeout, create=True)
        os.rename(draft, path)
        _sync_directory(os.path.dirname(path) or ".")
    except OSError as error:
        raise CatalogError(
            f"the catalog {printable(path)} can't be created: {cause(error)}", path
        ) from error
    finally:
        _remove(draft)


def _upgrade(database: str, path: str, timeout: float, create: bool) -> None:
    """Apply the steps that a database lacks; messages name ``path``."""
    connection = open_database(database, timeout)
    connection.path = path
    try:
        revision = lookup.read_revision(connection)
        if revision is None and not create:
            raise CatalogMissing(f"the catalog {printable(path)} is empty: run mthook-sync", path)
        if revision is not None:
            lookup.check_known(path, revision)
        if revision != lookup.SCHEMA:
            with Guard(connection):
                if database != path:
                    # Half a draft is thrown away, so no journal on the disk is needed.
                    connection.execute("PRAGMA journal_mode = MEMORY")
                schema.bring_up(connection, revision)
                connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


@contextmanager
def _alone_in(directory: str, timeout: float) -> Iterator[None]:
    """Keep other creators and upgraders out; the lock ends with the process at the latest."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + timeout
    try:
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise CatalogError(
                    f"{printable(directory)} is locked by another mthook: try again", directory
                )
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(draft: str) -> None:
    for name in (draft, f"{draft}-journal", f"{draft}-wal", f"{draft}-shm"):
        if os.path.lexists(name):
            os.unlink(name)


def _sync_directory(directory: str) -> None:
    """Make a new name durable: without this a power cut may take the whole catalog."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
