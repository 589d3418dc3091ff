# SPDX-License-Identifier: Apache-2.0
"""Clients, and libvirtds, that don't keep to the protocol harm nobody but themselves."""

from __future__ import annotations

import contextlib
import os
import random
import time
from pathlib import Path

import pytest

from mthook.gate import framing
from tests.gate.rig import Rig, is_closed, receive, wait_until
from tests.unit.gate.messages import define, message


def _still_serves(rig: Rig) -> None:
    with rig.pair() as (client, server):
        client.sendall(message(157))
        assert receive(server, 28) == message(157)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a message of 1195725856 bytes"),
        (b"\xff\xff\xff\xff", "a message of 4294967295 bytes"),
        (b"\0\0\0\1" + bytes(24), "a message of 1 bytes"),
        (message(1, kind=framing.CALL_WITH_FDS), "doesn't say how many"),
    ],
)
def test_garbage_ends_its_own_connection_with_a_log_line(rig: Rig, data: bytes, why: str) -> None:
    """Nothing of it reaches libvirtd; others don't notice."""
    before = len(rig.log())
    with rig.pair() as (other, its_server), rig.pair() as (client, server):
        client.sendall(message(157) + data)
        assert is_closed(client)
        assert server.recv(1000) in (b"", message(157))
        other.sendall(message(157))
        assert receive(its_server, 28) == message(157)
    line = rig.log()[before:]
    assert f"client uid 0, process {os.getpid()}, cut off: " in line
    assert f"{why}" in line
    assert "isn't part of libvirt's protocol" in line


def test_garbage_from_libvirtd_never_reaches_the_client(rig: Rig) -> None:
    """Who would take it for an answer."""
    with rig.pair() as (client, server):
        server.sendall(b"\0\0\0\1" + bytes(24))
        assert is_closed(client)
    _still_serves(rig)


@pytest.mark.parametrize("begin", [b"\0", message(157)[:27], define(b"<domain/>")[:40]])
def test_a_message_that_never_ends_is_cut_off(rig: Rig, begin: bytes) -> None:
    """One byte now and then doesn't count as going on."""
    before = len(rig.log())
    with rig.pair() as (client, server):
        client.sendall(begin)
        time.sleep(0.6)
        if len(begin) == 1:
            client.sendall(b"\0")
        assert is_closed(client)
        assert is_closed(server)
    assert "cut off: a message isn't complete after 1 s" in rig.log()[before:]


def test_a_slow_stream_and_a_silent_client_are_left_alone(rig: Rig) -> None:
    """Both cost nothing."""
    data = message(209, bytes(5000), kind=framing.STREAM, status=framing.CONTINUE)
    with rig.pair() as (silent, its_server), rig.pair() as (client, server):
        client.sendall(data[:2000])
        time.sleep(1.5)
        client.sendall(data[2000:])
        assert receive(server, len(data)) == data
        silent.sendall(message(157))
        assert receive(its_server, 28) == message(157)


def test_sasl_makes_no_bytes_pass_that_are_no_messages(rig: Rig) -> None:
    """libvirtd has no security layer on a UNIX socket; what can't be read mustn't pass unread."""
    with rig.pair() as (client, server):
        client.sendall(message(68))
        assert receive(server, 28) == message(68)
        server.sendall(message(68, kind=framing.REPLY))
        receive(client, 28)
        client.sendall(random.Random(1).randbytes(300))
        assert is_closed(client)
        assert is_closed(server)


def test_a_thousand_mad_clients_leave_the_gate_as_it_was(tmp_path: Path) -> None:
    """Random bytes, broken headers, sudden ends: those in between are served."""
    with contextlib.closing(Rig(tmp_path, measured=False)) as rig:
        rig.start()
        _meet_the_mad(rig)


def _meet_the_mad(rig: Rig) -> None:
    chance = random.Random(4)
    for number in range(1000):
        with rig.pair() as (client, _):
            data = bytearray(define(b"<domain/>") * chance.randrange(1, 3))
            for _ in range(chance.randrange(1, 4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            client.sendall(data[: chance.randrange(1, len(data))])
        if number % 100 == 0:
            _still_serves(rig)
    _still_serves(rig)
    assert rig.process.poll() is None
    wait_until(lambda: len(rig.helpers()) == 1, "the end of the connectors")
