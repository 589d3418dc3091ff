# SPDX-License-Identifier: Apache-2.0
"""The event loop's selector, with a shortcut for the sockets that carry calls and answers."""

from __future__ import annotations

import asyncio
import math
import select
import selectors
import time
from collections.abc import Callable

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
#: Sockets to handle in one turn.
_MANY = 64


class Selector(selectors.EpollSelector):
    """asyncio's selector, inside one that calls the readers and writers of watched sockets itself.

    What asyncio does between a socket and its reader takes longer than passing a call on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoll = select.epoll()
        self._epoll.register(self.fileno(), _IN)
        self._readers: dict[int, Callable[[], bool]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        self._masks: dict[int, int] = {}

    def watch(self, fd: int, reader: Callable[[], bool]) -> None:
        """Call a function whenever there is something to read.

        :param reader: returns whether its work may have left asyncio something to do; until then asyncio isn't asked.
        """
        self._readers[fd] = reader
        self._set(fd)

    def forget(self, fd: int) -> None:
        """Stop calling a socket's reader."""
        del self._readers[fd]
        self._set(fd)

    def watch_room(self, fd: int, writer: Callable[[], None]) -> None:
        """Call a function whenever something can be written."""
        self._writers[fd] = writer
        self._set(fd)

    def forget_room(self, fd: int) -> None:
        """Stop calling a socket's writer."""
        del self._writers[fd]
        self._set(fd)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait, make the calls that are due, and return asyncio's own events."""
        end = None if timeout is None else time.monotonic() + timeout
        wait = timeout
        while True:
            # epoll counts milliseconds; waking up too early would mean waking up twice.
            wait = -1 if wait is None else math.ceil(max(wait, 0) * 1000) / 1000
            found = self._epoll.poll(wait, _MANY)
            mine = [fd for fd, events in found if self._call(fd, events)]
            if self.fileno() in mine:
                return super().select(0)
            if mine or not found:
                return []
            wait = None if end is None else end - time.monotonic()

    def _call(self, fd: int, events: int) -> bool:
        """Call whatever waits for a socket; tell whether asyncio may now have something to do."""
        if fd not in self._masks:
            return fd == self.fileno()
        # The reader may have made the writer leave.
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
