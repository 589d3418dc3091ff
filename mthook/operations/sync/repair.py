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
from mthook.operations.sync.align import align_one
from mthook.operations.sync.run import ACTOR, Round
from mthook.text import now, printable

#: Seconds after a stopped start within which the guest is started again. Whoever wanted it started may by then have
#: started it elsewhere, on another host with the same disks.
RESTART_WITHIN = 600


def repair(round_: Round, *, restart: bool) -> None:
    """Go through all guests that wait for a repair; what fails is tried again next time.

    :param restart: start them again. Only a run that was asked for repairs may: what an operator or systemd's path unit
        does a moment after the stop would be a surprise in a periodic run.
    """
    # Before the look into the catalog: a start that is stopped from here on asks anew.
    _take_note(round_)
    for row in round_.catalog.repairs():
        with round_.guest(_who(row)):
            _repair(round_, row, restart)


def _repair(round_: Round, row: Repair, restart: bool) -> None:
    """Mend one guest and take it off the list.

    :raises Error: it can't be mended or started; it stays on the list.
    """
    try:
        domain = get_domain(round_.host, row.uuid)
        if domain.active:
            return _finish(round_, row, "it runs")
        pin = round_.catalog.get_pin(row.uuid)
        if pin is not None:
            align_one(round_, domain, pin, snapshots=True)
    except NotFound:
        return _finish(round_, row, "no such guest")
    if row.nova:
        if round_.nova is not None and not round_.nova.works:
            return None  # its pin may still be to be written to Nova
        return _finish(round_, row, "Nova starts it")
    if not row.restart or row.at < now(time.time() - RESTART_WITHIN):
        return _finish(round_, row, "not to be started any more")
    if not restart:
        return None  # its definition is right by now; it stays on the list as long as it may be started
    with uninterrupted():
        if not round_.report.dry_run:
            round_.touched = True
            _start(round_, row)
        _finish(round_, row, "started again")


def _start(round_: Round, row: Repair) -> None:
    """Start a guest. One that the hook stops even now isn't tried again: it would be for ever."""
    try:
        start(round_.host, row.uuid)
    except HostError:
        round_.catalog.leave_stopped(row)
        _take_note(round_)
        raise


def _take_note(round_: Round) -> None:
    """Remove the file by which the hook asks for a repair."""
    if not round_.report.dry_run:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(os.path.dirname(round_.catalog.path), TRIGGER))


def _who(row: Repair) -> str:
    return f"{printable(row.name)} ({row.uuid})"


def _finish(round_: Round, row: Repair, how: str) -> None:
    if not round_.catalog.finish_repair(row.uuid, event="repaired", reason=how, actor=ACTOR):
        # The hook took it off the list, when the guest started.
        round_.catalog.add_history(
            row.uuid, "repaired", actor=ACTOR, old=row.found, new=row.pin, reason=how
        )
    round_.report.done("repaired", f"repair {_who(row)}: {how}")
