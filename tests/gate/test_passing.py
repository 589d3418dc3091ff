# SPDX-License-Identifier: Apache-2.0
"""What goes through the gate untouched."""

from __future__ import annotations

import os
import random
import socket
import threading
from pathlib import Path

import pytest

from mthook.gate import framing, xdr
from tests.gate.rig import (
    Rig,
    is_closed,
    receive,
    receive_descriptor,
    receive_message,
    send_descriptor,
    wait_until,
)
from tests.unit.gate.messages import define, message, with_files

OPEN_FD = 343
MIB = 1 << 20


@pytest.mark.parametrize(
    "data",
    [
        message(157),
        message(99999, b"some day"),
        message(1, b"", program=0x6B656570, kind=framing.MESSAGE),
        message(5, b"x" * 1000, program=0x20008087),
        message(1, kind=77, status=9),
        message(209, os.urandom(3 * MIB), kind=framing.STREAM, status=framing.CONTINUE),
        define(b"<domain/>"),
        define(b"no XML at all"),
        message(350, b"no arguments of this call"),
    ],
    ids=("call", "unknown", "program", "other", "kind", "stream", "domain", "text", "arguments"),
)
def test_messages_pass_as_they_are(rig: Rig, data: bytes) -> None:
    """Both ways, known or not, and many at once."""
    with rig.pair() as (client, server):
        for source, sink in ((client, server), (server, client)):
            sender = threading.Thread(target=source.sendall, args=(data * 3,))
            sender.start()
            assert receive(sink, 3 * len(data)) == data * 3
            sender.join()


def test_messages_pass_however_they_are_cut(rig: Rig) -> None:
    """Byte by byte, and in one write with others."""
    data = message(157) + define(b"<domain/>") + message(158, b"abc")
    with rig.pair() as (client, server):
        for place in range(len(data)):
            client.sendall(data[place : place + 1])
        assert receive(server, len(data)) == data


def test_what_begins_a_message_passes_at_once(rig: Rig) -> None:
    """A stream isn't held up until its packet is complete."""
    with rig.pair() as (client, server):
        data = message(209, bytes(MIB), kind=framing.STREAM)
        client.sendall(data[:5000])
        assert receive(server, 5000) == data[:5000]


def test_a_half_closed_connection_still_answers(rig: Rig) -> None:
    """The client has said all, libvirtd hasn't."""
    with rig.pair() as (client, server):
        client.sendall(message(157))
        client.shutdown(socket.SHUT_WR)
        assert receive(server, 28) == message(157)
        assert is_closed(server)
        server.sendall(message(157, b"late", kind=framing.REPLY))
        assert receive_message(client)[28:] == b"late"
        server.close()
        assert is_closed(client)


def test_the_end_of_one_side_is_the_end_of_the_other(rig: Rig) -> None:
    """With what was said before."""
    with rig.pair() as (client, server):
        client.sendall(message(157))
        client.close()
        assert receive(server, 28) == message(157)
        assert is_closed(server)
    with rig.pair() as (client, server):
        server.sendall(message(157, kind=framing.REPLY))
        server.close()
        assert len(receive_message(client)) == 28
        assert is_closed(client)


@pytest.mark.parametrize("count", [1, 3, 32])
def test_descriptors_arrive_with_their_own_bytes(rig: Rig, tmp_path: Path, count: int) -> None:
    """From client to libvirtd and back, between other messages, in order."""
    files = [(tmp_path / str(number)).open("w+b") for number in range(count)]
    call = with_files(b"<domain/>", count)
    reply = message(OPEN_FD, xdr.uint(count), kind=framing.REPLY_WITH_FDS)
    with rig.pair() as (client, server):
        for source, sink, data in ((client, server, call), (server, client, reply)):
            source.sendall(message(157) + data)
            for file in files:
                send_descriptor(source, file.fileno())
            source.sendall(message(158))

            assert receive(sink, 28 + len(data)) == message(157) + data
            for file in files:
                fd = receive_descriptor(sink)
                assert os.path.samestat(os.fstat(fd), os.fstat(file.fileno()))
                os.close(fd)
            assert receive(sink, 28) == message(158)


def test_descriptors_stay_ordered_when_nobody_reads(rig: Rig, tmp_path: Path) -> None:
    """The other side's socket is full when they come."""
    file = (tmp_path / "file").open("w+b")
    stream = message(209, bytes(MIB), kind=framing.STREAM)
    with rig.pair() as (client, server):

        def write() -> None:
            client.sendall(stream + with_files(b"<domain/>", 1))
            send_descriptor(client, file.fileno())
            client.sendall(message(157))

        sender = threading.Thread(target=write)
        sender.start()
        assert receive(server, len(stream)) == stream
        receive_message(server)
        os.close(receive_descriptor(server))
        assert receive(server, 28) == message(157)
        sender.join()


def test_no_descriptor_is_left_open_in_the_gate(rig: Rig, tmp_path: Path) -> None:
    """Neither those it passed on, nor those that came where none are read, nor a connection's own."""
    file = (tmp_path / "file").open("w+b")
    table = Path(f"/proc/{rig.process.pid}/fd")
    with rig.pair() as (client, server):
        client.sendall(message(157))
        receive(server, 28)
    wait_until(lambda: len(rig.helpers()) == 1, "the end of the connector")
    before = len(list(table.iterdir()))
    for _ in range(5):
        with rig.pair() as (client, server):
            client.sendall(with_files(b"<domain/>", 1))
            send_descriptor(client, file.fileno())
            socket.send_fds(client, [message(157)], [file.fileno()] * 3)
            receive_message(server)
            os.close(receive_descriptor(server))
            receive(server, 28)
    wait_until(lambda: len(list(table.iterdir())) == before, "closing")


def test_a_slow_libvirtd_slows_its_client_and_nobody_else(rig: Rig) -> None:
    """Nothing piles up in the gate."""
    data = message(209, random.randbytes(MIB), kind=framing.STREAM, status=framing.CONTINUE)
    with rig.pair() as (client, server), rig.pair() as (other, its_server):
        sent = 0
        client.settimeout(0.3)
        with pytest.raises(OSError, match="timed out"):
            while sent < 64 * MIB:
                sent += client.send(data[sent % len(data) :])
        assert sent < 3 * MIB
        other.sendall(message(157))
        assert receive(its_server, 28) == message(157)
        whole = (data * 4)[:sent]
        assert receive(server, sent) == whole


def test_a_client_that_reads_nothing_slows_its_libvirtd_alone(rig: Rig) -> None:
    """The same the other way round."""
    with rig.pair() as (client, server):
        server.settimeout(0.3)
        sent = 0
        with pytest.raises(OSError, match="timed out"):
            while sent < 64 * MIB:
                sent += server.send(message(1, bytes(60000), kind=framing.MESSAGE))
        assert sent < 3 * MIB
        client.sendall(message(157))
        assert receive(server, 28) == message(157)
