# SPDX-License-Identifier: Apache-2.0
"""Can the hook stop a start of Nova's that nothing on the way, such as the gate, would have put right?"""

from __future__ import annotations

import os
import time
from urllib.parse import parse_qs, urlsplit

from oslo_config import cfg

from mthook import conf as configuration
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Facts, Finding, Subject, as_success, as_warning
from mthook.text import now

#: The answers of :func:`_use_of_gate` that mean yes.
_IN_USE = ("gate_configured", "gate_rewrote")
#: Seconds that a rewrite counts as recent; Nova defines a guest anew at each hard reboot.
_RECENT = 7 * 86400
_SOCKETS = "/proc/net/unix"
#: Of a socket that is listened on, in the fourth column (``__SO_ACCEPTCON``).
_LISTENS = 0x10000


def check(context: Context) -> list[Finding]:
    """Look whether what Nova defines is right: Nova knows the pins, or the gate puts them in on the way."""
    guests = [Subject(guest.uuid, guest.name) for guest in context.guests() if guest.nova]
    if not guests:
        return [as_success("no_nova_guests")]
    use, facts = _use_of_gate(context)
    return [_protection(context, guests, gated=use in _IN_USE), as_success(use, **facts)]


def _protection(context: Context, guests: list[Subject], *, gated: bool) -> Finding:
    """Return what keeps starts of Nova's guests from being stopped, or that nothing does."""
    conf, has_nova = context.conf, configuration.has_nova(context.conf)
    if conf.hook.mode != "enforce":
        return as_success("not_enforcing", guests, mode=conf.hook.mode)
    if has_nova and conf.sync.write_back:
        return as_success("written_back", guests)
    if gated:
        return as_success("gated", guests)
    return as_warning("not_written_back" if has_nova else "no_database", guests)


def _use_of_gate(context: Context) -> tuple[str, Facts]:
    """Return whether the gate is in use, and what shows it, best first: kind and facts of a finding."""
    path = str(context.conf.gate.listen)
    for file in context.files:
        if _leads_to(_connection_uri(file), path):
            return "gate_configured", {"config_file": file}
    at = context.catalog().last_rewrite()
    if at is not None and at >= now(time.time() - _RECENT):
        return "gate_rewrote", {"last_rewrite_at": at}
    # One to which nobody may be sent alone puts no start right.
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
    """Look without connecting: that would be one more client of libvirtd's."""
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
