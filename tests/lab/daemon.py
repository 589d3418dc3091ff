# SPDX-License-Identifier: Apache-2.0
"""The libvirtd of a lab host: configured, started, stopped, killed, told to look again."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import uuid as uuids
from pathlib import Path
from typing import Optional

from tests.lab.namespaces import Namespaces
from tests.lab.ports import PORTS, reserve_ports
from tests.lab.requirements import PATH, LabError

_SECONDS_TO_START = 60
_SECONDS_TO_STOP = 30
_SOCKET = "run/libvirt/libvirt-sock"
_CAPABILITIES = "var/cache/libvirt/qemu/capabilities"

#: What libvirt learnt about this machine's QEMU, by file name. Asking QEMU takes a second, so later
#: hosts get it from the first.
_known_capabilities: dict[str, bytes] = {}

# Without the filter libvirt asks QEMU for each of 300 properties of a CPU at every start, and QEMU reads its questions
# byte by byte: three quarters of a start's processor time.
_QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
capability_filters = [ "cpu-unavailable-features" ]
migration_port_min = {first}
migration_port_max = {middle}
remote_display_port_min = {screens}
remote_display_port_max = {last}
"""

_LIBVIRTD_CONF = """\
host_uuid = "{uuid}"
unix_sock_group = "root"
unix_sock_ro_perms = "0700"
unix_sock_rw_perms = "0700"
unix_sock_admin_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""


class Daemon:
    """The libvirtd inside some namespaces."""

    def __init__(self, namespaces: Namespaces) -> None:
        """Write the configuration; :meth:`start` starts it."""
        self._namespaces = namespaces
        self._process: Optional[subprocess.Popen[str]] = None
        self.root = Path(f"/proc/{namespaces.pid}/root")
        self.uri = f"qemu+unix:///system?socket={self.root / _SOCKET}"
        self._ports, first = reserve_ports()
        etc = self.root / "etc/libvirt"
        (etc / "qemu.conf").write_text(
            _QEMU_CONF.format(
                first=first,
                middle=first + PORTS // 2 - 1,
                screens=first + PORTS // 2,
                last=first + PORTS - 1,
            )
        )
        (etc / "libvirtd.conf").write_text(_LIBVIRTD_CONF.format(uuid=uuids.uuid4()))
        directory = self.root / _CAPABILITIES
        directory.mkdir(parents=True)
        for name, content in _known_capabilities.items():
            (directory / name).write_bytes(content)

    @property
    def running(self) -> bool:
        """Whether libvirtd runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start libvirtd and wait until it answers.

        :raises LabError: it runs already, ended at once, or doesn't answer; its log follows.
        """
        if self.running:
            raise LabError("libvirtd runs already.")
        self._process = self._namespaces.popen(
            ["libvirtd"],
            {"PATH": PATH, "LC_ALL": "C", "HOME": "/root"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait_until_ready()
        self._remember_capabilities()

    def stop(self) -> None:
        """End libvirtd as a service manager does; guests stay."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill libvirtd with SIGKILL; guests stay."""
        self._end(signal.SIGKILL)

    def reload(self) -> None:
        """Send SIGHUP, which makes libvirtd look for hooks again."""
        self._signal(signal.SIGHUP)

    def log(self) -> str:
        """Return what libvirtd has logged, warnings and errors only."""
        path = self.root / "var/log/libvirt/libvirtd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Let go of everything held outside; the namespaces must be closed already."""
        if self._process is not None:
            self._process.wait()
        self._ports.close()

    def _signal(self, number: signal.Signals) -> None:
        # Its process id is one of the namespace's, so the signal is sent from inside.
        pid = (self.root / "run/libvirtd.pid").read_text().strip()
        subprocess.run(
            self._namespaces.command(["sh", "-c", 'kill "-$1" "$2"', "sh", str(number.value), pid]),
            check=True,
        )

    def _end(self, number: signal.Signals) -> None:
        if self._process is None or not self.running:
            raise LabError("libvirtd doesn't run.")
        self._signal(number)
        try:
            self._process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            raise LabError(
                f"libvirtd doesn't end within {_SECONDS_TO_STOP} s.\n{self.log()}"
            ) from None

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _SECONDS_TO_START
        while not self._answers():
            if not self.running:
                raise LabError(f"libvirtd ended as soon as it was started.\n{self.log()}")
            if time.monotonic() > deadline:
                raise LabError(
                    f"libvirtd doesn't answer within {_SECONDS_TO_START} s.\n{self.log()}"
                )
            time.sleep(0.02)

    def _answers(self) -> bool:
        """Tell whether a client is served.

        libvirtd listens before it is ready to answer, and lets early clients wait.
        """
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self.root / _SOCKET))
        except OSError:
            return False
        # Asked for capabilities, libvirt asks QEMU now rather than at the first guest, and what
        # it learns can be remembered.
        answer = subprocess.run(
            ["virsh", "-c", self.uri, "capabilities"],
            check=False,
            capture_output=True,
            timeout=_SECONDS_TO_START,
        )
        return answer.returncode == 0

    def _remember_capabilities(self) -> None:
        for path in (self.root / _CAPABILITIES).iterdir():
            _known_capabilities[path.name] = path.read_bytes()
