# SPDX-License-Identifier: Apache-2.0
"""Who a client is, and connections to libvirtd in that client's name."""

from __future__ import annotations

import array
import asyncio
import collections
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

from mthook.errors import Error
from mthook.gate.spawner import Spawner

_SO_PEERGROUPS = 59
#: The most that Python reads of a socket option, in bytes: 256 groups.
_OPTION_LIMIT = 1024
_CREDENTIALS = struct.Struct("iII")
#: No user and no group; to the system calls that change one it means "leave it as it is", which here is root.
_NOBODY = 0xFFFFFFFF
#: How many of a user's processes may be slow to end before that user gets no new ones. Users may stop these processes
#: (SIGSTOP), and without a limit could use up everything that the gate may have.
_MAX_LEAVING = 16

#: Gets the connection, or None and an error number.
Connected = Callable[["socket.socket | None", int], None]


class Identity(NamedTuple):
    """What decides about access, both to libvirtd's socket and within libvirtd."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class Client(NamedTuple):
    """Who is at the other end."""

    identity: Identity
    pid: int

    def __str__(self) -> str:
        return f"client uid {self.identity.uid}, process {self.pid}"


def of_client(client: socket.socket) -> Client:
    """Return who a client was when it connected.

    :raises OSError: the kernel doesn't say; a client in more than 256 groups is one of these cases.
    :raises Error: the kernel says that it is nobody.
    """
    raw = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    if _NOBODY in (uid, gid):
        raise Error("it has no user or no group")
    groups = array.array("I")
    groups.frombytes(client.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _OPTION_LIMIT))
    return Client(Identity(uid, gid, tuple(sorted(groups))), pid)


class Connectors:
    """Connector processes, one for each identity that has a connection."""

    def __init__(self, spawner: Spawner, loop: asyncio.AbstractEventLoop) -> None:
        self._spawner = spawner
        self._loop = loop
        self._all: dict[Identity, Connector] = {}
        self._leaving: collections.Counter[int] = collections.Counter()

    def connect(self, identity: Identity, path: str, done: Connected) -> Connector:
        """Connect to a socket in a client's name.

        :return: the connector; call :meth:`Connector.release` when the connection isn't used any more.
        :raises Error: no process can be forked, or too many of this user's don't end.
        """
        connector = self._all.get(identity)
        if connector is None or connector.ended:
            if self._leaving[identity.uid] >= _MAX_LEAVING:
                raise Error(f"{_MAX_LEAVING} processes of this user don't end")
            control = self._spawner.fork(
                "mthook.gate.connector", identity.uid, identity.gid, list(identity.groups)
            )
            connector = Connector(
                control,
                self._loop,
                lambda: self._leaves(identity),
                lambda: self._gone(identity.uid),
            )
            self._all[identity] = connector
        connector.ask(path, done)
        return connector

    def _leaves(self, identity: Identity) -> None:
        self._leaving[identity.uid] += 1
        connector = self._all.get(identity)
        if connector is not None and connector.ended:
            del self._all[identity]

    def _gone(self, uid: int) -> None:
        self._leaving[uid] -= 1
        if not self._leaving[uid]:
            del self._leaving[uid]


class Connector:
    """The gate's side of one connector process.

    :param leaves: is called when it can't be asked any more.
    :param gone: is called after that, when the process is gone.
    :ivar ended: it can't be asked any more.
    """

    def __init__(
        self,
        control: socket.socket,
        loop: asyncio.AbstractEventLoop,
        leaves: Callable[[], None],
        gone: Callable[[], None],
    ) -> None:
        control.setblocking(False)
        self._control = control
        self._loop = loop
        self._leaves, self._gone = leaves, gone
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
        # One question at a time: a socket of this kind holds only a few messages.
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
            if not answer:
                self._loop.remove_reader(self._control)
                self._control.close()
                self._gone()
            return
        _, done = self._waiting.popleft()
        if self._waiting:
            self._send()
        connection = socket.socket(fileno=fds[0]) if fds else None
        done(connection, int(answer) or (0 if fds else errno.EMFILE))

    def _end(self) -> None:
        """Let go of the process, which ends then. Connections that it made go on."""
        if self.ended:
            return
        self.ended = True
        with contextlib.suppress(OSError):  # it has ended by itself
            self._control.shutdown(socket.SHUT_WR)
        self._leaves()
        while self._waiting:
            self._waiting.popleft()[1](None, errno.ECONNABORTED)
