# SPDX-License-Identifier: Apache-2.0
"""What a client costs has limits, whatever it sends; others are served meanwhile."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import sqlite3
import struct
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook.gate import framing, xdr
from tests.gate.rig import (
    OPEN,
    OPENED,
    Rig,
    is_closed,
    receive,
    receive_message,
    send_descriptor,
    wait_until,
)
from tests.gate.test_identity import _as, _peer, _reach
from tests.gate.test_rewriting import LOST, NEW, OLD, error, exchange, machine
from tests.unit.gate.messages import define, message, migrate, parameter, with_files
from tests.unit.hook.conftest import UUID, domain

MIB = 1 << 20
PREPARE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
from mthook.gate import budget, connection, history, identity
budget.LIMIT = 20 << 20
connection.PATIENCE = 1
history._PAUSE = 0.1
identity._MAX_LEAVING = 2
"""


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A gate that has little of everything, and a guest pinned to OLD."""
    rig = Rig(tmp_path_factory.mktemp("gate"), prepare=PREPARE)
    rig.pin(UUID, OLD)
    rig.start()
    yield rig
    rig.close()


def _memory(rig: Rig) -> float:
    """What the gate's main process takes, in MiB."""
    status = Path(f"/proc/{rig.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _unread(sock: socket.socket) -> int:
    """How much of what was sent hasn't been read, as the kernel counts it."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def _swallow(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(MIB):
            pass


def test_streams_that_libvirtd_knows_nothing_of_take_no_memory(tight: Rig) -> None:
    """Such packets aren't answered, and 28 bytes each."""
    packets = b"".join(
        message(209, kind=framing.STREAM, serial=number, status=framing.CONTINUE)
        for number in range(300_000)
    )
    with tight.pair() as (client, server):
        before = _memory(tight)
        reader = threading.Thread(target=_swallow, args=(server,))
        reader.start()
        client.sendall(packets)
        client.shutdown(socket.SHUT_WR)
        reader.join()
        assert _memory(tight) - before < 8


@pytest.mark.parametrize("whole", [True, False])
def test_what_a_client_sent_goes_with_it(tight: Rig, whole: bool) -> None:
    """Not only when Python looks for cycles."""
    blank = xdr.string(b" " * 4_000_000)
    data = migrate(parameter(b"persistent_xml", 7, blank), parameter(b"cookie", 7, blank))
    before = _memory(tight)
    with tight.pair():
        for _ in range(30):
            with tight.pair() as (client, server):
                client.sendall(data if whole else data[:-1])
                wait_until(lambda: whole or not _unread(client), "reading")  # noqa: B023
                assert not whole or receive_message(server) == data
    assert _memory(tight) - before < 50


def test_many_definitions_at_once_keep_nobody_from_having_one_judged(tight: Rig) -> None:
    """Two descriptors for each would be more than there are."""
    with tight.pair() as (client, server), contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(tight.pair())[0].sendall(message(11, xdr.string(b"a")) * 100)
        for _ in range(3):
            client.sendall(define(domain(NEW)))
            assert machine(receive_message(server)) == OLD
    assert "a bug" not in tight.log()
    assert "Too many open files" not in tight.log()


def test_who_reads_no_refusals_gets_no_more_of_them(tight: Rig) -> None:
    """Nothing piles up in the gate; what was refused is answered in the end."""
    many = 600
    with tight.pair() as (client, server):
        data = define(LOST) * many + message(157)
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        server.settimeout(4)
        with pytest.raises(OSError, match="timed out"):
            server.recv(1)
        for _ in range(many):
            assert "can't be rewritten" in error(receive_message(client))
        assert receive(server, 28) == message(157)
        sender.join()


def test_a_question_that_breaks_off_ends_no_worker(tight: Rig) -> None:
    """Its client's connection ended meanwhile."""
    worker = tight.worker()
    with tight.pair() as (client, server):
        os.kill(worker, signal.SIGSTOP)
        try:
            client.sendall(define(b"<domain>" + b" " * 3_000_000 + b"</domain>"))
            server.close()
            assert is_closed(client)
        finally:
            os.kill(worker, signal.SIGCONT)
    assert machine(exchange(tight, define(domain(NEW)))) == OLD
    assert tight.worker() == worker


def test_a_locked_catalog_holds_up_no_verdict(tight: Rig) -> None:
    """What was rewritten meanwhile is written down when that is possible."""
    other = "pc-i440fx-5.1"
    writer = sqlite3.connect(tight.catalog_path, isolation_level=None, timeout=10)
    writer.execute("BEGIN IMMEDIATE")
    try:
        for _ in range(5):
            with tight.pair() as (client, server):
                server.settimeout(1)
                client.sendall(define(domain(other)))
                assert machine(receive_message(server)) == OLD
                server.sendall(message(350, kind=framing.REPLY))
                receive_message(client)
    finally:
        writer.execute("ROLLBACK")
        writer.close()

    def written() -> bool:
        with tight.catalog() as catalog:
            return [entry.old for entry in catalog.history(UUID)].count(other) == 5

    wait_until(written, "the history")
    assert "isn't recorded" not in tight.log()


def test_the_user_whose_messages_take_most_is_cut_off_where_room_is_short(tight: Rig) -> None:
    """And nobody else, though the others' message comes last."""
    _reach(tight)
    begun = define(b" " * 4_500_000)[:100]
    before = len(tight.log())
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(tight.pair())[0].sendall(begun)
        assert "cut off" not in tight.log()[before:]
        stack.enter_context(_as(tight, 4242, 4242, data=begun)).stdin.close()
        server, _ = tight.upstream.accept()
        stack.enter_context(server)
        wait_until(lambda: "there is no room for more" in tight.log()[before:], "the end of one")
        (line,) = [one for one in tight.log()[before:].splitlines() if "no room" in one]
        assert line == (
            f"mthook-gate: client uid 0, process {os.getpid()}, cut off: "
            "its messages wait, and there is no room for more"
        )


@pytest.mark.parametrize("let_in", [True, False])
def test_what_libvirtd_doesnt_read_yet_takes_room_too(tight: Rig, let_in: bool) -> None:
    """It lets a thousand clients wait before it looks at them."""
    before = len(tight.log())
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            client, _ = stack.enter_context(tight.pair(let_in=let_in))
            with contextlib.suppress(ConnectionError):
                client.sendall((b"" if let_in else OPEN) + define(b" " * 4_500_000))
        wait_until(lambda: "there is no room for more" in tight.log()[before:], "the end of one")


def test_no_more_processes_for_a_user_who_lets_none_of_them_end(tight: Rig) -> None:
    """Stopped ones would go on taking what there is for all."""
    _reach(tight)
    stopped = []
    try:
        for _ in range(2):
            with _as(tight, 4242, 4242) as client:
                server, _ = tight.upstream.accept()
                receive(server, 28)
                stopped.append(_peer(server)[0])
                os.kill(stopped[-1], signal.SIGSTOP)
                client.kill()
                assert is_closed(server)
                server.close()
        with _as(tight, 4242, 4242) as client:
            assert client.stdout.readline().strip() == ""
        assert "2 processes of this user don't end" in tight.log()
        with tight.pair() as (client, server):
            client.sendall(message(157))
            assert receive(server, 28) == message(157)
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)
    wait_until(lambda: len(tight.helpers()) == 1, "their end")
    with _as(tight, 4242, 4242) as client:
        server, _ = tight.upstream.accept()
        assert receive(server, 28) == message(66)
        client.kill()
        server.close()


def test_bytes_that_libvirtd_takes_for_a_message_are_one(tight: Rig) -> None:
    """Behind a reply libvirtd reads no descriptors, whatever their number in it."""
    head = message(1, xdr.uint(253), kind=framing.REPLY_WITH_FDS)
    xml = f"<domain><uuid>{UUID}</uuid><os><type machine='{NEW}'>hvm</type></os></domain>".encode()
    definition = message(11, xdr.string(xml))
    assert len(definition) < 253
    with tight.pair() as (client, server):
        client.sendall(head + definition + message(157) * 8)
        assert receive_message(server) == head
        assert machine(receive_message(server).partition(b"<os>")[2]) == OLD


def test_nothing_is_left_of_a_refused_call(tight: Rig) -> None:
    """Not even bytes in its descriptors' place that come without one, and later."""
    with tight.pair() as (client, server):
        client.sendall(with_files(LOST, 3))
        receive_message(client)
        for byte in b"abc":
            client.sendall(bytes([byte]))
            wait_until(lambda: not _unread(client), "reading")
        client.sendall(message(157))
        assert receive(server, 28) == message(157)


def test_one_descriptor_comes_with_one_byte(tight: Rig) -> None:
    """As libvirt reads them; others are closed."""
    read, write = os.pipe()
    with tight.pair() as (client, server):
        client.sendall(with_files(b"<domain/>", 1))
        receive_message(server)
        socket.send_fds(client, [b"\0"], [write] * 100)
        data, fds, _, _ = socket.recv_fds(server, 1, 100)
        assert (data, len(fds)) == (b"\0", 1)
        for fd in (*fds, write):
            os.close(fd)
        assert os.read(read, 1) == b""
    os.close(read)


@pytest.mark.parametrize("how", ["announced", "not announced", "unread"])
def test_a_descriptor_that_takes_long_to_close_holds_up_nobody(tight: Rig, how: str) -> None:
    """Nor the client's next call: a socket with unsent data that lingers, and the gate has the last of it."""
    worker = tight.worker()
    with tight.pair() as (other, its_server), tight.pair() as (client, server):
        with _lingering(20) as lingering:
            if how == "announced":
                client.sendall(with_files(LOST, 1))
                assert "can't be rewritten" in error(receive_message(client))
                send_descriptor(client, lingering.fileno())
                client.sendall(message(157))
            elif how == "not announced":
                socket.send_fds(client, [message(157)], [lingering.fileno()])
            else:
                os.kill(worker, signal.SIGSTOP)
                client.sendall(define(domain(NEW)))
                wait_until(lambda: not _unread(client), "reading")
                socket.send_fds(client, [message(157)], [lingering.fileno()])
        if how == "unread":
            server.close()
            assert is_closed(client)
            os.kill(worker, signal.SIGCONT)
        else:
            assert receive(server, 28) == message(157)
        begun = time.monotonic()
        for _ in range(20):
            other.sendall(message(157))
            assert receive(its_server, 28) == message(157)
        assert time.monotonic() - begun < 5


@contextlib.contextmanager
def _lingering(seconds: int) -> Iterator[socket.socket]:
    """A socket that takes so long to close, unless there is another descriptor of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = socket.create_connection(server.getsockname())
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while sock.send(bytes(MIB)):
                pass
        option = struct.pack("ii", 1, seconds)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        _KEPT.append(server.accept()[0])
        with sock:
            yield sock


#: Who doesn't read what lingers.
_KEPT: list[socket.socket] = []


def test_large_definitions_of_one_user_keep_nobody_else_from_having_one_judged(
    tmp_path: Path,
) -> None:
    """Neither a large one, in its user's turn, nor any of usual size."""
    prepare = """
import time
from mthook.gate import rewriting, worker_client
worker_client._LARGE = 20_000
examine = rewriting.examine
def examined(xml, *rest, **named):
    time.sleep(len(xml) / 1_000_000)
    return examine(xml, *rest, **named)
rewriting.examine = examined
"""
    rig = Rig(tmp_path, prepare=prepare)
    rig.pin(UUID, OLD)
    rig.start()
    _reach(rig)
    try:
        large = define(domain(NEW) + b" " * 900_000)
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(rig.pair())[0].sendall(large)
            time.sleep(0.5)
            for data in (define(domain(NEW)), define(domain(NEW) + b" " * 30_000)):
                begun = time.monotonic()
                client = stack.enter_context(_as(rig, 4242, 4242, data=OPEN + data))
                server, _ = rig.upstream.accept()
                stack.enter_context(server)
                assert receive_message(server) == OPEN
                server.sendall(OPENED)
                assert machine(receive_message(server)) == OLD
                assert time.monotonic() - begun < 6
                client.kill()
    finally:
        rig.close()


def test_a_message_that_begins_behind_a_streams_packet_has_to_end(tight: Rig) -> None:
    """It isn't the stream's."""
    with tight.pair() as (client, _):
        client.sendall(message(209, kind=framing.STREAM, status=framing.CONTINUE) + b"\0")
        assert is_closed(client)


def test_users_with_large_numbers_are_who_they_are(tight: Rig) -> None:
    """Directories of many sites, and user namespaces, have such."""
    _reach(tight)
    with _as(tight, 3_000_000_000, 3_000_000_001, 4_000_000_000) as client:
        server, _ = tight.upstream.accept()
        assert receive(server, 28) == message(66)
        pid, uid, gid = _peer(server)
        assert (uid, gid) == (3_000_000_000, 3_000_000_001)
        groups = Path(f"/proc/{pid}/status").read_text().partition("Groups:")[2].split("\n")[0]
        assert groups.split() == ["4000000000"]
        client.kill()
        server.close()


def test_sighup_ends_nothing(tight: Rig) -> None:
    """The configuration is read again at each domain."""
    with tight.pair() as (client, server):
        tight.process.send_signal(signal.SIGHUP)
        client.sendall(message(157))
        assert receive(server, 28) == message(157)


def test_a_domain_that_hangs_the_worker_costs_no_other_its_verdict(tmp_path: Path) -> None:
    """The process ends itself, and on_error decides about that domain alone."""
    prepare = """
from mthook.gate import rewriting, worker
worker._SLACK = 0.1
examine = rewriting.examine
def examined(xml, *rest, **named):
    while b"hang" in xml:
        pass
    return examine(xml, *rest, **named)
rewriting.examine = examined
"""
    rig = Rig(tmp_path, more="[hook]\ntimeout = 0.5\non_error = deny\n", prepare=prepare)
    rig.pin(UUID, OLD)
    rig.start()
    try:
        with rig.pair() as (mad, _), rig.pair() as (client, server):
            mad.sendall(define(domain(NEW, name="hang")))
            client.sendall(define(domain(NEW)))
            assert machine(receive_message(server)) == OLD
            assert "the worker process died" in error(receive_message(mad))
    finally:
        rig.close()


def test_a_gate_that_stops_waits_for_no_refused_call(tmp_path: Path) -> None:
    """It is answered."""
    rig = Rig(tmp_path)
    rig.pin(UUID, OLD)
    rig.start()
    worker = rig.worker()
    try:
        with rig.pair() as (client, server):
            client.sendall(message(1))
            receive(server, 28)
            server.sendall(message(1, kind=framing.REPLY))
            receive(client, 28)
            os.kill(worker, signal.SIGSTOP)
            client.sendall(define(LOST))
            server.sendall(message(2, b"event", kind=framing.MESSAGE))
            receive_message(client)
            rig.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "stopping" in rig.log(), "stopping")
            os.kill(worker, signal.SIGCONT)
            assert "can't be rewritten" in error(receive_message(client))
            assert rig.process.wait(5) == 0
    finally:
        rig.close()
