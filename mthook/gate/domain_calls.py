# SPDX-License-Identifier: Apache-2.0
"""What becomes of the calls of one connection that carry a domain."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable

from mthook import journal
from mthook.gate import calls, errorreply
from mthook.gate.framing import Header, Piece
from mthook.gate.identity import Client
from mthook.gate.pipe import Outgoing, Pipe
from mthook.gate.verdict import REFUSE, REWRITE
from mthook.gate.worker_client import WorkerClient
from mthook.gate.xdr import Malformed

#: How many domains of one connection are judged at once; the others wait in their order. As long as they do nothing is
#: read, keepalives neither: where Nova's database is silent, few at once would outlast libvirtd's patience of 30 s.
_AT_ONCE = 32


class DomainCalls:
    """Has the domains of one connection judged.

    :param refused: is given the serial of a call that the gate answers itself.
    :param failed: is called with the description of an internal error.
    :ivar is_open: libvirtd has let the client in. Until then nothing is judged: whom it doesn't let in learns nothing
        about pins, and leaves no history. libvirtd refuses such calls, and no client that follows the protocol makes
        one.
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
        self._waiting: collections.deque[tuple[Header, bytes, calls.Carried, Outgoing]] = (
            collections.deque()
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._read = asyncio.Event()
        self.is_open = self._has_warned = False

    def begin(self, inbound: Pipe, outbound: Pipe) -> None:
        """Take the pipes: the one that the calls come by, and the one for answers."""
        self._inbound, self._outbound = inbound, outbound

    def judge(self, piece: Piece, outgoing: Outgoing) -> None:
        """Decide what goes in a call's place, now or later."""
        assert piece.header is not None
        header, message = piece.header, bytes(piece.data)
        carried = None
        try:
            if self.is_open:
                carried = calls.read(header, message)
        except Malformed as error:
            self._warn(header, error)
        if carried is None:
            outgoing.data = message
            return
        self._waiting.append((header, message, carried, outgoing))
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
            header, message, carried, outgoing = self._waiting.popleft()
            uid = self._client.identity.uid
            answer = await self._worker.ask(carried.xml, carried.call, uid)
            if answer.verdict == REFUSE:
                await self._refuse(header, outgoing, answer.message)
            elif answer.verdict == REWRITE:
                outgoing.data = calls.replace(header, message, carried, answer.xml)
            else:
                outgoing.data = message
            self._inbound.pump()

    async def _refuse(self, header: Header, outgoing: Outgoing, why: str) -> None:
        """Answer in libvirtd's place; who reads no answers gets no further."""
        self._refused(header.serial)
        self._outbound.insert(errorreply.reply(header, why))
        while self._outbound.owes:
            self._read.clear()
            await self._read.wait()
        outgoing.data = b""
        outgoing.answered = True

    def _warn(self, header: Header, error: Malformed) -> None:
        if not self._has_warned:
            self._has_warned = True
            journal.warning(
                f"{self._client}: call {header.procedure} isn't as known: {error}; passed unchanged"
            )

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failed(f"a bug: {task.exception()!r}")
