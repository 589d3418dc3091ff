# SPDX-License-Identifier: Apache-2.0
"""The event loop's eye on sockets, with a short way for those that calls and answers come by."""

from __future__ import annotations

import asyncio
import math
import select
import selectors
import time
from collections.abc import Callable

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
#: Sockets to look after in one turn.
_MANY = 64


class Selector(selectors.EpollSelector):
    """asyncio's own, within another one that calls whoever waits for a watched socket by itself.

    What asyncio does between a socket and its reader takes longer than to pass a call on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoll = select.epoll()
        self._epoll.register(self.fileno(), _IN)
        self._readers: dict[int, Callable[[], bool]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        self._masks: dict[int, int] = {}

    def watch(self, fd: int, reader: Callable[[], bool]) -> None:
        """Call somebody whenever there is something to read.

        :param reader: returns whether asyncio may have something to do by what was done; as long as it hasn't, it isn't
            asked.
        """
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
        end = None if timeout is None else time.monotonic() + timeout
        wait = timeout
        while True:
            # epoll counts milliseconds; to wake up too early would be to wake up twice.
            wait = -1 if wait is None else math.ceil(max(wait, 0) * 1000) / 1000
            found = self._epoll.poll(wait, _MANY)
            mine = [fd for fd, events in found if self._call(fd, events)]
            if self.fileno() in mine:
                return super().select(0)
            if mine or not found:
                return []
            wait = None if end is None else end - time.monotonic()

    def _call(self, fd: int, events: int) -> bool:
        """Call who waits for a socket; tell whether asyncio may have something to do by that."""
        if fd not in self._masks:
            return fd == self.fileno()
        # The one may have made the other leave.
        due = False
        try:
            if events & ~_OUT and fd in self._readers:
                due = self._readers[fd]()
            if events & ~_IN and fd in self._writers:
                self._writers[fd]()
                due = True
        except Exception as error:
            context = {"message": "a connection's reader or writer failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            due = True
        return due

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
