# SPDX-License-Identifier: Apache-2.0
"""The event loop's eye on sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from mthook.gate.selecting import Selector


def run(work: Callable[[Selector], Coroutine[Any, Any, None]]) -> None:
    """Run something in a loop with such a selector."""
    selector = Selector()
    loop = asyncio.SelectorEventLoop(selector)
    try:
        loop.run_until_complete(asyncio.wait_for(work(selector), 10))
    finally:
        loop.close()


@pytest.mark.parametrize("due", [True, False])
def test_asyncio_has_its_turn_when_something_is_due(due: bool) -> None:
    """At once, or, where nothing is said to be due, with the next thing that is its own."""

    async def work(selector: Selector) -> None:
        loop, (ours, theirs) = asyncio.get_running_loop(), socket.socketpair()
        turns: asyncio.Future[float] = loop.create_future()

        def read() -> bool:
            ours.recv(1)
            loop.call_soon(lambda: turns.set_result(loop.time()))
            return due

        with ours, theirs:
            selector.watch(ours.fileno(), read)
            theirs.send(b"x")
            begun = loop.time()
            loop.call_later(0.5, lambda: None)
            waited = await turns - begun
            selector.forget(ours.fileno())
        assert (waited < 0.4) is due

    run(work)


def test_who_left_meanwhile_isnt_called() -> None:
    """One of two that are ready closes the other."""

    async def work(selector: Selector) -> None:
        pairs = [socket.socketpair() for _ in range(2)]
        called: list[int] = []

        def reader(number: int) -> Callable[[], bool]:
            def read() -> bool:
                called.append(number)
                for one, _ in pairs:
                    selector.forget(one.fileno())
                return True

            return read

        for number, (ours, theirs) in enumerate(pairs):
            selector.watch(ours.fileno(), reader(number))
            theirs.send(b"x")
        await asyncio.sleep(0.1)
        assert len(called) == 1
        for pair in pairs:
            for one in pair:
                one.close()

    run(work)


def test_one_socket_is_read_and_written_at_a_time() -> None:
    """As a client's is: calls come by it, and answers wait for room in it."""

    async def work(selector: Selector) -> None:
        ours, theirs = socket.socketpair()
        happened: list[str] = []
        with ours, theirs:
            selector.watch(ours.fileno(), lambda: bool(ours.recv(1)) and not happened.append("r"))
            selector.watch_room(ours.fileno(), lambda: happened.append("w"))
            await asyncio.sleep(0.01)
            assert set(happened) == {"w"}
            selector.forget_room(ours.fileno())
            happened.clear()
            theirs.send(b"x")
            await asyncio.sleep(0.01)
            assert happened == ["r"]
            selector.forget(ours.fileno())

    run(work)


def test_a_bug_in_one_reader_ends_nobody_elses_service() -> None:
    """It is told as asyncio tells of one."""

    async def work(selector: Selector) -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: told.append(context["exception"])
        )
        ours, theirs = socket.socketpair()

        def read() -> bool:
            selector.forget(ours.fileno())
            raise ValueError("a bug")

        with ours, theirs:
            selector.watch(ours.fileno(), read)
            theirs.send(b"x")
            await asyncio.sleep(0.05)
        assert [str(one) for one in told] == ["a bug"]

    run(work)
