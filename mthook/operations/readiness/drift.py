# SPDX-License-Identifier: Apache-2.0
"""Do guests, pins and Nova all say the same?"""

from __future__ import annotations

from mthook.operations.drift import rows
from mthook.operations.readiness.findings import Findings, count, listed
from mthook.operations.readiness.sources import Sources
from mthook.text import printable

TITLE = "Drift"


def check(sources: Sources) -> Findings:
    """Count what ``mthook-admin list --drift`` lists, with guests as they are now."""
    findings = Findings()
    guests = sources.guests()
    drifting = [
        f"{printable(row.guest.name) if row.guest else row.uuid}: {row.drift}"
        for row in rows(sources.catalog(), guests)
        if row.drift
    ]
    if drifting:
        findings.warn(
            f"Unlike their pin: {listed(drifting, 'guest')}. 'mthook-admin list --drift' lists"
            " them; what runs stays as it is until its next cold start."
        )
    else:
        findings.note(f"Of {count(len(guests), 'guest')} none is unlike its pin.")
    return findings
