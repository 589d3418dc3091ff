# SPDX-License-Identifier: Apache-2.0
"""What a service tells systemd (sd_notify(3)). Without systemd nothing happens."""

from __future__ import annotations

import os
import socket


def tell(state: str) -> None:
    """Tell systemd something, such as ``READY=1``."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
            manager.sendto(state.encode(), address)
    except OSError:
        return


def watchdog_seconds() -> float | None:
    """Return how often systemd wants to hear of us at least, None where it doesn't."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    limit = os.environ.get("WATCHDOG_USEC", "")
    return int(limit) / 1_000_000 / 2 if limit.isdigit() and int(limit) else None
