# SPDX-License-Identifier: Apache-2.0
"""Nova's database is asked as by the hook, and while it doesn't answer only those wait whom it is about."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gate.rig import Rig, receive, receive_message
from tests.lab import OLD_PC, PC
from tests.unit.gate.messages import define, message
from tests.unit.hook.conftest import UUID, domain

OLD, NEW = OLD_PC, PC
NOVA = '<n:instance xmlns:n="http://openstack.org/xmlns/libvirt/nova/1.1"/>'
OTHER = "3f2c1d3e-0000-4000-8000-00000000000d"
LIMIT = 2


@pytest.fixture
def limit() -> int:
    """How many seconds Nova's database may take."""
    return LIMIT


@pytest.fixture
def silent(tmp_path: Path, limit: int) -> Iterator[Rig]:
    """A gate whose Nova database takes connections and says nothing."""
    with socket.socket() as database:
        database.bind(("127.0.0.1", 0))
        database.listen(50)
        port = database.getsockname()[1]
        rig = Rig(
            tmp_path,
            f"[hook]\ntimeout = {limit}\non_error = deny\n"
            f"[database]\nconnection = mysql+pymysql://nova:secret@127.0.0.1:{port}/nova\n",
        )
        rig.start()
        rig.pin(UUID, OLD)
        rig.pin(OTHER, OLD)
        yield rig
        rig.close()


def test_a_database_that_hangs_holds_up_nobody_else(silent: Rig) -> None:
    """Within the time limit on_error decides; other guests' definitions go through at once, as do other calls."""
    answers: list[bytes] = []

    def ask() -> None:
        with silent.pair() as (client, _):
            ready.wait()
            client.sendall(define(domain(NEW, metadata=NOVA)))
            answers.append(receive_message(client))

    ready = threading.Barrier(6)
    asking = []
    for _ in range(5):
        asking.append(threading.Thread(target=ask))
        asking[-1].start()
        time.sleep(0.05)
    with silent.pair() as (client, server):
        ready.wait()
        begun = time.monotonic()
        time.sleep(0.2)
        for _ in range(3):
            client.sendall(define(domain(NEW, uuid=OTHER)) + message(157))
            assert OLD.encode() in receive_message(server)
            receive(server, 28)
        assert time.monotonic() - begun < 1
    for thread in asking:
        thread.join()
    assert LIMIT - 0.2 < time.monotonic() - begun < LIMIT + 3
    for answer in answers:
        assert b"mthook: refused ([hook] on_error = deny): pinned to " in answer
        assert b"Nova can't be asked: no answer within" in answer
    assert len(answers) == 5
    assert "secret" not in silent.log()


def test_a_satisfied_pin_asks_nobody(silent: Rig) -> None:
    """As at the hook."""
    begun = time.monotonic()
    with silent.pair() as (client, server):
        data = define(domain(OLD, metadata=NOVA))
        client.sendall(data)
        assert receive(server, len(data)) == data
    assert time.monotonic() - begun < 1


# Long enough for a busy machine to start all the processes in the meantime.
@pytest.mark.parametrize("limit", [6])
def test_as_many_guests_as_nova_starts_at_once_wait_for_its_database_together(
    silent: Rig, limit: int
) -> None:
    """On one connection, which libvirtd ends where it is silent for half a minute."""
    with silent.pair() as (client, _):
        begun = time.monotonic()
        client.sendall(define(domain(NEW, metadata=NOVA)) * 20)
        for _ in range(20):
            assert b"no answer within" in receive_message(client)
        assert time.monotonic() - begun < 2 * limit
