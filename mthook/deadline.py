# SPDX-License-Identifier: Apache-2.0
"""A limit on how long a block of code may wait, whatever it waits for."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator


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
