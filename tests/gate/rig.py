# SPDX-License-Identifier: Apache-2.0
"""The gate's real process between a client and a libvirtd that the test plays."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mthook.catalog.store import Catalog
from mthook.gate import calls, framing
from tests.programs import ENFORCE
from tests.unit.gate.messages import message

SECONDS = 10
#: One worker judges domains of any size, so that a test knows which process it stops or kills.
ONE_WORKER = "from mthook.gate import worker_client\nworker_client._LARGE = 1 << 30"
#: A client's call to be let in, and libvirtd's answer.
OPEN = message(calls.CONNECT_OPEN, serial=0)
OPENED = message(calls.CONNECT_OPEN, kind=framing.REPLY, serial=0)


def wait_until(true: Callable[[], object], what: str) -> None:
    """Wait for something that happens within ten seconds."""
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {SECONDS} s"
        time.sleep(0.01)


class Rig:
    """A gate, its catalog and configuration, and the socket that it takes for libvirtd's.

    :param prepare: Python statements for the gate's process to begin with.
    :param measured: whether its coverage is measured. A connection then takes 20 times the processor time.
    """

    def __init__(
        self, directory: Path, more: str = "", prepare: str = "", *, measured: bool = True
    ) -> None:
        self.directory = directory
        self.listen = directory / "gate"
        self.config = directory / "mthook.conf"
        self.log_path = directory / "log"
        self.catalog_path = directory / "state" / "catalog.sqlite"
        self.upstream = socket.socket(socket.AF_UNIX)
        self.upstream.settimeout(SECONDS)
        self.upstream.bind(str(directory / "libvirt"))
        self.upstream.listen(200)
        os.chmod(directory, 0o755)
        os.chmod(directory / "libvirt", 0o777)
        self.configure(more)
        with self.catalog():
            pass
        self.prepare = prepare
        self.measured = measured
        self._pairing = threading.Lock()

    def configure(self, more: str) -> None:
        """Write the configuration; what it says about sockets counts from the next start."""
        text = (
            f"{ENFORCE}[catalog]\npath = {self.catalog_path}\n[gate]\nlisten = {self.listen}\n"
            f"upstream = {self.directory / 'libvirt'}\ngroup = root\nmode = 0666\n{more}"
        )
        self.config.write_text(text)

    def catalog(self) -> Catalog:
        """The catalog as the tools see it."""
        return Catalog.open(str(self.catalog_path))

    def pin(self, uuid: str, machine: str) -> None:
        """Pin a guest."""
        with self.catalog() as catalog:
            catalog.set_pin(uuid, machine, source="operator", actor="test")

    def start(self, *prefix: str, arguments: Sequence[str] = (), **environment: str) -> None:
        """Start the gate and wait until it is ready.

        :param prefix: a command that runs another one.
        :param arguments: more of the gate's own.
        """
        with self.log_path.open("a") as log:
            self.process = subprocess.Popen(
                [*prefix, *self.command(), *arguments],
                stderr=log,
                env={**os.environ, **environment},
            )
        wait_until(lambda: "listening" in self.log() or self.process.poll() is not None, "a start")
        assert self.process.poll() is None, self.log()

    def command(self) -> list[str]:
        """The command that runs the gate."""
        main = "import sys\nfrom mthook.tools.gate import main\nsys.exit(main(sys.argv[1:]))"
        measured = _measured(self.directory) if self.measured else ""
        code = f"{measured}\n{ONE_WORKER}\n{self.prepare}\n{main}"
        return [sys.executable, "-c", code, "--config-file", str(self.config)]

    def stop(self) -> int:
        """Tell the gate to stop and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS * 2)

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop()
        self.process.kill()
        self.process.wait()
        self.upstream.close()

    def log(self) -> str:
        """What the gate has logged."""
        return self.log_path.read_text()

    def helpers(self) -> list[int]:
        """Process ids of what the gate's spawner has forked: worker and connectors."""
        spawner = _children(self.process.pid)
        return _children(spawner[0]) if spawner else []

    def worker(self) -> int:
        """Process id of the worker, once nobody is connected."""
        wait_until(lambda: len(self.helpers()) == 1, "the end of the connectors")
        return self.helpers()[0]

    def client(self) -> socket.socket:
        """Connect as a client does."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(SECONDS)
        try:
            client.connect(str(self.listen))
        except OSError:
            client.close()
            raise
        return client

    @contextlib.contextmanager
    def pair(self, *, let_in: bool = True) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A client, and libvirtd's end of its connection.

        :param let_in: it has let the client in.
        """
        with contextlib.ExitStack() as both:
            with self._pairing:  # of two clients at once either might get the other's end
                client = both.enter_context(self.client())
                server = both.enter_context(self.upstream.accept()[0])
            server.settimeout(SECONDS)
            if let_in:
                client.sendall(OPEN)
                assert receive(server, len(OPEN)) == OPEN
                server.sendall(OPENED)
                assert receive(client, len(OPENED)) == OPENED
            yield client, server


def _measured(directory: Path) -> str:
    """Return statements that measure coverage in the gate's processes too, where it is measured here."""
    module = sys.modules.get("coverage")
    current = module.Coverage.current() if module is not None else None
    if current is None:
        return ""
    options = {"branch": "true", "source": "mthook", "parallel": "true", "patch": "_exit, fork"}
    options["data_file"] = current.config.data_file
    config = directory / "coveragerc"
    lines = (f"{name} = {value}" for name, value in options.items())
    config.write_text("\n".join(("[run]", *lines)))
    return (
        f"import coverage, os\nos.environ['COVERAGE_PROCESS_START'] = {str(config)!r}\n"
        "coverage.process_startup()"
    )


def _children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in listed.split()]


def receive(sock: socket.socket, size: int) -> bytes:
    """Read exactly so many bytes, as libvirt does: without an eye for descriptors."""
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, f"the connection ended after {len(data)} of {size} bytes"
        data += piece
    return data


def receive_message(sock: socket.socket) -> bytes:
    """Read one message."""
    head = receive(sock, framing.HEADER_SIZE)
    return head + receive(sock, int.from_bytes(head[:4], "big") - len(head))


def receive_descriptor(sock: socket.socket) -> int:
    """Read the byte that carries a descriptor, as libvirt's ``virNetSocketRecvFD``."""
    data, fds, _, _ = socket.recv_fds(sock, 1, 1)
    assert (len(data), len(fds)) == (1, 1)
    return fds[0]


def send_descriptor(sock: socket.socket, fd: int) -> None:
    """Send a descriptor with a byte of its own, as libvirt's ``virNetSocketSendFD``."""
    assert socket.send_fds(sock, [b"\0"], [fd]) == 1


def is_closed(sock: socket.socket) -> bool:
    """Whether the other side has ended a connection, sooner or later."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True
