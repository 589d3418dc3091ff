# SPDX-License-Identifier: Apache-2.0
"""Mend the guests whose start the hook stopped, and start them again."""

from __future__ import annotations

import contextlib
import os
import time

from mthook.catalog.records import Repair
from mthook.errors import HostError, NotFound
from mthook.hook.answer import TRIGGER
from mthook.host.domains import get_domain, start
from mthook.locks import uninterrupted
from mthook.operations.acts import Act
from mthook.operations.sync.align import align_one
from mthook.operations.sync.run import ACTOR, SyncRun
from mthook.text import now

#: Seconds after a stopped start within which the guest is started again. Whoever wanted it started may by then have
#: started it elsewhere, on another host with the same disks.
RESTART_WITHIN = 600


def repair(run: SyncRun, *, restart: bool) -> None:
    """Go through all guests that wait for a repair; what fails is tried again next time.

    :param restart: start them again. Only a run that was asked for repairs may: what an operator or systemd's path unit
        does a moment after the stop would be a surprise in a periodic run.
    """
    # Before the look into the catalog: a start that is stopped from here on asks anew.
    _take_request(run)
    for row in run.catalog.repairs():
        with run.isolated(row):
            _repair(run, row, restart)


def _repair(run: SyncRun, row: Repair, restart: bool) -> None:
    """Mend one guest and take it off the list.

    :raises Error: it can't be mended or started; it stays on the list.
    """
    try:
        domain = get_domain(run.host, row.uuid)
        if domain.active:
            return _finish(run, row, "it runs")
        pin = run.catalog.get_pin(row.uuid)
        if pin is not None:
            align_one(run, domain, pin, snapshots=True)
    except NotFound:
        return _finish(run, row, "no such guest")
    if row.nova:
        if run.nova is not None and not run.nova.works:
            return None  # its pin may still be to be written to Nova
        return _finish(run, row, "Nova starts it")
    if not row.restart or row.at < now(time.time() - RESTART_WITHIN):
        return _finish(run, row, "not to be started any more")
    if not restart:
        return None  # its definition is right by now; it stays on the list as long as it may be started
    with uninterrupted():
        if not run.result.dry_run:
            run.touched = True
            _start(run, row)
        _finish(run, row, "started again")


def _start(run: SyncRun, row: Repair) -> None:
    """Start a guest. One that the hook stops even now isn't tried again: it would be for ever."""
    try:
        start(run.host, row.uuid)
    except HostError:
        run.catalog.leave_stopped(row)
        _take_request(run)
        raise


def _take_request(run: SyncRun) -> None:
    """Remove the file by which the hook asks for a repair."""
    if not run.result.dry_run:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(os.path.dirname(run.catalog.path), TRIGGER))


def _finish(run: SyncRun, row: Repair, how: str) -> None:
    if not run.catalog.finish_repair(row.uuid, event="repaired", reason=how, actor=ACTOR):
        # The hook took it off the list, when the guest started.
        run.catalog.add_history(
            row.uuid, "repaired", actor=ACTOR, old=row.found, new=row.pin, reason=how
        )
    run.result.add(Act("repaired", row.uuid, row.name, row.found, row.pin, reason=how))
