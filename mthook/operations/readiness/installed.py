# SPDX-License-Identifier: Apache-2.0
"""Is the hook installed, known to libvirt, up to date, does it protect, and does mthook-sync go well?"""

from __future__ import annotations

import json
import time
from typing import Any

from mthook import policy
from mthook.errors import HostError
from mthook.hook.daemons import Daemon
from mthook.hook.install import Problem, ProblemKind, Status
from mthook.operations.readiness import gate, guard
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import (
    Facts,
    Finding,
    Severity,
    Subject,
    as_success,
    as_warning,
)
from mthook.text import now

_STATUS = "mthook-admin hook status"
_INSTALL, _RENDER = "mthook-admin hook install", "mthook-admin hook render"
_SYNC = "mthook-sync -v"
#: What mends a problem of the hook's installation, where 'hook install' doesn't; None: no command of this host does.
_REMEDIES: dict[ProblemKind, str | None] = {
    "stale_rendered": _RENDER,
    "unanswered": "systemctl enable --now mthook-hookd.socket",
    **dict.fromkeys(
        ("not_executable_rendered", "writable_rendered", "refused", "elsewhere", "not_restarted")
    ),
}
_ENFORCE, _LOOK = "mthook-admin setup --mode enforce", "mthook-admin doctor"
#: Seconds: cron and systemd run mthook-sync every few minutes.
_FRESH = 3600


def check_hook(context: Context) -> list[Finding]:
    """Check what ``mthook-admin hook status`` checks."""
    daemon = guard.out_of_reach(context)
    if daemon is not None:
        return [_out_of_reach(context, daemon)]
    status = guard.hook_status(context)
    if not status.in_force:
        return [_broken(status, one) for one in status.problems]
    problems, facts = [], {"path": status.path, "mode": context.conf.hook.mode}
    if not status.current:
        problems.append(_outdated(status, facts))
    if status.loaded is None:
        problems.append(as_warning("no_daemon", **facts))
    if facts["mode"] != "enforce":
        problems.append(as_warning("not_enforcing", remedy=_ENFORCE, **facts))
    if context.conf.hook.migrate_mismatch == "refuse":
        problems += _about_restores(context)
    return problems or [as_success(**facts)]


def _broken(status: Status, problem: Problem) -> Finding:
    kind = "not_loaded" if status.installed else "not_installed"
    facts = {"path": status.path, "problem": problem.kind, **problem.facts}
    return Finding(kind, Severity.FAILURE, (), facts, _REMEDIES.get(problem.kind, _INSTALL))


def _outdated(status: Status, facts: Facts) -> Finding:
    if Problem("stale_rendered") in status.problems:
        return as_warning("outdated_rendered", remedy=_RENDER, **facts)
    return as_warning("outdated", remedy=_INSTALL, **facts)


def _out_of_reach(context: Context, daemon: Daemon) -> Finding:
    """Tell that no hook installed here is called; the gate does without one."""
    facts: Facts = {"daemon": daemon.name, "pid": str(daemon.pid)}
    if gate.puts_right(context):
        return as_warning("gated", **facts)
    return Finding("out_of_reach", Severity.FAILURE, (), facts, _RENDER)


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
    """Tell whether libvirt really calls the hook; see :func:`.guard.prove`."""
    proof = guard.prove(context, context.guests())
    if proof.reason == "off":
        return [as_warning("switched_off")]
    started = [
        Subject(one.uuid, one.name, {"started_at": one.started_at}) for one in proof.unguarded
    ]
    if started and proof.proven is False:
        return [Finding("not_called", Severity.FAILURE, started, remedy=_STATUS)]
    if guard.out_of_reach(context) is not None:
        return [as_warning("in_container")]
    if proof.proven is False:
        return [as_warning(proof.reason, remedy=_STATUS)]
    if proof.called_at is None:
        return [as_success("not_seen")]
    kind = "called_again" if started else "ok"
    return [as_success(kind, started, called_at=proof.called_at)]
