# SPDX-License-Identifier: Apache-2.0
"""Is the gate in use, and does it put right what Nova defines?"""

from __future__ import annotations

import os
import time
from urllib.parse import parse_qs, urlsplit

from oslo_config import cfg

from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Facts
from mthook.text import now

#: The answers of :func:`in_use` that mean yes.
_IN_USE = ("gate_configured", "gate_rewrote")
#: Seconds for which a rewrite counts as recent; Nova defines a guest anew at each hard reboot.
_RECENT = 7 * 86400
_SOCKETS = "/proc/net/unix"
#: The flag of a listening socket, in the fourth column (``__SO_ACCEPTCON``).
_LISTENS = 0x10000


def puts_right(context: Context) -> bool:
    """Tell whether each definition gets its pin on the way: the gate is in use, and in mode enforce."""
    return context.conf.hook.mode == "enforce" and in_use(context)[0] in _IN_USE


def in_use(context: Context) -> tuple[str, Facts]:
    """Return whether the gate is in use, and what shows it, best first: kind and facts of a finding."""
    path = str(context.conf.gate.listen)
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
    try:
        with open(_SOCKETS, encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.split(maxsplit=7) for line in file]
    except OSError:
        return False
    named = [row for row in rows[1:] if len(row) == 8]
    listening = [row[7].rstrip("\n") for row in named if int(row[3], 16) & _LISTENS]
    return os.path.realpath(path) in map(os.path.realpath, listening)
