# SPDX-License-Identifier: Apache-2.0
"""How long to wait: a limit for a block of code, whatever it waits for, and a moment for another writer."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Iterator


def give_way() -> None:
    """Wait a moment before a write that lost against another writer's is tried again.

    On a Galera node the write that won may not be there yet, and two writers that retry at once meet again: the
    moment is random.
    """
    time.sleep(random.uniform(0.01, 0.1))


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Interrupt the block when its time is up: if a database trickles bytes, each wait is short.

    Only the main thread can be interrupted; mthook asks from no other.

    :raises TimeoutError: the time is up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(*_: object) -> None:
        raise TimeoutError(f"no complete answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    # Repeated every second: an interruption inside a finalizer gets lost.
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    begun = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(
                signal.ITIMER_REAL, max(left - (time.monotonic() - begun), 0.001), interval
            )
