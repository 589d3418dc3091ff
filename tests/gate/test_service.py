# SPDX-License-Identifier: Apache-2.0
"""The gate as a service: its beginning, its end, its sockets, what systemd hears of it."""

from __future__ import annotations

import configparser
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook.gate import framing
from tests.gate.rig import Rig, is_closed, receive, receive_message, wait_until
from tests.lab import PC
from tests.unit.gate.messages import define, message
from tests.unit.hook.conftest import UUID, domain

ROOT = Path(__file__).parents[2]

#: What systemd does: hands on a listening socket as descriptor 3 and says so by process id.
ACTIVATE = """
import os, sys
fd = int(sys.argv[1])
os.dup2(fd, 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Rig]:
    """A gate that a test starts and stops itself."""
    rig = Rig(tmp_path, prepare="from mthook.gate import server\nserver.DRAIN_SECONDS = 1")
    yield rig
    if hasattr(rig, "process"):
        rig.close()


def _run(rig: Rig) -> str:
    """Start a gate that ends at once with 1; return what it says."""
    done = subprocess.run(rig.command(), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


def test_an_idle_gate_ends_at_once_and_leaves_nothing(own: Rig) -> None:
    """Neither processes nor a socket."""
    own.start()
    helpers = own.helpers()
    with own.pair() as (client, server):
        assert own.stop() == 0
        assert is_closed(client)
        assert is_closed(server)
    assert not own.listen.exists()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in helpers), "their end")


def test_a_call_gets_its_answer_before_the_gate_ends(own: Rig) -> None:
    """Others are not let in any more."""
    own.start()
    with own.pair() as (client, server):
        client.sendall(message(9))
        receive(server, 28)
        own.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in own.log(), "stopping")
        with pytest.raises(OSError):
            own.client()
        server.sendall(message(9, kind=framing.REPLY))
        assert receive(client, 28) == message(9, kind=framing.REPLY)
        assert is_closed(client)
    assert own.process.wait(1) == 0


def test_a_stream_may_end_before_the_gate_does(own: Rig) -> None:
    """An upload that its client is about to finish."""
    own.start()
    packet = message(208, b"data", kind=framing.STREAM, status=framing.CONTINUE)
    end = message(208, kind=framing.STREAM, status=framing.OK)
    with own.pair() as (client, server):
        client.sendall(packet)
        receive(server, len(packet))
        own.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in own.log(), "stopping")
        client.sendall(packet + end)
        receive(server, len(packet + end))
        server.sendall(end)
        assert receive(client, 28) == end
        assert is_closed(client)


def test_a_call_that_takes_too_long_is_cut_off(own: Rig) -> None:
    """And the log says so."""
    own.start()
    with own.pair() as (client, server):
        client.sendall(message(9))
        receive(server, 28)
        assert own.stop() == 0
        assert is_closed(client)
    assert "cut off: the gate stops, and its calls take longer than 1 s" in own.log()


def test_its_socket_belongs_to_whom_the_configuration_says(own: Rig) -> None:
    """By default to root and one group, and to nobody else."""
    own.configure("listen_ro = " + str(own.directory / "ro"))
    text = own.config.read_text().replace("group = root", "group = daemon")
    own.config.write_text(text.replace("mode = 0666\n", "owner = nobody\n"))
    own.start()
    for path in (own.listen, own.directory / "ro"):
        status = path.stat()
        assert stat.S_IMODE(status.st_mode) == 0o660
        assert (path.owner(), path.group()) == ("nobody", "daemon")


def test_a_socket_that_nobody_listens_on_is_replaced(own: Rig) -> None:
    """A gate that was killed leaves it behind."""
    own.start()
    own.process.kill()
    own.process.wait()
    assert own.listen.exists()
    own.log_path.write_text("")

    own.start()

    with own.pair():
        pass


def test_what_keeps_it_from_starting_is_one_line(own: Rig) -> None:
    """That names the file or the option."""
    own.start()
    assert _run(own) == f"mthook-gate: can't listen on {own.listen}: another program does\n"
    own.stop()
    own.listen.write_text("")
    assert "something other than a socket is there" in _run(own)
    own.listen.unlink()
    text = own.config.read_text()
    own.config.write_text(text.replace("group = root", "group = nogroup-of-this-name"))
    assert _run(own) == "mthook-gate: [gate] group: no group nogroup-of-this-name\n"
    own.config.write_text(text.replace("mode = 0666", "mode = 999"))
    assert "Value for option mode in" in _run(own)


def test_a_wrong_command_line_is_one_line(own: Rig) -> None:
    """As with mthook's other programs."""
    done = subprocess.run(
        [*own.command(), "--verb"], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "mthook-gate: unrecognized arguments: --verb; see 'mthook-gate --help'\n"
    )


@pytest.mark.parametrize("verbose", [True, False])
def test_a_domain_that_is_passed_is_logged_on_request(own: Rig, verbose: bool) -> None:
    """One that is rewritten always is."""
    own.pin(UUID, "pc-i440fx-6.2")
    own.start(arguments=["-v"] if verbose else [])
    with own.pair() as (client, server):
        for machine in ("pc-i440fx-6.2", PC):
            client.sendall(define(domain(machine)))
            assert b"pc-i440fx-6.2" in receive_message(server)
    wait_until(lambda: "rewritten to" in own.log(), "the log")
    passed = f"guest {UUID}: pc-i440fx-6.2 passed unchanged for uid {os.getuid()} ("
    assert (passed in own.log()) is verbose


def test_it_ends_when_its_helpers_are_gone(own: Rig) -> None:
    """So that systemd starts it anew."""
    own.start()
    spawner = Path(f"/proc/{own.process.pid}/task/{own.process.pid}/children").read_text().split()
    os.kill(int(spawner[0]), signal.SIGKILL)
    assert own.process.wait(10) == 1
    assert "the gate's helper processes are gone" in own.log()


def test_the_capabilities_of_the_unit_are_enough(own: Rig) -> None:
    """To be another user, to read a configuration that is nova's alone, and to read and write the catalog."""
    unit = configparser.RawConfigParser(strict=False)
    unit.read(ROOT / "etc/systemd/mthook-gate.service")
    names = unit["Service"]["CapabilityBoundingSet"].lower().replace("cap_", "+").split()
    assert names == ["+setuid", "+setgid", "+dac_read_search"]
    os.chown(own.config, 65534, 65534)
    own.config.chmod(0o640)
    own.start("setpriv", "--no-new-privs", "--bounding-set", ",".join(["-all", *names]))
    own.pin(UUID, "pc-i440fx-6.2")
    with own.pair() as (client, server):
        client.sendall(define(domain(PC)))
        assert b"pc-i440fx-6.2" in receive_message(server)
    wait_until(lambda: "rewritten to" in own.log(), "the history")
    assert "isn't recorded" not in own.log()


def test_systemd_hears_of_beginning_end_and_life(own: Rig) -> None:
    """READY only when clients are served."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(own.directory / "notify"))
        manager.settimeout(10)
        own.start(NOTIFY_SOCKET=str(own.directory / "notify"), WATCHDOG_USEC="200000")
        assert manager.recv(100) == b"READY=1"
        for _ in range(3):
            assert manager.recv(100) == b"WATCHDOG=1"
        own.process.send_signal(signal.SIGTERM)
        heard = b"WATCHDOG=1"
        while heard == b"WATCHDOG=1":
            heard = manager.recv(100)
        assert heard == b"STOPPING=1"


@contextlib.contextmanager
def _activated(rig: Rig, listener: socket.socket, name: str) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [str(listener.fileno()), name, *rig.command()]
    with rig.log_path.open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, *arguments],
            pass_fds=[listener.fileno()],
            stderr=log,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


class Caller(threading.Thread):
    """A client that connects, calls, and goes, over and over; and the libvirtd that answers it."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(daemon=True)
        self.rig, self.answered, self.failed = rig, 0, []
        self.stopped = self.finished = False
        self.server = threading.Thread(target=self.serve, daemon=True)

    def serve(self) -> None:
        """Answer one client after the other."""
        self.rig.upstream.settimeout(0.2)
        while not self.finished:
            with contextlib.suppress(OSError, AssertionError):
                server, _ = self.rig.upstream.accept()
                with server:
                    server.settimeout(5)
                    receive(server, 28)
                    server.sendall(message(66, kind=framing.REPLY))

    def run(self) -> None:
        """Call until stopped."""
        self.server.start()
        while not self.stopped:
            try:
                with self.rig.client() as client:
                    client.sendall(message(66))
                    receive(client, 28)
                    self.answered += 1
            except (OSError, AssertionError) as error:
                self.failed.append(error)
        self.finished = True
        self.server.join()


@pytest.mark.parametrize("name", ["read-write", "read-only"])
def test_a_restart_loses_no_attempt_to_connect(own: Rig, name: str) -> None:
    """systemd keeps the socket while there is no gate; what it is for shows by its name."""
    own.measured = False  # for all who connect
    option = "upstream_ro" if name == "read-only" else "upstream"
    text = own.config.read_text().replace("upstream = ", f"{option} = ")
    own.config.write_text(text if option == "upstream" else text + "upstream = /nowhere\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(own.listen))
        listener.listen(100)
        caller = Caller(own)
        caller.start()
        try:
            for _ in range(3):
                before = caller.answered
                with _activated(own, listener, name):
                    wait_until(lambda: caller.answered > before + 20, "answers")  # noqa: B023
                time.sleep(0.1)
            with _activated(own, listener, name):
                caller.stopped = True
                caller.join(20)
        finally:
            caller.stopped = caller.finished = True
    assert caller.failed == []
    assert own.listen.exists()
