# SPDX-License-Identifier: Apache-2.0
"""Can the hook stop a start of Nova's that nothing on the way would have put right?"""

from __future__ import annotations

from mthook import conf as configuration
from mthook.operations.readiness import gate
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Finding, Severity, Subject

CHECK = "stopped_starts"


def check(context: Context) -> list[Finding]:
    """Look whether what Nova defines is right: Nova knows the pins, or the gate puts them in on the way."""
    guests = [Subject(guest.uuid, guest.name) for guest in context.guests() if guest.nova]
    if not guests:
        return [Finding(CHECK, "no_nova_guests", Severity.SUCCESS)]
    use, facts = gate.use(context)
    protection = _protection(context, guests, gated=use in gate.IN_USE)
    return [protection, Finding(CHECK, use, Severity.SUCCESS, facts=facts)]


def _protection(context: Context, guests: list[Subject], *, gated: bool) -> Finding:
    """Return what keeps starts of Nova's guests from being stopped, or that nothing does."""
    conf, has_nova = context.conf, configuration.has_nova(context.conf)
    if conf.hook.mode != "enforce":
        return Finding(CHECK, "not_enforcing", Severity.SUCCESS, guests, {"mode": conf.hook.mode})
    if has_nova and conf.sync.write_back:
        return Finding(CHECK, "written_back", Severity.SUCCESS, guests)
    if gated:
        return Finding(CHECK, "gated", Severity.SUCCESS, guests)
    return Finding(
        CHECK, "not_written_back" if has_nova else "no_database", Severity.WARNING, guests
    )
