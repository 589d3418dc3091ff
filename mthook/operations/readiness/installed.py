# SPDX-License-Identifier: Apache-2.0
"""Is the hook installed, known to libvirt, up to date, does it protect, and does mthook-sync go well?"""

from __future__ import annotations

import json
import time

from mthook import policy
from mthook.errors import CatalogMissing, HostError
from mthook.hook import install
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Finding, Severity, as_success, as_warning
from mthook.text import now

_INSTALL, _SYNC = "mthook-admin hook install", "mthook-sync -v"
#: Seconds: cron and systemd run mthook-sync every few minutes.
_FRESH = 3600


def check_hook(context: Context) -> list[Finding]:
    """Look at what ``mthook-admin hook status`` looks at."""
    status = hook_status(context)
    if not status.installed or status.loaded is False:
        kind = "not_loaded" if status.installed else "not_installed"
        return [
            Finding(kind, Severity.FAILURE, (), {"path": status.path, "problem": one}, _INSTALL)
            for one in status.problems
        ]
    found, facts = [], {"path": status.path, "mode": context.conf.hook.mode}
    if not status.current:
        found.append(as_warning("outdated", remedy=_INSTALL, **facts))
    if status.loaded is None:
        found.append(as_warning("no_daemon", **facts))
    if facts["mode"] != "enforce":
        found.append(as_warning("not_enforcing", **facts))
    if context.conf.hook.migrate_mismatch == "refuse":
        found += _about_restores(context)
    return found or [as_success(**facts)]


def _about_restores(context: Context) -> list[Finding]:
    """Tell if restores aren't refused, as libvirt wouldn't bear it."""
    try:
        from mthook.host.capabilities import host_facts

        libvirt = host_facts(context.host(), context.conf.host).libvirt_version
    except HostError:
        libvirt = context.catalog().host().libvirt_version
    major, minor, micro = map(int, (libvirt or "0.0.0").split("."))
    if policy.may_refuse_restore((major, minor, micro) if libvirt else None):
        return []
    return [as_warning("restores_let_in", libvirt=libvirt)]


def hook_status(context: Context) -> install.Status:
    """Return how the hook is installed, and what is known of the daemons that were notified of it."""
    settings = install.Settings.of_this_process(context.conf.catalog.path, context.files)
    try:
        daemons = context.catalog().host().daemons
    except CatalogMissing:
        daemons = None
    notified = list(json.loads(daemons)) if daemons else []
    return install.status(context.hooks_dir, settings, notified)


def check_last_sync(context: Context) -> list[Finding]:
    """Look when the last whole run ended, and whether it met errors."""
    host = context.catalog().host()
    if host.last_sync_at is None:
        return [Finding("never_ended", Severity.FAILURE, remedy=_SYNC)]
    found, ended_at = [], host.last_sync_at
    if ended_at < now(time.time() - _FRESH):
        found.append(as_warning("too_old", ended_at=ended_at))
    if not host.last_sync_ok:
        found.append(as_warning("had_errors", remedy=_SYNC, ended_at=ended_at))
    return found or [as_success(ended_at=ended_at)]
