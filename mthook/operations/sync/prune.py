# SPDX-License-Identifier: Apache-2.0
"""Forget the pins of guests that are gone for good."""

from __future__ import annotations

import contextlib
import glob
import os
import time

from mthook.operations.sync.run import ACTOR, Round
from mthook.text import now, printable

#: Seconds after which a guest that libvirt no longer lists counts as gone: one that moved away may
#: come back, and Nova undefines a guest and defines it again at every hard reboot.
PRUNE_AFTER = 30 * 24 * 3600


#: Seconds after which a note that a start needn't be recorded is of a start that failed.
_CLEARED_FOR = 600


def sweep(directory: str) -> None:
    """Remove what starts left that were cleared by the hook but failed in QEMU."""
    for path in glob.glob(os.path.join(glob.escape(directory), "cleared-*")):
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_mtime < time.time() - _CLEARED_FOR:
                os.unlink(path)


def prune(round_: Round) -> None:
    """Forget guests long gone, but not Nova's: only Nova knows whether they still exist."""
    limit = now(time.time() - PRUNE_AFTER)
    for guest in round_.catalog.guests():
        if guest.gone_since is None or guest.gone_since >= limit or guest.nova:
            continue
        reason = f"not on this host since {guest.gone_since}"
        if round_.catalog.forget(
            guest.uuid, actor=ACTOR, reason=reason, gone_since=guest.gone_since
        ):
            round_.report.done(
                "forgotten", f"forget the pin of {printable(guest.name)} ({guest.uuid}): {reason}"
            )
