# SPDX-License-Identifier: Apache-2.0
"""The process that judges domains may hang or die, and the machine may have nothing left."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook.gate import framing
from tests.gate.rig import Rig, receive, receive_message, wait_until
from tests.gate.test_rewriting import NEW, OLD, exchange, machine
from tests.unit.gate.messages import define, message
from tests.unit.hook.conftest import UUID, domain


@pytest.fixture(autouse=True)
def pinned(rig: Rig) -> None:
    """A guest pinned to OLD."""
    rig.pin(UUID, OLD)


def test_a_dead_worker_is_replaced(rig: Rig) -> None:
    """Whether it dies idle or at work."""
    for number in (signal.SIGKILL, signal.SIGSTOP):
        worker = rig.worker()
        os.kill(worker, number)
        if number == signal.SIGSTOP:
            threading.Timer(0.5, os.kill, (worker, signal.SIGKILL)).start()
        assert machine(exchange(rig, define(domain(NEW)))) == OLD


def test_one_client_waiting_for_its_verdict_holds_up_nobody(rig: Rig) -> None:
    """Nor its own answers and events."""
    worker = rig.worker()
    with rig.pair() as (client, server), rig.pair() as (other, its_server):
        os.kill(worker, signal.SIGSTOP)
        try:
            client.sendall(define(domain(NEW)) + message(157))
            server.sendall(message(1, b"event", kind=framing.MESSAGE))
            assert receive_message(client)[28:] == b"event"
            other.sendall(message(158))
            assert receive(its_server, 28) == message(158)
        finally:
            os.kill(worker, signal.SIGCONT)
        assert machine(receive_message(server)) == OLD
        assert receive(server, 28) == message(157)


@contextlib.contextmanager
def _prepared(directory: Path, prepare: str) -> Iterator[Rig]:
    rig = Rig(directory, prepare=prepare)
    rig.start()
    try:
        yield rig
    finally:
        rig.close()


def test_a_client_too_many_waits_until_one_goes(tmp_path: Path) -> None:
    """As at libvirtd."""
    prepare = "from mthook.gate import server\nserver.MAX_CLIENTS = 2"
    with _prepared(tmp_path, prepare) as rig, rig.pair(), contextlib.ExitStack() as stack:
        with rig.pair():
            third = stack.enter_context(rig.client())
            wait_until(lambda: "2 clients are connected, others have to wait" in rig.log(), "it")
            third.sendall(message(66))
        server, _ = rig.upstream.accept()
        with server:
            assert receive(server, 28) == message(66)


def test_without_descriptors_new_clients_wait_and_old_ones_are_served(tmp_path: Path) -> None:
    """Nothing spins, nothing ends."""
    prepare = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))"
    with _prepared(tmp_path, prepare) as rig, contextlib.ExitStack() as stack:
        with rig.pair() as (client, server):
            client.sendall(message(157))
            receive(server, 28)
            waiting: list[socket.socket] = [stack.enter_context(rig.client()) for _ in range(40)]
            wait_until(lambda: "no more clients for now: Too many open files" in rig.log(), "it")
            client.sendall(message(157))
            assert receive(server, 28) == message(157)
        for sock in waiting:
            sock.close()
        rig.upstream.settimeout(1.5)  # the gate pauses for a second
        with contextlib.suppress(OSError):
            while True:
                rig.upstream.accept()[0].close()
        rig.upstream.settimeout(10)

        def works() -> bool:
            with rig.pair() as (client, server), contextlib.suppress(AssertionError, OSError):
                client.sendall(message(158))
                return receive(server, 28) == message(158)
            return False

        wait_until(works, "service")
        assert "Traceback" not in rig.log()
