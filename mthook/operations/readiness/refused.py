# SPDX-License-Identifier: Apache-2.0
"""Can the hook stop a start of Nova's that nothing on the way would have put right?"""

from __future__ import annotations

from oslo_config import cfg

from mthook import conf as configuration
from mthook.operations.readiness import gate
from mthook.operations.readiness.findings import Findings, listed
from mthook.operations.readiness.sources import Sources
from mthook.text import printable

TITLE = "Stopped starts of Nova instances"


def check(sources: Sources) -> Findings:
    """Look whether what Nova defines is right: Nova knows the pins, or the gate puts them in on the way."""
    findings = Findings()
    nova = [guest.name for guest in sources.guests() if guest.nova]
    if not nova:
        findings.note("This host has no guests of Nova's.")
        return findings
    used = gate.evidence(sources)
    _look(sources.conf, nova, findings, gated=used is not None)
    if used is None and gate.is_idle(sources):
        findings.note(
            f"{printable(sources.conf.gate.listen)} is listened on, but no configuration file given here"
            " names it in [libvirt] connection_uri."
        )
    findings.note(f"The gate is in use: {used}." if used else "The gate isn't in use.")
    return findings


def _look(conf: cfg.ConfigOpts, nova: list[str], findings: Findings, *, gated: bool) -> None:
    if conf.hook.mode != "enforce":
        findings.note(f"[hook] mode = {conf.hook.mode}: the hook stops no start.")
    elif configuration.has_nova(conf) and conf.sync.write_back:
        findings.note(
            "mthook-sync writes the pins to Nova's database: Nova defines its guests by them."
        )
    elif gated:
        findings.note(f"What passes the gate of {listed(nova, 'guest')} gets its pin on the way.")
    elif not configuration.has_nova(conf):
        findings.warn(
            f"Nova defines {listed(nova, 'guest')} anew at each start and doesn't know their pins:"
            " a start that the hook stops leaves the instance in ERROR. Configure [database]"
            " connection, use the gate, or stay in [hook] mode = audit."
        )
    else:
        findings.warn(
            f"Nova doesn't get the pins of {listed(nova, 'guest')}: a start that the hook stops leaves"
            " the instance in ERROR. Set [sync] write_back = true, use the gate, or stay in [hook]"
            " mode = audit."
        )
