# SPDX-License-Identifier: Apache-2.0
"""Did mthook-sync run a while ago, and did it go well?"""

from __future__ import annotations

import time

from mthook.operations.readiness.findings import Findings
from mthook.operations.readiness.sources import Sources
from mthook.text import now

TITLE = "Last sync"

#: Seconds: cron and systemd run it every few minutes.
_FRESH = 3600


def check(sources: Sources) -> Findings:
    """Look when the last whole run ended, and whether it met errors."""
    findings = Findings()
    host = sources.catalog().host()
    at = host.last_sync_at
    if at is None:
        findings.fail(
            "No mthook-sync has run to its end on this host: run 'mthook-sync -v', then let cron or"
            " systemd run it every few minutes."
        )
        return findings
    ended = f"The last mthook-sync ended at {at.partition('.')[0]}Z"
    if at < now(time.time() - _FRESH):
        findings.warn(f"{ended}, more than an hour ago: look after its cron job or systemd timer.")
    if not host.last_sync_ok:
        findings.warn(f"{ended} with errors: 'mthook-sync -v' tells them.")
    if findings.well:
        findings.note(f"{ended}, without errors.")
    return findings
