# SPDX-License-Identifier: Apache-2.0
"""Pushes that the hook or the gate has asked for."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping

from mthook.hook.answer import PUSH_TRIGGER, ask_for_push
from mthook.operations.sync.compare import push
from mthook.operations.sync.novarecords import NovaRecords
from mthook.operations.sync.run import SyncRun
from mthook.text import now

#: What the service calls the file of requests, before it runs mthook-sync.
TAKEN = "push-taken"
#: Seconds to wait for Nova. What takes it longer is left to the periodic run.
_PATIENCE = 600


def push_asked_for(run: SyncRun, nova: NovaRecords) -> None:
    """Bring Nova's records to their pins, and ask again for the guests on which Nova is still at work.

    When Nova has started an instance, it writes once more what it had of it during the start.
    """
    asked = {} if run.result.dry_run else _take(run)
    push(run, nova)
    if not nova.works:
        return
    moment = time.time()
    since, until = now(moment - _PATIENCE), now(moment)
    with nova.guarded():
        for uuid, place in nova.cell.whereabouts(asked).items():
            if place.busy and not place.deleted and since < asked[uuid] <= until:
                ask_for_push(run.catalog.path, uuid, asked[uuid])


def _take(run: SyncRun) -> Mapping[str, str]:
    """Take what was asked for: UUIDs, and since when."""
    found: dict[str, str] = {}
    for name in (TAKEN, PUSH_TRIGGER):
        path = os.path.join(os.path.dirname(run.catalog.path), name)
        with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as file:
            os.unlink(path)
            for line in file:
                uuid, _, at = line.rstrip().partition(" ")
                found.setdefault(uuid, at)
    return found
