# SPDX-License-Identifier: Apache-2.0
"""A database that answers a byte at a time."""

from __future__ import annotations

import signal
import socket
import threading
import time

import pytest

from mthook.errors import NovaError
from mthook.nova import connection
from mthook.nova.cell import Cell


def drip(listener: socket.socket, stop: threading.Event) -> None:
    """Begin a long packet and send a byte of it now and then, for long enough."""
    listener.settimeout(10)
    client, _ = listener.accept()
    with client:
        client.sendall(b"\xff\xff\x00\x00")
        deadline = time.monotonic() + 20
        while not stop.wait(0.2) and time.monotonic() < deadline:
            try:
                client.sendall(b"5")
            except OSError:
                return


def test_a_database_that_drips_is_given_up() -> None:
    """Each byte comes in time; one deadline is over them all. Who has an alarm of its own keeps it."""
    stop, before = threading.Event(), signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 100)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=drip, args=(listener, stop))
        server.start()
        host, port = listener.getsockname()
        url = connection.parse_url(f"mysql://nova:geheim@{host}:{port}/nova", "it")
        begun = time.monotonic()
        try:
            with pytest.raises(NovaError, match="^Nova: .*no complete answer within 3 s") as told:
                Cell(url, "Nova", 1).has_host("host1")
        finally:
            stop.set()
            server.join()

    assert 2.5 < time.monotonic() - begun < 8
    assert "geheim" not in str(told.value)
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    assert 80 < left < 98
