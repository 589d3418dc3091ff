# SPDX-License-Identifier: Apache-2.0
"""How a connection's domains are judged."""

from __future__ import annotations

import asyncio
import os
import socket

from mthook.gate.domain_calls import DomainCalls
from mthook.gate.framing import Frames, Header, Piece
from mthook.gate.identity import Client, Identity
from mthook.gate.pipe import Outgoing, Pipe
from mthook.gate.selecting import Selector
from mthook.gate.verdict import REFUSE, Outcome

from .messages import define


def test_a_refusal_that_comes_as_the_connection_ends_leaves_nothing_behind() -> None:
    """Python swallows the end where both come in one turn of the loop (asyncio.wait_for until 3.11)."""
    asyncio.run(_refuse_at_the_end())


async def _refuse_at_the_end() -> None:
    loop = asyncio.get_running_loop()
    answer = loop.create_future()

    class Worker:
        async def ask(self, xml: bytes, call: str, uid: int) -> Outcome:
            return Outcome(REFUSE, message=str(await asyncio.wait_for(answer, 10)))

    client, selector = Client(Identity(0, 0, ()), os.getpid()), Selector()
    domain_calls = DomainCalls(client, Worker(), lambda _: None, lambda _: None)  # type: ignore[arg-type]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pipes = [
            Pipe(selector, one, other, Frames(), lambda _: None, lambda _: None)
            for one, other in ((ours, theirs), (theirs, ours))
        ]
        domain_calls.begin(*pipes)
        domain_calls.is_open = True
        domain_calls.expect()
        message = define(b"<domain/>")
        header = Header(*(int.from_bytes(message[n : n + 4], "big") for n in range(0, 28, 4)))
        domain_calls.judge(Piece(message, header=header), Outgoing(None))
        await asyncio.sleep(0.01)
        answer.set_result("no")
        domain_calls.close()
        for pipe in pipes:
            pipe.close()
        selector.close()
        await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}
