# SPDX-License-Identifier: Apache-2.0
"""A machine with systemd, libvirt and packages that do on it what they do on a host."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.lab.machine import Machine
from tests.lab.processes import ENVIRONMENT

_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "DEBIAN_PRIORITY": "critical"}
_MACHINE = re.compile(r"<type [^>]*machine='([^']*)'")


class Hypervisor(Machine):
    """It runs once it is made; see :class:`.Machine`."""

    def __init__(self, name: str, layers: Sequence[Path]) -> None:
        super().__init__(name, layers, boots=True)
        with self.closed_on_failure():
            self.path("/usr/sbin/policy-rc.d").unlink()

    def virsh(self, *argv: str) -> str:
        """Run virsh; it has to succeed."""
        return self.try_virsh(*argv, check=True).stdout.strip()

    def try_virsh(self, *argv: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run virsh, which may fail."""
        return self.run(["virsh", "-q", "-c", "qemu:///system", *argv], check=check)

    def apt(self, *argv: str) -> str:
        """Run apt-get; it has to succeed. Return what it and the package's scripts say."""
        done = self.run(["apt-get", "-y", *argv], env={**ENVIRONMENT, **_QUIET}, timeout=3600)
        return done.stdout + done.stderr

    def admin(self, *argv: str) -> str:
        """Run mthook-admin; it has to succeed."""
        return self.run(["mthook-admin", *argv]).stdout.strip()

    def machine(self, guest: str, *options: str) -> str:
        """Return a guest's machine type; with ``--inactive`` its definition's."""
        found = _MACHINE.search(self.virsh("dumpxml", *options, guest))
        assert found is not None
        return found[1]

    def process(self, guest: str) -> str:
        """Return what identifies a guest's process: its id and its start; '' if it doesn't run."""
        if self.virsh("domstate", guest) == "shut off":
            return ""
        pid = self.path(f"/run/libvirt/qemu/{guest}.pid").read_text().strip()
        stat = self.path(f"/proc/{pid}/stat").read_text()
        return f"{pid}:{stat.rpartition(')')[2].split()[19]}"
