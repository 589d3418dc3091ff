# SPDX-License-Identifier: Apache-2.0
"""Did mthook-sync run a while ago, and did it go well?"""

from __future__ import annotations

import time

from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Finding, Severity
from mthook.text import now

CHECK = "last_sync"

#: Seconds: cron and systemd run it every few minutes.
_FRESH = 3600
_REMEDY = "mthook-sync -v"


def check(context: Context) -> list[Finding]:
    """Look when the last whole run ended, and whether it met errors."""
    host = context.catalog().host()
    if host.last_sync_at is None:
        return [Finding(CHECK, "never_ended", Severity.FAILURE, remedy=_REMEDY)]
    found, facts = [], {"ended_at": host.last_sync_at}
    if host.last_sync_at < now(time.time() - _FRESH):
        found.append(Finding(CHECK, "too_old", Severity.WARNING, facts=facts))
    if not host.last_sync_ok:
        found.append(Finding(CHECK, "had_errors", Severity.WARNING, facts=facts, remedy=_REMEDY))
    return found or [Finding(CHECK, "ok", Severity.SUCCESS, facts=facts)]
