# SPDX-License-Identifier: Apache-2.0
"""The gate's side of the processes that judge domains."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import marshal
import socket
import weakref
from typing import Any

from mthook import journal
from mthook.errors import Error
from mthook.gate import history
from mthook.gate.configuration import Configuration
from mthook.gate.history import Rewrite
from mthook.gate.spawner import Spawner
from mthook.gate.verdict import ANSWERED, JUDGE, KEEP, Outcome, broken, note
from mthook.text import cause

_PIECE = 1 << 18
#: How many domains of one user are judged at once: each takes descriptors, and if Nova's database has to be asked, two
#: processes and a connection to it.
_OF_A_USER = 32
#: Bytes from which a domain counts as large. A usual one has 20 KiB, and is judged in milliseconds.
_LARGE = 64 * 1024
#: Seconds that a domain may take in all, whatever the time limit: libvirtd ends a connection on which it hears nothing
#: for 30 (``keepalive_interval`` times ``keepalive_count``), and nothing is read from a client meanwhile.
_PATIENCE = 20.0
#: How many processes in turn may end before they read a question: they don't find what they are to load.
_STARTS = 3
#: Stands for a user where the gate itself has something to ask.
_OWN = -1


class WorkerClient:
    """Asks worker processes: one for domains of usual size, and one, forked when it is needed, for large ones.

    :param configuration: decides when there is no answer.
    :param verbose: have them also log the domains that pass unchanged.
    """

    def __init__(
        self,
        spawner: Spawner,
        loop: asyncio.AbstractEventLoop,
        configuration: Configuration,
        verbose: bool,
    ) -> None:
        self._loop, self._configuration = loop, configuration
        self._usual, self._large = (
            _Worker(spawner, loop, configuration.files, verbose) for _ in range(2)
        )
        #: Why a process judges nothing; '' if it does.
        self._failing: dict[_Worker, str] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    async def ready(self) -> None:
        """Wait until the process for usual domains is there and has loaded what it needs, or can't be had."""
        why = ""
        try:
            await self._usual.ask((), _OWN)
        except (Error, OSError) as error:
            why = str(error)
            journal.error(f"no domain can be judged: {why}")
        note(self._configuration.listen, why)
        self._failing[self._usual] = why

    async def ask(self, xml: bytes, call: str, uid: int) -> Outcome:
        """Have a domain judged. Users take turns, and large domains don't hold up others."""
        worker = self._large if len(xml) > _LARGE else self._usual
        self._configuration.refresh()
        limit = min(2 * self._configuration.settings.timeout + 5, _PATIENCE)
        try:
            answer = await asyncio.wait_for(worker.ask((JUDGE, xml, call, uid), uid), limit)
            outcome = Outcome(**dict(zip(ANSWERED, marshal.loads(answer))))
        except asyncio.TimeoutError:
            why = f"no answer within {limit:.0f} s"
        except (EOFError, ValueError, TypeError):
            why = "the worker process died"
        except Error as error:
            why = str(error)
        except OSError as error:
            why = f"the worker process can't be asked: {cause(error)}"
        else:
            self._note(worker, "")
            return outcome
        self._note(worker, why)
        return broken(self._configuration.settings, why)

    def _note(self, worker: _Worker, why: str) -> None:
        """Leave word of why a process judges nothing; '' if it does."""
        if self._failing.get(worker, "") != why:
            self._failing[worker] = why
            note(self._configuration.listen, next(filter(None, self._failing.values()), ""))

    def unknown(self, what: str) -> Outcome:
        """Return what becomes of a call in which no domain can be found."""
        self._configuration.refresh()
        return broken(self._configuration.settings, what)

    def keep(self, rewrite: Rewrite) -> None:
        """Have a rewrite written down."""
        task = self._loop.create_task(self._keep(rewrite))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _keep(self, rewrite: Rewrite) -> None:
        try:
            kept = await asyncio.wait_for(self._usual.ask((KEEP, *rewrite), _OWN), _PATIENCE)
            if not kept:
                raise Error("the worker process died")
        except (Error, OSError, asyncio.TimeoutError) as error:
            history.lose(rewrite, Error(str(error) or "the worker process doesn't answer"))

    async def end(self) -> None:
        """Let the processes end, which first write down what they haven't yet."""
        while self._keeping:
            await asyncio.wait(self._keeping)
        for worker in (self._usual, self._large):
            await worker.end(_PATIENCE)
        note(self._configuration.listen, "")


class _Worker:
    """One process, and those who wait for it. When it is gone, a new one is forked.

    It is given one question at a time, so that the next one can be that of whoever has waited longest for a turn.
    """

    def __init__(
        self, spawner: Spawner, loop: asyncio.AbstractEventLoop, files: list[str], verbose: bool
    ) -> None:
        self._spawner, self._loop, self._arguments = spawner, loop, (files, verbose)
        self._control: socket.socket | None = None
        self._is_busy = False
        #: Who waits, by user; the user who had a turn goes to the end.
        self._waiting: dict[int, collections.deque[asyncio.Future[None]]] = {}
        self._places: weakref.WeakValueDictionary[int, asyncio.Semaphore] = (
            weakref.WeakValueDictionary()
        )

    async def ask(self, question: tuple[Any, ...], uid: int) -> bytes:
        """Ask in a user's turn; return the answer, cut short if the process died of the question.

        :raises Error: no process can be forked.
        :raises OSError: there are no more descriptors.
        """
        asked = marshal.dumps(question)
        places = self._places.get(uid)
        if places is None:
            places = self._places[uid] = asyncio.Semaphore(_OF_A_USER)
        async with places:
            for _ in range(2):
                answer = await self._exchange(asked, uid)
                if answer or not question:
                    break
        return answer

    async def end(self, limit: float) -> None:
        """Let the process end, and wait that many seconds for it."""
        control, self._control = self._control, None
        if control is None:
            return
        self._loop.remove_reader(control)
        with control, contextlib.suppress(OSError, asyncio.TimeoutError):
            control.shutdown(socket.SHUT_WR)
            await asyncio.wait_for(self._gone(control), limit)

    async def _gone(self, control: socket.socket) -> None:
        while await self._loop.sock_recv(control, 1):
            pass

    async def _exchange(self, asked: bytes, uid: int) -> bytes:
        for _ in range(_STARTS):
            await self._turn(uid)
            with self._hand_over() as channel:
                answer = await self._converse(channel, asked)
            if answer is not None:
                return answer
        raise Error("the worker process doesn't start; the log says why")

    async def _converse(self, channel: socket.socket, asked: bytes) -> bytes | None:
        """Send a question; return the answer.

        :return: an answer cut short if the process died of the question; None if it hadn't even read it: the kernel
            tells one from the other.
        """
        answer = b""
        try:
            await self._loop.sock_sendall(channel, asked)
            channel.shutdown(socket.SHUT_WR)
            while True:
                piece = await self._loop.sock_recv(channel, _PIECE)
                if not piece:
                    return answer
                answer += piece
        except OSError:
            return None

    async def _turn(self, uid: int) -> None:
        """Wait until it is this user's turn to give the process a question."""
        if not self._is_busy:
            self._is_busy = True
            return
        turn = self._loop.create_future()
        self._waiting.setdefault(uid, collections.deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._next()
            raise

    def _next(self) -> None:
        """Give the turn to the user who has waited longest for one."""
        self._is_busy = False
        while self._waiting and not self._is_busy:
            uid = next(iter(self._waiting))
            turns = self._waiting.pop(uid)
            turn = turns.popleft()
            if turns:
                self._waiting[uid] = turns
            if not turn.done():
                turn.set_result(None)
                self._is_busy = True

    def _hand_over(self) -> socket.socket:
        """Give the process a socket; return the other end."""
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    self._send(theirs)
                except (Error, OSError):
                    ours.close()
                    raise
        except (Error, OSError):
            self._next()
            raise
        ours.setblocking(False)
        return ours

    def _send(self, theirs: socket.socket) -> None:
        while True:
            control = self._control or self._fork()
            try:
                socket.send_fds(control, [b"!"], [theirs.fileno()])
            except ConnectionError:
                self._drop()
            else:
                return

    def _fork(self) -> socket.socket:
        control = self._spawner.fork("mthook.gate.worker", *self._arguments)
        control.setblocking(False)
        self._loop.add_reader(control, self._told)
        self._control = control
        return control

    def _told(self) -> None:
        """Hear that the process can be given another question, or that it is gone."""
        assert self._control is not None
        try:
            told = self._control.recv(1)
        except BlockingIOError:
            return
        except OSError:
            told = b""
        if not told:
            self._drop()
        self._next()

    def _drop(self) -> None:
        assert self._control is not None
        journal.error("the worker process is gone")
        self._loop.remove_reader(self._control)
        self._control.close()
        self._control = None
