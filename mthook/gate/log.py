# SPDX-License-Identifier: Apache-2.0
"""The gate's log: lines on standard error, which systemd takes for the journal with their severity."""

from __future__ import annotations

import os
import sys

from mthook.text import printable

_ERROR, _WARNING, _INFO = 3, 4, 6


def info(message: str) -> None:
    """Log what the gate does."""
    _write(_INFO, message)


def warning(message: str) -> None:
    """Log what an operator may want to look at: a rewrite refused, a client cut off."""
    _write(_WARNING, message)


def error(message: str) -> None:
    """Log what keeps the gate from doing its work."""
    _write(_ERROR, message)


def _write(severity: int, message: str) -> None:
    # sd-daemon(3): the journal takes a severity from the line itself.
    level = f"<{severity}>" if "JOURNAL_STREAM" in os.environ else ""
    line = f"{level}mthook-gate: {printable(message, limit=2000)}\n"
    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except (OSError, ValueError):
        return
