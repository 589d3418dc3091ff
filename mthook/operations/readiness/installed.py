# SPDX-License-Identifier: Apache-2.0
"""Is the hook installed, known to libvirt, up to date, does it protect, and does mthook-sync go well?"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from mthook import conf as configuration
from mthook import policy
from mthook.errors import CatalogMissing, ConfigError, HostError
from mthook.hook import install
from mthook.hook.daemons import Daemon
from mthook.operations.readiness import gate
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import (
    Facts,
    Finding,
    Severity,
    Subject,
    as_success,
    as_warning,
    of_guest,
)
from mthook.operations.setup import found
from mthook.text import now

_INSTALL, _SYNC = "mthook-admin hook install", "mthook-sync -v"
_ENFORCE, _LOOK = "mthook-admin setup --mode enforce", "mthook-admin doctor"
#: Seconds: cron and systemd run mthook-sync every few minutes.
_FRESH = 3600


def check_hook(context: Context) -> list[Finding]:
    """Check what ``mthook-admin hook status`` checks."""
    daemon = found.elsewhere(context.conf, context.hooks_dir)
    if daemon is not None:
        return [_out_of_reach(context, daemon)]
    status = hook_status(context)
    if not status.installed or status.loaded is False:
        kind = "not_loaded" if status.installed else "not_installed"
        return [
            Finding(kind, Severity.FAILURE, (), {"path": status.path, "problem": one}, _INSTALL)
            for one in status.problems
        ]
    problems, facts = [], {"path": status.path, "mode": context.conf.hook.mode}
    if not status.current:
        problems.append(as_warning("outdated", remedy=_INSTALL, **facts))
    if status.loaded is None:
        problems.append(as_warning("no_daemon", **facts))
    if facts["mode"] != "enforce":
        problems.append(as_warning("not_enforcing", remedy=_ENFORCE, **facts))
    if context.conf.hook.migrate_mismatch == "refuse":
        problems += _about_restores(context)
    return problems or [as_success(**facts)]


def _out_of_reach(context: Context, daemon: Daemon) -> Finding:
    """Tell that no hook installed here is called; the gate does without one."""
    facts: Facts = {"daemon": daemon.name, "pid": str(daemon.pid)}
    if gate.puts_right(context):
        return as_warning("gated", **facts)
    return Finding("out_of_reach", Severity.FAILURE, (), facts, _ENFORCE)


def _about_restores(context: Context) -> list[Finding]:
    """Tell if restores aren't refused, because this libvirt can't cope with that."""
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
    files = install.config_files(context.hooks_dir)
    if not _say_the_same(files, context.conf):
        files = list(context.files)
    settings = install.Settings.of_this_process(context.conf.catalog.path, files)
    try:
        daemons = context.catalog().host().daemons
    except CatalogMissing:
        daemons = None
    notified = list(json.loads(daemons)) if daemons else []
    return install.status(context.hooks_dir, settings, notified)


def _say_the_same(files: Sequence[str], conf: cfg.ConfigOpts) -> bool:
    """Tell whether these files make the hook act like a configuration read from other files."""
    try:
        other = configuration.load([path for path in files if os.path.exists(path)])
    except ConfigError:
        return False
    return _what_the_hook_reads(other) == _what_the_hook_reads(conf)


def _what_the_hook_reads(conf: cfg.ConfigOpts) -> tuple[object, ...]:
    databases = conf.database.connection, conf.api_database.connection
    asked = conf.host, conf.libvirt.hw_machine_type, *databases
    return conf.catalog.path, asked, configuration.settings(conf, "").values()


def check_last_sync(context: Context) -> list[Finding]:
    """Check when the last whole run ended, and whether it met errors."""
    host = context.catalog().host()
    problems, ended_at = [], host.last_sync_at
    if ended_at is None:
        problems.append(Finding("never_ended", Severity.FAILURE, remedy=_SYNC))
    elif not is_fresh(ended_at):
        problems.append(as_warning("too_old", remedy=_LOOK, ended_at=ended_at))
    if host.last_sync_errors is not None:
        problems.append(_errors(json.loads(host.last_sync_errors)))
    return problems or [as_success(ended_at=ended_at)]


def is_fresh(ended_at: str | None) -> bool:
    """Tell whether a sync ended so lately that something must be running it."""
    return ended_at is not None and ended_at >= now(time.time() - _FRESH)


def _errors(kept: dict[str, Any]) -> Finding:
    """Return the finding that the last sync met errors; see :func:`.reported.for_catalog`."""
    guests = [
        Subject(one["uuid"], one["name"], {"message": one["message"]}, one.get("display_name"))
        for one in kept["errors"]
        if one["uuid"] is not None
    ]
    facts = {"failed_at": kept["at"], "number": kept["number"]}
    messages = [one["message"] for one in kept["errors"]]
    return as_warning("had_errors", guests, _SYNC, **facts, messages=messages)


def check_called(context: Context) -> list[Finding]:
    """Look for evidence that libvirt really calls the hook, or that it doesn't.

    The hook writes only where there is something new, so a host may show no sign of either.
    """
    if context.conf.hook.mode == "off":
        return [as_warning("switched_off")]
    if found.elsewhere(context.conf, context.hooks_dir) is not None:
        return [as_warning("in_container")]
    known = {pin.uuid for pin in context.catalog().pins()}
    missed = [
        of_guest(one)
        for one in context.guests()
        if one.running is not None and one.uuid not in known
    ]
    if missed:
        return [Finding("not_called", Severity.FAILURE, missed, remedy=_INSTALL)]
    called_at = context.catalog().last_call()
    return [as_warning("not_seen") if called_at is None else as_success(called_at=called_at)]
