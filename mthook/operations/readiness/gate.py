# SPDX-License-Identifier: Apache-2.0
"""Is the gate in use, does it judge what passes it, and does it put right what Nova defines?"""

from __future__ import annotations

import os
import time
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from oslo_config import cfg

from mthook.gate import verdict
from mthook.hook import daemons
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Facts, Finding, Severity, as_success
from mthook.text import now, printable

#: The answers of :func:`in_use` that mean yes.
_IN_USE = ("gate_configured", "gate_rewrote")
#: Seconds for which a rewrite counts as recent; Nova defines a guest anew at each hard reboot.
_RECENT = 7 * 86400
_RESTART = "systemctl restart mthook-gate.service"


class Trouble(NamedTuple):
    """What is wrong with a gate that clients are led to.

    :ivar kind: ``bypassed``: it doesn't start, and systemd has led its clients to libvirt's own socket; ``unjudged``:
        it can't judge the domains that pass it; ``down``: it doesn't listen where a configuration file leads clients.
    :ivar text: the same in words, a line.
    """

    kind: str
    text: str


def check(context: Context) -> list[Finding]:
    """Check that clients which are led to the gate get through, and that it judges what they define."""
    path, found = str(context.conf.gate.listen), trouble(context)
    if found is None:
        return [as_success("ok" if _is_listened_on(path) else "unused", socket=path)]
    # Either Nova is cut off, or definitions don't get their pins, which only enforce gives them.
    bad = found.kind == "down" or context.conf.hook.mode == "enforce"
    severity = Severity.FAILURE if bad else Severity.WARNING
    return [Finding(found.kind, severity, (), {"socket": path, "reason": found.text}, _RESTART)]


def trouble(context: Context) -> Trouble | None:
    """Return what is wrong with the gate; ``None``: nothing, or there is none."""
    path = str(context.conf.gate.listen)
    if os.path.islink(path):
        end = printable(os.path.realpath(path))
        text = (
            f"mthook-gate doesn't start: its clients reach {end}, and what they define passes"
            " unjudged"
        )
        return Trouble("bypassed", text)
    if _is_listened_on(path):
        why = printable(verdict.noted(path))
        text = f"mthook-gate can't judge what clients define: {why}"
        return Trouble("unjudged", text) if why else None
    for file in context.files:
        if _leads_to(_connection_uri(file), path):
            text = (
                f"{printable(file)} leads clients to {printable(path)}, where mthook-gate doesn't"
                " listen"
            )
            return Trouble("down", text)
    return None


def judges(context: Context) -> bool | None:
    """Tell whether what clients of the gate define is judged; ``None``: there is no gate."""
    if trouble(context) is not None:
        return False
    return True if _is_listened_on(str(context.conf.gate.listen)) else None


def puts_right(context: Context) -> bool:
    """Tell whether each definition gets its pin on the way: the gate is in use, and in mode enforce."""
    return context.conf.hook.mode == "enforce" and in_use(context)[0] in _IN_USE


def in_use(context: Context) -> tuple[str, Facts]:
    """Return whether the gate is in use, and what shows it, best first: kind and facts of a finding."""
    path, found = str(context.conf.gate.listen), trouble(context)
    if found is not None and found.kind != "down":
        return f"gate_{found.kind}", {"reason": found.text}
    for file in context.files:
        if _leads_to(_connection_uri(file), path):
            return "gate_configured", {"config_file": file}
    at = context.catalog().last_rewrite()
    if at is not None and at >= now(time.time() - _RECENT):
        return "gate_rewrote", {"last_rewrite_at": at}
    # Listening alone puts no start right: perhaps nobody is led to it.
    return ("gate_idle", {"socket": path}) if _is_listened_on(path) else ("gate_unused", {})


def _connection_uri(file: str) -> str:
    """Return what one file says: of several, nova.conf's need not be the last."""
    groups: dict[str, dict[str, list[str]]] = {}
    try:
        cfg.ConfigParser(file, groups).parse()
    except (OSError, cfg.ParseError):
        return ""
    return groups.get("libvirt", {}).get("connection_uri", [""])[-1]


def _leads_to(uri: str, path: str) -> bool:
    try:
        sockets = parse_qs(urlsplit(uri).query).get("socket", [])
    except ValueError:
        return False
    return any(os.path.realpath(one) == os.path.realpath(path) for one in sockets)


def _is_listened_on(path: str) -> bool:
    """Check without connecting, which would be one more client for libvirtd."""
    if not os.path.exists(path):
        return False
    listening = (os.path.realpath(one) for _, one in daemons.listened_on("self"))
    return os.path.realpath(path) in listening
