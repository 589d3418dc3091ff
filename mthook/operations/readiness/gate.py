# SPDX-License-Identifier: Apache-2.0
"""Is the gate on the way from libvirt's clients to libvirtd?"""

from __future__ import annotations

import os
import time
from urllib.parse import parse_qs, urlsplit

from oslo_config import cfg

from mthook.operations.readiness.sources import Sources
from mthook.text import now, printable

#: Seconds that a rewrite counts as recent; Nova defines a guest anew at each hard reboot.
_RECENT = 7 * 86400
_SOCKETS = "/proc/net/unix"
#: Of a socket that is listened on, in the fourth column (``__SO_ACCEPTCON``).
_LISTENS = 0x10000


def evidence(sources: Sources) -> str | None:
    """Return what shows that the gate is in use, best first; None: nothing does.

    :raises CatalogError: the catalog can't be used.
    """
    path = str(sources.conf.gate.listen)
    for file in sources.files:
        if _leads_to(_connection_uri(file), path):
            return f"{printable(file)} has its socket in [libvirt] connection_uri"
    at = sources.catalog().last_rewrite()
    if at is not None and at >= now(time.time() - _RECENT):
        return f"it rewrote a domain at {at.partition('.')[0]}Z"
    return None


def is_idle(sources: Sources) -> bool:
    """Tell whether a gate listens that nobody may be sent to: that alone puts no start right."""
    return _is_listened_on(str(sources.conf.gate.listen))


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
    names = {os.path.realpath(row[7].rstrip("\n")) for row in rows[1:] if _listens(row)}
    return os.path.realpath(path) in names


def _listens(row: list[str]) -> bool:
    return len(row) == 8 and bool(int(row[3], 16) & _LISTENS)
