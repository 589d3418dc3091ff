# SPDX-License-Identifier: Apache-2.0
"""One client's connection through the gate."""

from __future__ import annotations

import asyncio
import enum
import os
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mthook import journal
from mthook.errors import Error
from mthook.gate import calls, errorreply, framing
from mthook.gate.budget import Budget
from mthook.gate.closing import Closer
from mthook.gate.domain_calls import DomainCalls
from mthook.gate.framing import CALL_WITH_FDS, REPLY_WITH_FDS, Frames, Header, Piece
from mthook.gate.identity import Client, Connector, Connectors
from mthook.gate.pipe import Judge, Outgoing, Pipe
from mthook.gate.selecting import Selector
from mthook.gate.worker_client import WorkerClient
from mthook.gate.xdr import Malformed

#: Seconds a message may take from its first byte to its last. Streams may take any time: their bytes don't wait here.
PATIENCE = 60
#: Seconds for a client to finish opening its connection when the gate is told to stop meanwhile.
OPENING = 1
#: Bytes that a client's first call may have when libvirtd can't be reached; a real one has 28.
_MAX_FIRST_CALL = 65536
#: How many of a client's calls and streams are tracked to know whether any is under way: a stream packet costs a client
#: 28 bytes and isn't answered.
_MAX_NOTED = 1000


class State(enum.Enum):
    """How far a connection is."""

    OPENING = "libvirtd hasn't answered yet whether it lets the client in"
    OPEN = "calls go through"
    OPENING_LATE = "the gate stops, but the client may open its connection yet"
    DRAINING = "the gate stops, and the connection ends as soon as no call waits for its answer"
    CLOSED = "both ends are closed"


#: The state that follows once libvirtd has answered.
_ANSWERED = {State.OPENING: State.OPEN, State.OPENING_LATE: State.DRAINING}


class Shared(NamedTuple):
    """What all connections have in common.

    :ivar budget: counts the messages that wait.
    :ivar worker: judges domains.
    """

    loop: asyncio.AbstractEventLoop
    selector: Selector
    budget: Budget
    closer: Closer
    connectors: Connectors
    worker: WorkerClient


class Connection:
    """A client, libvirtd, and what goes between them.

    :param upstream: path of libvirtd's socket.
    :param read_only: libvirtd takes no domains on that socket.
    :param gone: is called once, when all is closed.
    """

    def __init__(
        self,
        shared: Shared,
        sock: socket.socket,
        client: Client,
        upstream: str,
        gone: Callable[[Connection], None],
        *,
        read_only: bool,
    ) -> None:
        self._shared, self._loop, self._budget = shared, shared.loop, shared.budget
        self._sock, self.client, self._upstream, self._gone = sock, client, upstream, gone
        self._calls: set[int] = set()
        self._domain_calls: DomainCalls | None = None
        if not read_only:
            self._domain_calls = DomainCalls(client, shared.worker, self._calls.discard, self.close)
        self._connector: Connector | None = None
        self._server: socket.socket | None = None
        self._pipes: list[Pipe] = []
        self._streams: set[int] = set()
        self._state = State.OPENING
        self._timer: asyncio.TimerHandle | None = None
        self._timed = 0

    @property
    def uid(self) -> int:
        """The client's user id."""
        return self.client.identity.uid

    def connect(self) -> None:
        """Connect to libvirtd in the client's name; what the client writes waits in its socket until then."""
        try:
            self._connector = self._shared.connectors.connect(
                self.client.identity, self._upstream, self._connected
            )
        except (
            Error,
            OSError,
        ) as error:  # there may be no descriptors left for a process of its own
            journal.error(f"{self.client}: {error}")
            self.close()

    def drain(self) -> None:
        """Close as soon as no call waits for its answer; a client may still finish connecting."""
        for pipe in self._pipes:
            pipe.tells = True
        if self._state is State.OPEN:
            self._close_if_idle()
        elif self._state is State.OPENING:
            self._state = State.OPENING_LATE
            self._loop.call_later(OPENING, self._close_if_idle)

    def close(self, reason: str = "") -> None:
        """Close both ends. Only the log is told, and only if there is a reason."""
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        if reason:
            journal.warning(f"{self.client}, cut off: {reason}")
        if self._timer is not None:
            self._timer.cancel()
        if self._domain_calls is not None:
            self._domain_calls.close()
        self._budget.forget(self)
        for pipe in self._pipes:
            pipe.close()
        self._shared.closer.close_socket(self.uid, self._sock)
        if self._server is not None:
            self._server.close()
        if self._connector is not None:
            self._connector.release()
        self._gone(self)

    def _connected(self, server: socket.socket | None, number: int) -> None:
        if self._state is State.CLOSED:
            if server is not None:
                server.close()
        elif server is None:
            self._refuse(number)
        else:
            server.setblocking(False)
            self._server = server
            self._open(server)

    def _refuse(self, number: int) -> None:
        """Answer the first call as libvirt's client library reports a connection that fails."""
        message = f"Failed to connect socket to '{self._upstream}': {os.strerror(number)}"
        journal.info(f"{self.client}: {message}")

        def answer(piece: Piece, outgoing: Outgoing) -> None:
            assert piece.header is not None
            outgoing.answered = True
            outgoing.data = errorreply.reply(
                piece.header,
                message,
                code=errorreply.SYSTEM_ERROR,
                domain=errorreply.FROM_RPC,
                number=number,
            )
            pipe.end()

        frames = Frames(_is_first_call, carriers=(CALL_WITH_FDS,))
        pipe = self._pipe(self._sock, self._sock, frames, self._refused, answer)
        self._pipes = [pipe]
        self._expire(pipe)

    def _refused(self) -> None:
        if self._pipes and self._pipes[0].ended:
            self.close()

    def _open(self, server: socket.socket) -> None:
        domain_calls = self._domain_calls
        wanted = calls.wanted if domain_calls is not None else None
        judge = domain_calls.judge if domain_calls is not None else None
        frames = Frames(wanted, self._sent, (CALL_WITH_FDS,))
        inbound = self._pipe(self._sock, server, frames, self._passed, judge)
        frames = Frames(None, self._received, (REPLY_WITH_FDS,))
        outbound = self._pipe(server, self._sock, frames, self._settle)
        self._pipes = [inbound, outbound]
        inbound.tells = outbound.tells = self._state is State.OPENING_LATE
        if domain_calls is not None:
            domain_calls.begin(inbound, outbound)

    def _pipe(
        self,
        source: socket.socket,
        sink: socket.socket,
        frames: Frames,
        passed: Callable[[], None],
        judge: Judge | None = None,
    ) -> Pipe:
        selector, discard = self._shared.selector, self._discard
        return Pipe(selector, source, sink, frames, discard, self.close, passed, judge)

    def _discard(self, fds: Sequence[int]) -> None:
        """Close descriptors that the client, or libvirtd, has sent."""
        if fds:
            closer = self._shared.closer
            closer.close(self.uid, fds)
            if closer.is_stuck(self.uid):
                self.close("too many file descriptors of its user stay open")

    def _sent(self, header: Header) -> bool:
        if header.kind in (framing.CALL, framing.CALL_WITH_FDS):
            _note(self._calls, header.serial)
            if self._domain_calls is None:
                return False
            if calls.is_open(header):
                self._domain_calls.opens()
            elif calls.wanted(header):
                self._domain_calls.expect()
                self._budget.take(self, header.length)
                return True
        elif header.kind == framing.STREAM:
            _note(self._streams, header.serial)
        return False

    def _received(self, header: Header) -> bool:
        if header.kind in (framing.REPLY, framing.REPLY_WITH_FDS):
            self._calls.discard(header.serial)
            if calls.is_open(header):
                self._state = _ANSWERED.get(self._state, self._state)
            return self._domain_calls is not None and self._domain_calls.answered(header)
        if header.kind == framing.STREAM:
            if header.status == framing.CONTINUE:
                _note(self._streams, header.serial)
            else:
                self._streams.discard(header.serial)
        return False

    def _settle(self) -> None:
        if self._domain_calls is not None:
            self._domain_calls.settle()
        inbound, outbound = self._pipes
        # Once libvirtd has gone, it reads nothing more.
        if outbound.ended and (inbound.ended or not outbound.waiting):
            self.close()
        elif self._state is State.DRAINING:
            self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._state is State.CLOSED:
            return
        self._state = State.DRAINING
        busy = self._calls or self._streams or any(pipe.waiting for pipe in self._pipes)
        if not busy and not any(pipe.frames.incomplete for pipe in self._pipes):
            self.close()

    def _passed(self) -> None:
        pipe = self._pipes[0]
        self._budget.keep(self, pipe.frames.holding)
        self._watch()

    def _watch(self) -> None:
        """Watch over a message that has begun and not ended."""
        pipe = self._pipes[0]
        if pipe.ended or self._state in (State.OPENING_LATE, State.DRAINING):
            self._settle()
        elif self._timer is None and pipe.frames.incomplete and not pipe.frames.streaming:
            self._expire(pipe)

    def _expire(self, pipe: Pipe) -> None:
        self._timed = pipe.frames.count
        self._timer = self._loop.call_later(PATIENCE, self._expired, pipe)

    def _expired(self, pipe: Pipe) -> None:
        self._timer = None
        if pipe.frames.count == self._timed and not pipe.waiting:
            if pipe.frames.incomplete or self._server is None:
                self.close(f"a message isn't complete after {PATIENCE} s")
        elif self._server is not None:
            self._watch()


def _note(serials: set[int], serial: int) -> None:
    if len(serials) < _MAX_NOTED:
        serials.add(serial)


def _is_first_call(header: Header) -> bool:
    if header.length > _MAX_FIRST_CALL:
        raise Malformed(f"a first call of {header.length} bytes")
    return True
