# SPDX-License-Identifier: Apache-2.0
"""Do guests, pins and Nova all say the same?"""

from __future__ import annotations

from mthook.operations.drift import instances
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Finding, Severity, Subject, about

CHECK = "drift"


def check(context: Context) -> list[Finding]:
    """Look for what ``mthook-admin list --drift`` lists, with guests as they are now."""
    guests = context.guests()
    subjects = [
        Subject(row.uuid, row.guest.name if row.guest else None, {"drift": row.drift})
        for row in instances(context.catalog(), guests)
        if row.drift
    ]
    facts = {"guests": len(guests)}
    listing = "mthook-admin list --drift"
    return about(subjects, CHECK, "unlike_pin", Severity.WARNING, facts, listing) or [
        Finding(CHECK, "ok", Severity.SUCCESS, facts=facts)
    ]
