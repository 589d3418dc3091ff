# SPDX-License-Identifier: Apache-2.0
"""Closing what came from clients: sockets, and the descriptors sent over them."""

from __future__ import annotations

import _thread
import collections
import contextlib
import os
import socket
import threading
from collections.abc import Iterable

#: How many of a user's descriptors may wait to be closed before that user gets no more connections.
_MOST = 1000


class Closer:
    """Closes descriptors in threads, one for each user whose descriptors wait.

    Closing the last descriptor of a file can block: on a socket that lingers with unsent data (SO_LINGER, socket(7)),
    or on a file system that a user serves. Whatever lies unread in a closed socket is closed with it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, collections.deque[int]] = {}
        self._working: set[int] = set()

    def close(self, uid: int, fds: Iterable[int]) -> None:
        """Close a user's descriptors, sooner or later."""
        with self._lock:
            self._waiting.setdefault(uid, collections.deque()).extend(fds)
            if uid in self._working:
                return
            self._working.add(uid)
        try:
            _thread.start_new_thread(self._work, (uid,))
        except RuntimeError:  # too many threads: the next call tries again
            self._working.discard(uid)

    def close_socket(self, uid: int, sock: socket.socket) -> None:
        """Close a user's socket; the other side learns of it at once."""
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        self.close(uid, [sock.detach()])

    def is_stuck(self, uid: int) -> bool:
        """Tell whether so many of a user's descriptors wait that no more may be added."""
        return len(self._waiting.get(uid, ())) > _MOST

    def _work(self, uid: int) -> None:
        while True:
            with self._lock:
                waiting = self._waiting[uid]
                if not waiting:
                    del self._waiting[uid]
                    self._working.discard(uid)
                    return
                fd = waiting.popleft()
            with contextlib.suppress(OSError):
                os.close(fd)
