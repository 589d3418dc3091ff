# SPDX-License-Identifier: Apache-2.0
"""Can the hook stop a start of Nova's that nothing on the way would have put right?"""

from __future__ import annotations

from mthook import conf as configuration
from mthook.tools.checking.findings import Findings, listed
from mthook.tools.checking.sources import Sources

TITLE = "Stopped starts of Nova instances"


def check(sources: Sources) -> Findings:
    """Look whether Nova itself knows the pins of its guests: what it defines is right then."""
    findings = Findings()
    conf = sources.conf
    nova = [guest.name for guest in sources.guests() if guest.nova]
    if not nova:
        findings.note("This host has no guests of Nova's.")
    elif conf.hook.mode != "enforce":
        findings.note(f"[hook] mode = {conf.hook.mode}: the hook stops no start.")
    elif not configuration.has_nova(conf):
        findings.warn(
            f"Nova defines {listed(nova, 'guest')} anew at each start and doesn't know their pins:"
            " a start that the hook stops leaves the instance in ERROR. Configure [database]"
            " connection, or stay in [hook] mode = audit."
        )
    elif not conf.sync.write_back:
        findings.warn(
            f"Nova doesn't get the pins of {listed(nova, 'guest')}: a start that the hook stops leaves"
            " the instance in ERROR. Set [sync] write_back = true, or stay in [hook] mode = audit."
        )
    else:
        findings.note(
            "mthook-sync writes the pins to Nova's database: Nova defines its guests by them."
        )
    return findings
