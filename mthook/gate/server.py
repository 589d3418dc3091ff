# SPDX-License-Identifier: Apache-2.0
"""The gate's sockets and connections, from READY to the last call's end."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import errno
import os
import resource
import signal
import socket
from collections.abc import Sequence

from mthook import journal
from mthook.errors import Error
from mthook.gate import identity
from mthook.gate.budget import Budget
from mthook.gate.closing import Closer
from mthook.gate.configuration import Configuration
from mthook.gate.connection import Connection, Shared
from mthook.gate.identity import Connectors
from mthook.gate.listening import Listener
from mthook.gate.selecting import Selector
from mthook.gate.spawner import Spawner
from mthook.gate.worker_client import WorkerClient
from mthook.text import cause

#: The most clients at once, as libvirtd's ``max_clients``; others wait in the queue of the socket.
MAX_CLIENTS = 5000
#: Seconds that calls may take to end once the gate is told to stop.
DRAIN_SECONDS = 10
#: The owner of descriptors from clients that couldn't be identified.
_UNKNOWN = -1
#: How many clients are let in before those already in get a turn.
_AT_ONCE = 16
#: Seconds until the next try when the system had no resources left for another client.
_PAUSE = 1


class State(enum.Enum):
    """Whether clients are let in."""

    PAUSED = "not before the gate has begun, or has room for more"
    ACCEPTING = "yes"
    STOPPING = "not any more"


class Server:
    """The part of the gate that runs in its main process.

    :param verbose: also log the domains that pass unchanged.
    """

    def __init__(
        self,
        spawner: Spawner,
        configuration: Configuration,
        listeners: Sequence[Listener],
        *,
        verbose: bool,
    ) -> None:
        self._spawner = spawner
        self._configuration, self._verbose = configuration, verbose
        self._listeners = list(listeners)
        self._connections: set[Connection] = set()
        self._state = State.PAUSED
        self._failed = False

    def serve(self) -> bool:
        """Serve clients until SIGTERM or SIGINT; return False if something else ended it."""
        selector = Selector()
        loop = asyncio.SelectorEventLoop(selector)
        try:
            return loop.run_until_complete(self._serve(selector))
        finally:
            loop.close()

    async def _serve(self, selector: Selector) -> bool:
        self._loop = asyncio.get_running_loop()
        self._empty = asyncio.Event()
        _raise_limit()
        self._worker = WorkerClient(self._spawner, self._loop, self._configuration, self._verbose)
        self._closer = Closer()
        self._shared = Shared(
            self._loop,
            selector,
            Budget(self._loop),
            self._closer,
            Connectors(self._spawner, self._loop),
            self._worker,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop)
        # "Reload the configuration": each domain reads it anyway, and nobody needs to be cut off for that.
        self._loop.add_signal_handler(signal.SIGHUP, lambda: None)
        self._spawner.watch(self._loop, self._spawner_ended)
        await self._worker.ready()
        self._accept_more()
        _tell_systemd("READY=1")
        self._watchdog(_watchdog_seconds())
        for listener in self._listeners:
            journal.info(f"listening on {listener.sock.getsockname()} for {listener.upstream}")
        await self._empty.wait()
        await self._worker.end()
        return not self._failed

    def _accept_more(self) -> None:
        if self._state is State.PAUSED:
            self._state = State.ACCEPTING
            for listener in self._listeners:
                listener.sock.setblocking(False)
                self._loop.add_reader(listener.sock, self._accept, listener)

    def _accept_no_more(self) -> None:
        if self._state is State.ACCEPTING:
            self._state = State.PAUSED
            for listener in self._listeners:
                self._loop.remove_reader(listener.sock)

    def _accept(self, listener: Listener) -> None:
        for _ in range(_AT_ONCE):
            if len(self._connections) >= MAX_CLIENTS:
                journal.warning(f"{MAX_CLIENTS} clients are connected, others have to wait")
                self._accept_no_more()
                return
            try:
                sock, _ = listener.sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                journal.error(f"new clients have to wait: {cause(error)}")
                self._accept_no_more()
                self._loop.call_later(_PAUSE, self._accept_more)
                return
            self._let_in(sock, listener)

    def _let_in(self, sock: socket.socket, listener: Listener) -> None:
        sock.setblocking(False)
        try:
            client = identity.of_client(sock)
        except OSError as error:
            why = "in too many groups" if error.errno == errno.ERANGE else cause(error)
            self._turn_away(sock, why)
            return
        except Error as error:
            self._turn_away(sock, str(error))
            return
        if self._closer.is_stuck(client.identity.uid):
            self._turn_away(sock, "too many file descriptors of its user stay open")
            return
        connection = Connection(
            self._shared, sock, client, listener.upstream, self._gone, read_only=listener.read_only
        )
        self._connections.add(connection)
        connection.connect()

    def _turn_away(self, sock: socket.socket, why: str | None) -> None:
        self._closer.close_socket(_UNKNOWN, sock)
        journal.warning(f"a client is turned away: {why}")

    def _gone(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._state is State.STOPPING:
            if not self._connections:
                self._empty.set()
        elif len(self._connections) < MAX_CLIENTS:
            self._accept_more()

    def _stop(self) -> None:
        """Let no more clients in, and let the others go as soon as their calls are answered."""
        if self._state is State.STOPPING:
            return
        _tell_systemd("STOPPING=1")
        self._accept_no_more()
        self._state = State.STOPPING
        for listener in self._listeners:
            self._closer.close(_UNKNOWN, [listener.sock.detach()])
            if listener.path is not None:
                with contextlib.suppress(OSError):
                    os.unlink(listener.path)
        journal.info(f"stopping, {len(self._connections)} clients are connected")
        for connection in list(self._connections):
            connection.drain()
        self._loop.call_later(DRAIN_SECONDS, self._stop_now)
        if not self._connections:
            self._empty.set()

    def _stop_now(self) -> None:
        for connection in list(self._connections):
            connection.close(f"the gate stops, and its calls take longer than {DRAIN_SECONDS} s")

    def _spawner_ended(self) -> None:
        journal.error("the gate's helper processes are gone")
        self._failed = True
        self._stop()

    def _watchdog(self, seconds: float | None) -> None:
        if seconds is not None:
            _tell_systemd("WATCHDOG=1")
            self._loop.call_later(seconds, self._watchdog, seconds)


def _raise_limit() -> None:
    """Raise the limit on descriptors as far as it goes: a client takes two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _tell_systemd(state: str) -> None:
    """Tell systemd something, such as ``READY=1`` (sd_notify(3)); without systemd nothing happens."""
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


def _watchdog_seconds() -> float | None:
    """Return how many seconds to leave between two reports to systemd, None if it wants none."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    limit = os.environ.get("WATCHDOG_USEC", "")
    return int(limit) / 1_000_000 / 2 if limit.isdigit() and int(limit) else None
