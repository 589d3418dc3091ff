# SPDX-License-Identifier: Apache-2.0
"""Forget the pins of guests that are gone for good."""

from __future__ import annotations

import contextlib
import glob
import os
import time

from mthook.catalog.records import Guest
from mthook.nova.instance import Whereabouts
from mthook.operations.acts import Act
from mthook.operations.sync.novarecords import NovaRecords
from mthook.operations.sync.run import ACTOR, SyncRun
from mthook.text import now, printable

#: Seconds after which a guest that libvirt no longer lists counts as gone: one that moved away may
#: come back, and Nova undefines a guest and defines it again at every hard reboot.
PRUNE_AFTER = 30 * 24 * 3600
#: Seconds after which a note that a start needn't be recorded is of a start that failed.
_CLEARED_FOR = 600


def prune(run: SyncRun) -> None:
    """Forget guests long gone, but not Nova's: only Nova knows whether they still exist."""
    limit = now(time.time() - PRUNE_AFTER)
    for guest in run.catalog.guests():
        if guest.gone_since is not None and guest.gone_since < limit and not guest.nova:
            _forget(run, guest.uuid, guest, f"not on this host since {guest.gone_since}")


def prune_instances(run: SyncRun, nova: NovaRecords) -> None:
    """Forget the instances that live elsewhere or are deleted, where Nova says so."""
    guests = {guest.uuid: guest for guest in run.catalog.guests()}
    gone = []
    for pin in run.catalog.pins():
        guest = guests.get(pin.uuid)
        of_nova = guest.nova if guest else pin.uuid in nova.compared
        if of_nova and pin.uuid not in run.domains and pin.uuid not in nova.instances:
            gone.append(pin.uuid)
    with nova.guarded():
        for uuid, place in nova.cell.whereabouts(gone).items():
            reason = _why_gone(place, run.conf.host)
            if reason is not None:
                _forget(run, uuid, guests.get(uuid), reason)


def _why_gone(place: Whereabouts, host: str) -> str | None:
    if place.deleted:
        return "deleted in Nova"
    if place.settled and place.host not in (None, host):
        return f"on {printable(place.host)} by now"
    return None


def _forget(run: SyncRun, uuid: str, guest: Guest | None, reason: str) -> None:
    """Forget a pin, unless its guest has come back."""
    since = guest.gone_since if guest else None
    if run.catalog.forget(uuid, actor=ACTOR, reason=reason, gone_since=since):
        name = guest.name if guest else None
        run.result.add(Act("forgotten", uuid, name, reason=reason))


def sweep(directory: str) -> None:
    """Remove notes left by starts that the hook cleared but QEMU failed."""
    for path in glob.glob(os.path.join(glob.escape(directory), "cleared-*")):
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_mtime < time.time() - _CLEARED_FOR:
                os.unlink(path)
