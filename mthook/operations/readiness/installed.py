# SPDX-License-Identifier: Apache-2.0
"""Is the hook installed, known to libvirt, up to date, and does it protect?"""

from __future__ import annotations

import json

from mthook.errors import CatalogMissing
from mthook.hook import install
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Finding, Severity

CHECK = "hook"

_REMEDY = "mthook-admin hook install"


def check(context: Context) -> list[Finding]:
    """Look at what ``mthook-admin hook status`` looks at."""
    settings = install.Settings.of_this_process(context.conf.catalog.path, context.files)
    status = install.status(context.hooks_dir, settings, _notified_daemons(context))
    if not status.installed or status.loaded is False:
        return _problems(status)
    found, facts = [], {"path": status.path, "mode": context.conf.hook.mode}
    if not status.current:
        found.append(Finding(CHECK, "outdated", Severity.WARNING, facts=facts, remedy=_REMEDY))
    if status.loaded is None:
        found.append(Finding(CHECK, "no_daemon", Severity.WARNING, facts=facts))
    if context.conf.hook.mode != "enforce":
        found.append(Finding(CHECK, "not_enforcing", Severity.WARNING, facts=facts))
    return found or [Finding(CHECK, "ok", Severity.SUCCESS, facts=facts)]


def _problems(status: install.Status) -> list[Finding]:
    kind = "not_loaded" if status.installed else "not_installed"
    facts = [{"path": status.path, "problem": problem} for problem in status.problems]
    return [Finding(CHECK, kind, Severity.FAILURE, facts=one, remedy=_REMEDY) for one in facts]


def _notified_daemons(context: Context) -> list[str]:
    """Return the daemons that were notified of the hook, as the catalog keeps them."""
    try:
        daemons = context.catalog().host().daemons
    except CatalogMissing:
        return []
    return list(json.loads(daemons)) if daemons else []
