# SPDX-License-Identifier: Apache-2.0
"""Who a client is, and connections to libvirtd in that client's name."""

from __future__ import annotations

import array
import asyncio
import collections
import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

from mthook.gate.spawner import Spawner

_SO_PEERGROUPS = 59
#: The most that Python reads of a socket option, in bytes: 256 groups.
_OPTION_LIMIT = 1024
_CREDENTIALS = struct.Struct("3i")

#: Gets the connection, or None and an error number.
Connected = Callable[["socket.socket | None", int], None]


class Identity(NamedTuple):
    """What access to libvirtd's socket, and libvirtd itself, go by."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def of_client(client: socket.socket) -> tuple[Identity, int]:
    """Return who a client was when it connected, and its process id.

    :raises OSError: the kernel doesn't say; a client in more than 256 groups is one of these cases.
    """
    raw = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    groups = array.array("I")
    groups.frombytes(client.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _OPTION_LIMIT))
    return Identity(uid, gid, tuple(sorted(groups))), pid


class Connectors:
    """Connector processes, one for each identity that has a connection."""

    def __init__(self, spawner: Spawner, loop: asyncio.AbstractEventLoop) -> None:
        self._spawner = spawner
        self._loop = loop
        self._all: dict[Identity, Connector] = {}

    def connect(self, identity: Identity, path: str, done: Connected) -> Connector:
        """Connect to a socket in a client's name.

        :return: to be told, by :meth:`Connector.release`, when the connection isn't used any more.
        :raises Error: no process can be forked.
        """
        connector = self._all.get(identity)
        if connector is None or connector.ended:
            control = self._spawner.fork(
                "mthook.gate.connector", identity.uid, identity.gid, list(identity.groups)
            )
            connector = Connector(control, self._loop, lambda: self._forget(identity))
            self._all[identity] = connector
        connector.ask(path, done)
        return connector

    def _forget(self, identity: Identity) -> None:
        connector = self._all.get(identity)
        if connector is not None and connector.ended:
            del self._all[identity]


class Connector:
    """The gate's side of one connector process.

    :ivar ended: it can't be asked any more.
    """

    def __init__(
        self, control: socket.socket, loop: asyncio.AbstractEventLoop, forget: Callable[[], None]
    ) -> None:
        control.setblocking(False)
        self._control = control
        self._loop = loop
        self._forget = forget
        self._waiting: collections.deque[tuple[str, Connected]] = collections.deque()
        self._uses = 0
        self.ended = False
        loop.add_reader(control, self._answered)

    def ask(self, path: str, done: Connected) -> None:
        """Ask for a connection; the answers come in the order of the questions."""
        self._uses += 1
        self._waiting.append((path, done))
        if len(self._waiting) == 1:
            self._send()

    def release(self) -> None:
        """Say that one connection less is in use; with the last one the process ends."""
        self._uses -= 1
        if self._uses == 0:
            self._end()

    def _send(self) -> None:
        # One question at a time: a socket of this kind takes but a few messages at once.
        try:
            self._control.send(os.fsencode(self._waiting[0][0]))
        except OSError:
            self._end()

    def _answered(self) -> None:
        try:
            answer, fds, _, _ = socket.recv_fds(self._control, 64, 1)
        except BlockingIOError:
            return
        except OSError:
            answer, fds = b"", []
        if not answer or not self._waiting:
            for fd in fds:
                os.close(fd)
            self._end()
            return
        _, done = self._waiting.popleft()
        if self._waiting:
            self._send()
        connection = socket.socket(fileno=fds[0]) if fds else None
        done(connection, int(answer) or (0 if fds else errno.EMFILE))

    def _end(self) -> None:
        """Let go of the process. Connections that it made go on."""
        if self.ended:
            return
        self.ended = True
        self._loop.remove_reader(self._control)
        self._control.close()
        self._forget()
        while self._waiting:
            self._waiting.popleft()[1](None, errno.ECONNABORTED)
