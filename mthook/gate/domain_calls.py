# SPDX-License-Identifier: Apache-2.0
"""What becomes of the calls of one connection that carry a domain."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable

from mthook.gate import calls, errorreply, framing
from mthook.gate.framing import Header, Piece
from mthook.gate.history import Rewrite
from mthook.gate.identity import Client
from mthook.gate.pipe import Outgoing, Pipe
from mthook.gate.verdict import REFUSE, REWRITE, Outcome
from mthook.gate.worker_client import WorkerClient
from mthook.gate.xdr import Malformed

#: How many domains of one connection are judged at once; the others wait in their order. While any waits, nothing is
#: read, not even keepalives: with too few at once, a silent Nova database would outlast libvirtd's patience of 30 s.
_AT_ONCE = 32


class DomainCalls:
    """Has the domains of one connection judged.

    :param refused: is called with the serial of a call that the gate answers itself.
    :param failed: is called with the description of an internal error.
    :ivar is_open: libvirtd has let the client in. Calls that come earlier wait for its answer; unless that is yes, they
        are answered as libvirtd would: a client that isn't let in learns nothing about pins, and nothing passes
        unjudged because libvirtd handles several calls at once.
    """

    def __init__(
        self,
        client: Client,
        worker: WorkerClient,
        refused: Callable[[int], None],
        failed: Callable[[str], None],
    ) -> None:
        self._client, self._worker = client, worker
        self._refused, self._failed = refused, failed
        self._waiting: collections.deque[tuple[Piece, int, Outgoing]] = collections.deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._read, self._has_answered = asyncio.Event(), asyncio.Event()
        #: How often the client has asked to be let in and was answered; and how often it had asked before each call.
        self._opens = self._answers = 0
        self._opens_before: collections.deque[int] = collections.deque()
        #: What to write down once libvirtd has carried out a call, by serial.
        self._rewrites: dict[int, list[Rewrite]] = {}
        self.is_open = False

    def begin(self, inbound: Pipe, outbound: Pipe) -> None:
        """Take the pipes: the one that the calls come by, and the one for answers."""
        self._inbound, self._outbound = inbound, outbound

    def opens(self) -> None:
        """Notice that the client asks to be let in."""
        self._opens += 1

    def expect(self) -> None:
        """Notice that a call begins which will be given to :meth:`judge`."""
        self._opens_before.append(self._opens)

    def answered(self, header: Header) -> bool:
        """Notice an answer from libvirtd; tell whether somebody waits for it."""
        if calls.is_open(header):
            self._answers += 1
            self.is_open = self.is_open or header.status == framing.OK
            self._has_answered.set()
            return True
        if header.serial not in self._rewrites:
            return False
        rewrites = self._rewrites[header.serial]
        if header.status == framing.OK:
            self._worker.keep(rewrites[0])
        del rewrites[0]
        if not rewrites:
            del self._rewrites[header.serial]
        return True

    def judge(self, piece: Piece, outgoing: Outgoing) -> None:
        """Decide what goes in a call's place, sooner or later."""
        self._waiting.append((piece, self._opens_before.popleft(), outgoing))
        if len(self._tasks) < _AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def settle(self) -> None:
        """Notice that the client has read something."""
        self._read.set()

    def close(self) -> None:
        """Stop; nobody waits for a verdict any more."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()

    async def _work(self) -> None:
        while self._waiting:
            piece, opens, outgoing = self._waiting.popleft()
            assert piece.header is not None
            if await self._is_let_in(opens):
                await self._decide(piece.header, bytes(piece.data), outgoing)
            else:
                await self._answer(outgoing, piece.header, errorreply.not_open(piece.header))
            self._inbound.pump()

    async def _is_let_in(self, opens: int) -> bool:
        """Wait until libvirtd has let the client in, or has answered that many requests with no."""
        while not self.is_open and self._answers < opens:
            self._has_answered.clear()
            await self._has_answered.wait()
        return self.is_open

    async def _decide(self, header: Header, message: bytes, outgoing: Outgoing) -> None:
        uid = self._client.identity.uid
        try:
            carried = calls.read(header, message)
        except Malformed as error:
            carried = None
            what = f"call {header.procedure} of {self._client} has an unexpected form: {error}"
            outcome = self._worker.unknown(what)
        else:
            outcome = Outcome()
            if carried is not None:
                outcome = await self._worker.ask(carried.xml, carried.call, uid)
        if outcome.verdict == REFUSE:
            await self._answer(outgoing, header, errorreply.reply(header, outcome.message))
        elif outcome.verdict == REWRITE and carried is not None:
            outgoing.data = calls.replace(header, message, carried, outcome.xml)
            rewrite = Rewrite.of(outcome, f"gate uid {uid}", carried.call)
            self._rewrites.setdefault(header.serial, []).append(rewrite)
        else:
            outgoing.data = message

    async def _answer(self, outgoing: Outgoing, header: Header, answer: bytes) -> None:
        """Answer in libvirtd's place; a client that doesn't read its answers gets no further."""
        self._refused(header.serial)
        self._outbound.insert(answer)
        while self._outbound.owes:
            self._read.clear()
            await self._read.wait()
        outgoing.data = b""
        outgoing.answered = True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failed(f"a bug: {task.exception()!r}")
