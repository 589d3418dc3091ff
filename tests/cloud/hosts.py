# SPDX-License-Identifier: Apache-2.0
"""Compute hosts: libvirtd, sshd, nova-compute, and mthook where a set-up has it."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Optional

from tests.cloud import configuration
from tests.cloud.configuration import HOSTS
from tests.cloud.controller import await_port, make_run_directories
from tests.lab.machine import Machine
from tests.lab.processes import SECONDS

_GATE = "/run/mthook/libvirt-sock"
_UNITS = Path(__file__).with_name("pathunits.py")
_LIBVIRT_SOCKET = "/run/libvirt/libvirt-sock"
# A start as the log of a guest has it: libvirt writes the command line of QEMU into it.
_START = re.compile(r"^(\S+ \S+): starting up.*?^-machine (?:type=)?([^,\s]+)", re.S | re.M)
#: What mthook-sync ends with while another one runs.
_BUSY = 3
_POLL = 0.3
_CLEAR = """\
[ -x /opt/mthook/bin/mthook-admin ] && /opt/mthook/bin/mthook-admin hook uninstall
rm -rf /etc/mthook /var/lib/mthook /run/mthook
for domain in $(virsh -q -c qemu:///system list --all --uuid); do
    virsh -q -c qemu:///system destroy --domain $domain
    virsh -q -c qemu:///system undefine --domain $domain --managed-save
done
exit 0
"""


class Start(NamedTuple):
    """One start of a guest; an arrival by live migration is one as well."""

    when: datetime
    host: str
    machine: str


class ComputeHost(Machine):
    """A machine with libvirtd; nova-compute and mthook come and go."""

    def __init__(self, name: str, layers: Sequence[Path]) -> None:
        super().__init__(name, layers)
        for path, text in configuration.libvirt(name).items():
            self.path(path).write_text(text)
        make_run_directories(self)
        self.run(["sh", "-c", "mkdir -p /run/sshd /etc/libvirt/hooks; rm -rf /etc/libvirt/qemu/*"])

    def up(self) -> None:
        """Start libvirtd and sshd."""
        self.start("sshd", ["/usr/sbin/sshd", "-D", "-o", f"ListenAddress={HOSTS[self.name]}"])
        self.start("libvirtd", ["libvirtd", "--listen"])
        self.await_daemon("libvirtd", self.path(_LIBVIRT_SOCKET).exists)
        self.await_daemon("libvirtd", lambda: self.virsh("version").returncode == 0)
        await_port(self, "sshd", 22, HOSTS[self.name])

    def virsh(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run virsh, whatever its exit code is."""
        return self.run(["virsh", "-q", "-c", "qemu:///system", *argv], check=False)

    def configure(
        self, machine_type: Optional[str], *, gate: bool = False, database: bool = False
    ) -> None:
        """Write nova.conf and mthook.conf.

        :param machine_type: the default, ``[libvirt] hw_machine_type`` of both.
        :param gate: whether nova-compute goes through the gate.
        :param database: whether mthook may ask Nova's database.
        """
        uri = f"qemu+unix:///system?socket={_GATE}" if gate else None
        nova = configuration.compute(self.name, machine_type=machine_type, connection_uri=uri)
        self.path("/etc/nova/nova.conf").write_text(nova)
        self.run(["install", "-d", "/etc/mthook"])
        mthook = configuration.mthook(machine_type=machine_type, with_database=database)
        self.path("/etc/mthook/mthook.conf").write_text(mthook)

    def start_compute(self) -> None:
        """Start nova-compute; it is ready some seconds later."""
        argv = ["nova-compute", "--config-file", "/etc/nova/nova.conf"]
        self.start("nova-compute", argv, user="nova")

    def stop_compute(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End nova-compute, if it runs."""
        self.stop("nova-compute", number)

    def use_mthook(self, *, gate: bool) -> None:
        """Start mthook, which is configured: hook, path units and, if wanted, the gate."""
        self.sync()
        self.mthook("mthook-admin", "hook", "install")
        self.path("/usr/local/sbin/pathunits").write_text(_UNITS.read_text())
        self.start("pathunits", ["python3", "/usr/local/sbin/pathunits"])
        if gate:
            self.run(["install", "-d", "/run/mthook"])
            self.start("mthook-gate", ["mthook-gate"])
            self.await_daemon("mthook-gate", self.path(_GATE).exists)

    def clear(self) -> None:
        """Make the host one that has no guest and never had mthook; nova-compute mustn't run.

        Nova forgets guests: that of an instance which was deleted in ERROR after a migration is left on its old host.
        """
        for daemon in ("pathunits", "mthook-gate"):
            self.stop(daemon)
        self.run(["sh", "-c", _CLEAR])

    def sync(self) -> None:
        """Run mthook's sync, once no other run is under way: the path units start some."""
        deadline = time.monotonic() + SECONDS
        while self.mthook("mthook-sync", check=time.monotonic() > deadline).returncode == _BUSY:
            time.sleep(_POLL)

    def mthook(
        self, program: str, *argv: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run one of mthook's commands."""
        return self.run([program, *argv], check=check)

    def starts(self, domain: str) -> list[Start]:
        """Return every start of a guest on this host, by libvirt's own log."""
        log = self.path(f"/var/log/libvirt/qemu/{domain}.log")
        if not log.exists():
            return []
        found = _START.findall(log.read_text(errors="replace"))
        return [Start(_time(when), self.name, machine) for when, machine in found]


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f%z")
