# SPDX-License-Identifier: Apache-2.0
"""The gate's side of the process that judges domains."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import marshal
import socket
import weakref
from collections.abc import Sequence

from mthook import journal
from mthook.errors import Error
from mthook.gate.spawner import Spawner
from mthook.gate.verdict import Outcome, broken
from mthook.settings import Settings

_PIECE = 1 << 18
#: How many domains of one user are judged at once: each takes descriptors, and where Nova's database has to be asked
#: two processes and a connection to it.
_OF_A_USER = 32
#: How many processes may die until one has looked at a domain.
_TRIES = 10


class WorkerClient:
    """Asks a worker process, and has a new one forked when that is gone.

    :param settings: as they were at the start: where there is no answer they decide.
    :param verbose: have it log the domains that are passed as they are, too.
    """

    def __init__(
        self,
        spawner: Spawner,
        loop: asyncio.AbstractEventLoop,
        files: Sequence[str],
        settings: Settings,
        verbose: bool,
    ) -> None:
        self._spawner = spawner
        self._loop = loop
        self._arguments = (list(files), verbose)
        self._settings = settings
        #: What may hang has shorter limits.
        self._limit = 2 * settings.timeout + 5
        self._control: socket.socket | None = None
        self._waiting: collections.deque[socket.socket] = collections.deque()
        self._turns: weakref.WeakValueDictionary[int, asyncio.Semaphore] = (
            weakref.WeakValueDictionary()
        )

    async def ready(self) -> None:
        """Wait until the process is there and has loaded what it needs."""
        await self._exchange(b"")

    async def ask(self, xml: bytes, call: str, uid: int) -> Outcome:
        """Have a domain judged; who has many judged waits for their own."""
        turns = self._turns.get(uid)
        if turns is None:
            turns = self._turns[uid] = asyncio.Semaphore(_OF_A_USER)
        async with turns:
            return await self._ask(marshal.dumps((xml, call, uid)))

    async def _ask(self, asked: bytes) -> Outcome:
        why = "the worker process died"
        died = 0
        try:
            for _ in range(_TRIES):
                answer = await asyncio.wait_for(self._exchange(asked), self._limit)
                if answer is None:
                    continue  # it died over another's domain
                with contextlib.suppress(EOFError, ValueError, TypeError):
                    return Outcome(*marshal.loads(answer))
                died += 1
                if died == 2:
                    break
        except asyncio.TimeoutError:
            why = f"no answer within {self._limit:.0f} s"
        except Error as error:
            why = str(error)
        except OSError as error:
            why = f"the worker process can't be asked: {error.strerror}"
        return broken(self._settings, why)

    async def end(self) -> None:
        """Let the process end, which first writes down what it hasn't yet."""
        if self._control is not None:
            self._loop.remove_writer(self._control)
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                self._control.shutdown(socket.SHUT_WR)
                await asyncio.wait_for(self._loop.sock_recv(self._control, 1), self._limit)
        self._drop()

    def _drop(self) -> None:
        if self._control is not None:
            self._loop.remove_writer(self._control)
            self._control.close()
            self._control = None

    async def _exchange(self, asked: bytes) -> bytes | None:
        """Send a question; return the answer.

        :return: less than an answer if the process ended over the question; None if it hadn't even read it: the kernel
            tells one from the other.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            self._waiting.append(theirs)
            try:
                self._hand_over()
            except (Error, OSError):
                while self._waiting:
                    self._waiting.popleft().close()
                raise
            try:
                return await self._converse(ours, asked)
            finally:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(theirs)

    async def _converse(self, ours: socket.socket, asked: bytes) -> bytes | None:
        answer = b""
        try:
            await self._loop.sock_sendall(ours, asked)
            ours.shutdown(socket.SHUT_WR)
            while True:
                piece = await self._loop.sock_recv(ours, _PIECE)
                if not piece:
                    return answer
                answer += piece
        except OSError:
            return None

    def _hand_over(self) -> None:
        """Give the process the sockets that wait for it, as many as it takes at once."""
        while self._waiting:
            theirs = self._waiting[0]
            control = self._control or self._fork()
            try:
                socket.send_fds(control, [b"!"], [theirs.fileno()])
            except BlockingIOError:
                self._loop.add_writer(control, self._hand_over)
                return
            except ConnectionError as error:
                journal.error(f"the worker process is gone: {error.strerror}")
                self._drop()
                continue
            theirs.close()
            self._waiting.popleft()
        if self._control is not None:
            self._loop.remove_writer(self._control)

    def _fork(self) -> socket.socket:
        control = self._spawner.fork("mthook.gate.worker", *self._arguments)
        control.setblocking(False)
        self._control = control
        return control
