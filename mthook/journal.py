# SPDX-License-Identifier: Apache-2.0
"""The hook's log: syslog, one line per event, nothing when all is well. Part of the fast path."""

from __future__ import annotations

import os

from mthook.text import printable

SOCKET = "/dev/log"

_DAEMON = 3 << 3  # syslog's facility "daemon", RFC 5424 section 6.2.1
_ERROR, _WARNING, _INFO = 3, 4, 6


def info(message: str) -> None:
    """Log what mthook recorded."""
    _send(_INFO, message)


def warning(message: str) -> None:
    """Log what an operator should look at: drift, a stopped start."""
    _send(_WARNING, message)


def error(message: str) -> None:
    """Log what keeps mthook from doing its work."""
    _send(_ERROR, message)


def _send(severity: int, message: str) -> None:
    """Send one datagram without ever waiting: :func:`syslog.syslog` blocks when the log daemon hangs,

    and a guest would wait with it. A line that can't be sent at once is lost.
    """
    import socket  # here: it costs the hook more than all else, and most calls log nothing

    line = f"<{_DAEMON | severity}>mthook[{os.getpid()}]: {printable(message, limit=1000)}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as log:
            log.connect(SOCKET)
            log.send(line.encode("utf-8", "backslashreplace"))
    except OSError:
        return
