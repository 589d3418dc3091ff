# SPDX-License-Identifier: Apache-2.0
"""Closing what clients gave: sockets, and the descriptors that they sent."""

from __future__ import annotations

import _thread
import collections
import contextlib
import os
import socket
import threading
from collections.abc import Iterable

#: How many descriptors of one user's may wait to be closed, until there are no more connections for that user.
_MOST = 1000


class Closer:
    """Closes in threads, one for each user whose descriptors wait.

    Whoever closes the last descriptor of a file waits for the file: for a socket with unsent data that lingers
    (SO_LINGER, socket(7)), for a file system that a user serves. What lies unread in a closed socket goes with it.
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
        except RuntimeError:  # there are too many: the next time
            self._working.discard(uid)

    def close_socket(self, uid: int, sock: socket.socket) -> None:
        """Close a user's socket; the other side learns of it at once."""
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        self.close(uid, [sock.detach()])

    def is_stuck(self, uid: int) -> bool:
        """Tell whether so many of a user's wait that there shall be no more."""
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
