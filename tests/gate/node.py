# SPDX-License-Identifier: Apache-2.0
"""A lab host with a gate in front of its libvirtd, as an operator has it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Optional

from tests.lab import Host
from tests.lab.processes import wait_until
from tests.lab.site import Site, fresh

DIRECT = "/run/libvirt/libvirt-sock"
GATE = "/run/mthook/libvirt-sock"
GATE_RO = "/run/mthook/libvirt-sock-ro"
_LOG = "/var/log/libvirt/gate.log"
_START = f'echo $$ >/run/gate.pid; exec "$0" "$@" 2>>{_LOG}'
_SECONDS = 20


def uri(path: str) -> str:
    """libvirt's URI of a socket."""
    return f"qemu+unix:///system?socket={path}"


class Node(Site):
    """A host with mthook and its gate."""

    def start_gate(self, more: str = "") -> None:
        """Configure and start the gate, and wait until clients are served."""
        self.configure(f"[gate]\ngroup = root\nlisten_ro = {GATE_RO}\n{more}")
        self.process = self.node.popen(
            ["sh", "-c", _START, sys.executable, "-m", "mthook.tools.gate"]
        )
        self._wait_for("listening on /")

    def await_event(self, *event: str) -> None:
        """Wait until the history has an event: the gate answers its client before it writes down what it did."""
        events: list[object] = []

        def is_there() -> bool:
            events[:] = self.events()
            return [*event] in events

        wait_until(f"{event} isn't in the history", is_there, lambda: str(events))

    def stop_gate(self) -> None:
        """Tell the gate to stop, and wait."""
        self.node.run(["sh", "-c", "kill $(cat /run/gate.pid)"])
        self.process.communicate(timeout=_SECONDS)
        self.node.path(_LOG).unlink()

    def log(self) -> str:
        """What the gate has logged."""
        path = self.node.path(_LOG)
        return path.read_text() if path.exists() else ""

    def through(
        self, *argv: str, check: bool = True, input: Optional[str] = None, socket: str = GATE
    ) -> subprocess.CompletedProcess[str]:
        """Run virsh through the gate."""
        return self.node.run(["virsh", "--quiet", "--connect", uri(socket), *argv], check, input)

    def python(self, code: str, *argv: str) -> str:
        """Run a script on the host and return what it prints."""
        return self.node.run([sys.executable, "-c", code, *argv]).stdout

    def outside(self, path: str = GATE) -> str:
        """The URI of a socket for a client outside."""
        return uri(str(self.node.path(path)))

    def processes(self) -> list[str]:
        """Process ids of the gate and its helpers, as the host has them."""
        first = self.node.path("/run/gate.pid").read_text().strip()
        listed = self.node.run(["ps", "-e", "-o", "pid=,ppid="]).stdout.splitlines()
        found = [first]
        for pid, parent in sorted((line.split() for line in listed), key=lambda two: int(two[0])):
            if parent in found:
                found.append(pid)
        return found

    def memory(self) -> float:
        """How many MiB the gate's processes take, each page shared by n of them by its nth part."""
        total = 0
        for pid in self.processes():
            rollup = self.node.path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(rollup.partition("\nPss:")[2].split()[0])
        return total / 1024

    def ticks(self) -> int:
        """How much processor time these have taken, in the kernel's ticks."""
        stats = [self.node.path(f"/proc/{pid}/stat").read_text() for pid in self.processes()]
        fields = [stat.rpartition(")")[2].split() for stat in stats]
        return sum(int(field[11]) + int(field[12]) for field in fields)

    def _wait_for(self, text: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while text not in self.log():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.02)


@contextmanager
def gated(host: Host, more: str = "") -> Iterator[Node]:
    """A host without guests, with mthook new on it and its gate running."""
    site = fresh(host)
    site.__class__ = Node
    assert isinstance(site, Node)
    site.start_gate(more)
    yield site
    site.stop_gate()
    host.remove_guests()
