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

from mthook.gate import framing, verdict
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


def _vanishing(module: str, flag: Path) -> str:
    """Return statements by which a module can't be loaded while a file is there."""
    return f"""
import os, sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r} and os.path.exists({str(flag)!r}):
            raise ImportError("it is gone")
sys.meta_path.insert(0, Gone())
"""


@pytest.mark.parametrize("on_error", ["allow", "deny"])
def test_without_a_worker_domains_are_left_to_on_error(tmp_path: Path, on_error: str) -> None:
    """As after an upgrade of Python; the note for other programs goes as soon as one starts again."""
    flag = tmp_path / "gone"
    rig = Rig(tmp_path, prepare=_vanishing("mthook.gate.worker", flag))
    rig.config.write_text(rig.config.read_text().replace("[hook]", f"[hook]\non_error={on_error}"))
    rig.pin(UUID, OLD)
    flag.touch()
    try:
        rig.start()
        assert (
            verdict.noted(str(rig.listen)) == "the worker process doesn't start; the log says why"
        )
        got = exchange(rig, define(domain(NEW)))
        assert (b"on_error = deny" in got) == (on_error == "deny")
        assert "a helper ended: ImportError: it is gone" in rig.log()
        assert "a domain can't be judged: the worker process doesn't start" in rig.log()
        flag.unlink()
        assert machine(exchange(rig, define(domain(NEW)))) == OLD
        assert verdict.noted(str(rig.listen)) == ""
    finally:
        rig.close()


def test_a_gate_that_ends_takes_its_note_along(tmp_path: Path) -> None:
    """Nobody passes it any more."""
    flag = tmp_path / "gone"
    flag.touch()
    with _prepared(tmp_path, _vanishing("mthook.gate.worker", flag)) as rig:
        assert verdict.noted(str(rig.listen))
        assert rig.stop() == 0
    assert [path.name for path in tmp_path.glob("*unjudged")] == []


def test_clients_get_in_after_mthooks_files_have_gone(tmp_path: Path) -> None:
    """What lets them in was loaded before."""
    flag = tmp_path / "gone"
    with _prepared(tmp_path, _vanishing("mthook.gate.connector", flag)) as rig:
        flag.touch()
        with rig.pair():
            pass


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
            wait_until(lambda: "new clients have to wait: Too many open files" in rig.log(), "it")
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
