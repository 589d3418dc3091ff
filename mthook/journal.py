# SPDX-License-Identifier: Apache-2.0
"""mthook's log: one line per event, nothing when all is well. Part of the hook's fast path.

Lines go to syslog; those of a service go to standard error, which systemd takes for the journal.
"""

from __future__ import annotations

import os
import sys

from mthook.text import printable

SOCKET = "/dev/log"

_DAEMON = 3 << 3  # syslog's facility "daemon", RFC 5424 section 6.2.1
_ERROR, _WARNING, _INFO = 3, 4, 6

#: The service that this process belongs to, '' for none.
_service = ""
_verbose = False


def serve(name: str, *, verbose: bool = False) -> None:
    """Log as a service from now on.

    :param verbose: log details, too.
    """
    global _service, _verbose
    _service, _verbose = name, verbose


def detail(message: str) -> None:
    """Log a detail: only a service that was asked for details logs it."""
    if _verbose:
        _log(_INFO, message)


def info(message: str) -> None:
    """Log what mthook did."""
    _log(_INFO, message)


def warning(message: str) -> None:
    """Log what an operator should look at: drift, a stopped start, a client cut off."""
    _log(_WARNING, message)


def error(message: str) -> None:
    """Log what keeps mthook from doing its work."""
    _log(_ERROR, message)


def _log(severity: int, message: str) -> None:
    text = printable(message, limit=2000)
    if not _service:
        _send(f"<{_DAEMON | severity}>mthook[{os.getpid()}]: {text}")
    else:
        # sd-daemon(3): the journal takes a severity from the line itself.
        level = f"<{severity}>" if "JOURNAL_STREAM" in os.environ else ""
        _write(f"{level}{_service}: {text}")


def _send(line: str) -> None:
    """Send one datagram without ever waiting; a line that can't be sent at once is lost.

    :func:`syslog.syslog` blocks when the log daemon hangs, and a guest would wait with it.
    """
    import socket  # here: it costs the hook more than anything else, and most calls log nothing

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as log:
            log.connect(SOCKET)
            log.send(line.encode("utf-8", "backslashreplace"))
    except OSError:
        return


def _write(line: str) -> None:
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return
