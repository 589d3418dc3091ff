# SPDX-License-Identifier: Apache-2.0
"""The gate's side of the process that judges domains."""

from __future__ import annotations

import asyncio
import collections
import marshal
import socket
from collections.abc import Sequence

from mthook.catalog.records import HookPolicy
from mthook.errors import Error
from mthook.gate import log
from mthook.gate.spawner import Spawner
from mthook.gate.verdict import Outcome, broken

_PIECE = 1 << 18


class Worker:
    """Asks a worker process, and has a new one forked when that is gone.

    :param policy: the configuration as it was at the start: where there is no answer it decides.
    """

    def __init__(
        self,
        spawner: Spawner,
        loop: asyncio.AbstractEventLoop,
        files: Sequence[str],
        policy: HookPolicy,
    ) -> None:
        self._spawner = spawner
        self._loop = loop
        self._files = list(files)
        self._policy = policy
        #: What may hang has shorter limits.
        self._limit = 2 * policy.timeout + 5
        self._control: socket.socket | None = None
        self._waiting: collections.deque[socket.socket] = collections.deque()

    async def ready(self) -> None:
        """Wait until the process is there and has loaded what it needs."""
        await self._exchange(b"")

    async def ask(self, xml: bytes, call: str, uid: int) -> Outcome:
        """Have a domain judged."""
        asked = marshal.dumps((xml, call, uid))
        why = "the worker process died"
        try:
            for _ in range(2):
                answer = await asyncio.wait_for(self._exchange(asked), self._limit)
                if answer:
                    return Outcome(*marshal.loads(answer))
        except asyncio.TimeoutError:
            why = f"no answer within {self._limit:.0f} s"
        except Error as error:
            why = str(error)
        return broken(self._policy.mode, self._policy.on_error, why)

    def close(self) -> None:
        """End the process."""
        if self._control is not None:
            self._loop.remove_writer(self._control)
            self._control.close()
            self._control = None

    async def _exchange(self, asked: bytes) -> bytes:
        """Send a question; return the answer, nothing if the process ended before it had one."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours:
            self._waiting.append(theirs)
            try:
                self._hand_over()
            except Error:
                while self._waiting:
                    self._waiting.popleft().close()
                raise
            answer = bytearray()
            try:
                await self._loop.sock_sendall(ours, asked)
                ours.shutdown(socket.SHUT_WR)
                while True:
                    piece = await self._loop.sock_recv(ours, _PIECE)
                    if not piece:
                        break
                    answer += piece
            except OSError:
                answer.clear()
            return bytes(answer)

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
            except OSError as error:
                log.error(f"the worker process is gone: {error.strerror}")
                self.close()
                continue
            theirs.close()
            self._waiting.popleft()
        if self._control is not None:
            self._loop.remove_writer(self._control)

    def _fork(self) -> socket.socket:
        control = self._spawner.fork("mthook.gate.worker", self._files)
        control.setblocking(False)
        self._control = control
        return control
