# SPDX-License-Identifier: Apache-2.0
"""Forget the pins of guests that are gone for good."""

from __future__ import annotations

import time

from mthook.text import now, printable
from mthook.tools.syncing.round import ACTOR, Round

#: Seconds after which a guest that libvirt no longer lists counts as gone: one that moved away may
#: come back, and Nova undefines a guest and defines it again at every hard reboot.
PRUNE_AFTER = 30 * 24 * 3600


def prune(round_: Round) -> None:
    """Forget guests long gone, but not Nova's: only Nova knows whether they still exist."""
    limit = now(time.time() - PRUNE_AFTER)
    for guest in round_.catalog.guests():
        if guest.gone_since is None or guest.gone_since >= limit or guest.nova:
            continue
        reason = f"not on this host since {guest.gone_since}"
        if round_.catalog.forget(guest.uuid, actor=ACTOR, reason=reason):
            round_.report.done(
                "forgotten", f"forget the pin of {printable(guest.name)} ({guest.uuid}): {reason}"
            )
