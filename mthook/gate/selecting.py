# SPDX-License-Identifier: Apache-2.0
"""The event loop's eye on sockets, with a short way for those that calls and answers come by."""

from __future__ import annotations

import asyncio
import math
import select
import selectors
from collections.abc import Callable

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
#: Sockets to look after in one turn.
_MANY = 64


class Selector(selectors.EpollSelector):
    """asyncio's own, within another one that calls whoever waits for a watched socket by itself.

    What asyncio does between a socket and its reader takes longer than to hand a call on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoll = select.epoll()
        self._epoll.register(self.fileno(), _IN)
        self._readers: dict[int, Callable[[], None]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        self._masks: dict[int, int] = {}

    def watch(self, fd: int, reader: Callable[[], None]) -> None:
        """Call somebody whenever there is something to read."""
        self._readers[fd] = reader
        self._set(fd)

    def forget(self, fd: int) -> None:
        """Call nobody who reads any more."""
        del self._readers[fd]
        self._set(fd)

    def watch_room(self, fd: int, writer: Callable[[], None]) -> None:
        """Call somebody whenever something can be written."""
        self._writers[fd] = writer
        self._set(fd)

    def forget_room(self, fd: int) -> None:
        """Call nobody who writes any more."""
        del self._writers[fd]
        self._set(fd)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait, call who is to be called, and return what is asyncio's."""
        ready: list[tuple[selectors.SelectorKey, int]] = []
        # epoll counts milliseconds; to wake up too early would be to wake up twice.
        wait = -1 if timeout is None else math.ceil(max(timeout, 0) * 1000) / 1000
        for fd, events in self._epoll.poll(wait, _MANY):
            if fd not in self._masks:
                ready = super().select(0) if fd == self.fileno() else ready
                continue
            # The one may have made the other leave.
            if events & ~_OUT and fd in self._readers:
                _call(self._readers[fd])
            if events & ~_IN and fd in self._writers:
                _call(self._writers[fd])
        return ready

    def close(self) -> None:
        """Stop watching."""
        self._epoll.close()
        super().close()

    def _set(self, fd: int) -> None:
        mask = (_IN if fd in self._readers else 0) | (_OUT if fd in self._writers else 0)
        before = self._masks.pop(fd, 0)
        if mask:
            self._masks[fd] = mask
            change = self._epoll.modify if before else self._epoll.register
            change(fd, mask)
        elif before:
            self._epoll.unregister(fd)


def _call(who: Callable[[], None]) -> None:
    try:
        who()
    except Exception as error:
        context = {"message": "a connection's reader or writer failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
