# SPDX-License-Identifier: Apache-2.0
"""One run of mthook-sync from beginning to end."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from oslo_config import cfg

from mthook.catalog import files, lookup
from mthook.catalog.connection import Guard, open_database
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError, CatalogMissing, Error
from mthook.locks import only_one
from mthook.operations.acts import Act, Failure, SyncResult
from mthook.operations.opening import opened_host
from mthook.operations.sync.reported import for_catalog
from mthook.settings import Settings, same_files

if TYPE_CHECKING:
    from mthook.operations.sync.run import Progress

#: Seconds to wait for other processes that write, where a catalog is copied.
_TIMEOUT = 10.0


def synchronize(
    conf: cfg.ConfigOpts,
    settings: Settings,
    result: SyncResult,
    only: str | None,
    progress: Progress,
    *,
    start: bool = False,
) -> None:
    """Do one run.

    :param settings: what is compiled for the hook.
    :param result: notes what is done and what fails; in a dry run, nothing is changed.
    :param only: the one step to do: ``pull``, ``seed``, ``push``, ``realign`` or ``repair``; ``None``: all of them.
    :param start: with ``repair``: start the guests again as well.
    :raises Busy: another run is under way.
    """
    with _catalog(conf.catalog.path, result.dry_run) as catalog, _remembered(catalog, result, only):
        # First: the hook needs the settings whatever libvirt says.
        _compile(catalog, settings, result)
        with opened_host(conf) as host:
            from mthook.operations.sync.run import SyncRun  # here: they take libvirt-python
            from mthook.operations.sync.steps import do_steps

            do_steps(SyncRun(host, catalog, conf, result, progress), only, start=start)


@contextlib.contextmanager
def _remembered(catalog: Catalog, result: SyncResult, only: str | None) -> Iterator[None]:
    """Keep in the catalog why a whole run breaks off; the caller reports it."""
    try:
        yield
    except (Error, OSError) as error:
        if only is None:
            with contextlib.suppress(CatalogError):
                catalog.set_sync_errors(for_catalog([*result.errors, Failure(error)]))
        raise


@contextlib.contextmanager
def _catalog(path: str, dry_run: bool) -> Iterator[Catalog]:
    """Open the catalog under the lock, or for a dry run a copy, brought up to date, which needs none."""
    with contextlib.ExitStack() as stack:
        if dry_run:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="mthook-"))
            copy = os.path.join(directory, "catalog.sqlite")
            with contextlib.suppress(CatalogMissing):
                _copy(path, copy)
            path = copy
        else:
            directory = os.path.dirname(path)
            files.create_directory(directory)
            stack.enter_context(only_one(directory))
        yield stack.enter_context(Catalog.open(path))


def _copy(path: str, copy: str) -> None:
    source = open_database(path, _TIMEOUT)
    with contextlib.closing(source), Guard(source):
        revision = lookup.read_revision(source)
        if revision is not None:
            lookup.check_known(path, revision)
        files.create_file(copy)
        with contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)


def _compile(catalog: Catalog, settings: Settings, result: SyncResult) -> None:
    """Keep the settings where the hook reads them.

    A hook that was installed with other configuration files compiles those for itself.
    """
    old = catalog.settings()
    if old is not None and not same_files(old.fingerprint, settings.fingerprint):
        return
    catalog.compile_settings(settings)
    if old is None or not settings.same_options(old):
        result.add(Act("compiled", old=old.mode if old else None, new=settings.mode))
