# SPDX-License-Identifier: Apache-2.0
"""What a run of mthook-sync leaves behind: unguarded starts, how it ended, its host's figures, its fleet's rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from oslo_config import cfg

from mthook.errors import CatalogError, Error, FleetError, InstallError, MetricsError
from mthook.hook import install, seen
from mthook.locks import Busy
from mthook.operations.acts import Failure, StartedUnguarded, SyncResult
from mthook.operations.readiness import gate, guard
from mthook.operations.readiness.context import Context
from mthook.operations.sync.reported import for_catalog
from mthook.text import now, printable


@contextlib.contextmanager
def recorded(conf: cfg.ConfigOpts, files: Sequence[str], result: SyncResult) -> Iterator[None]:
    """Keep in the catalog how a whole run ended, and write figures and the record where the configuration wants them.

    A failure to write is reported like any other error of the run; all else has been done by then.

    :param files: the configuration files.
    """
    try:
        yield
    except Busy:
        raise
    except (Error, OSError):
        with contextlib.suppress(CatalogError):  # it may be why the run broke off
            _record(conf, files, result, broken_off=True)
        raise
    else:
        _record(conf, files, result)


def _record(
    conf: cfg.ConfigOpts, files: Sequence[str], result: SyncResult, *, broken_off: bool = False
) -> None:
    at = now()
    with Context(conf, files, install.DEFAULT_DIRECTORY) as context:
        # The hook in libvirt's container keeps its records there.
        seen.sweep(context.root)
        _note_guard(context, result)
        found = gate.trouble(context)
        if found is not None:
            result.add(Failure(Error(f"{found.text}: 'mthook-admin doctor' says what to do")))
        errors = result.failed + broken_off
        if conf.fleet.connection is not None:
            errors += _push(context, result, at, errors)
        context.catalog().set_run(at, errors)
        if conf.metrics.textfile is not None:
            from mthook.operations import exposition, metrics  # here: few hosts want them

            try:
                exposition.write(conf.metrics.textfile, metrics.measure(context))
            except MetricsError as error:
                result.add(Failure(error))


def _note_guard(context: Context, result: SyncResult) -> None:
    """Report starts that the hook didn't see, and a hook that lets none begin: then there will be none to see."""
    try:
        for one in guard.note(context):
            result.add(StartedUnguarded(one.uuid, one.name, one.started_at))
        path = guard.refused(context)
        if path is not None:
            what = "nobody may run it where it is, so guests don't start: mount its file system without noexec"
            result.add(Failure(InstallError(f"{printable(path)}: {what}")))
    except InstallError as error:
        result.add(Failure(error))


def _push(context: Context, result: SyncResult, at: str, errors: int) -> int:
    """Write to the fleet's record, unless it has failed in this run already; return how many errors that brings."""
    from mthook.operations.sync import fleet  # here: it takes SQLAlchemy

    before = result.failed
    if any(isinstance(one.error, FleetError) for one in result.errors):
        return 0
    try:
        fleet.push(context, result, at, errors)
    except FleetError as error:
        result.add(Failure(error))
    if result.failed > before:
        context.catalog().set_sync_errors(for_catalog(result.errors))
    return result.failed - before
