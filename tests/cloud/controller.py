# SPDX-License-Identifier: Apache-2.0
"""The controller: databases, messages, keystone, placement, glance, neutron and Nova's services but nova-compute."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from tests.cloud import configuration
from tests.cloud.configuration import CONTROLLER
from tests.lab.machine import Machine

_RUN = {
    "mysqld": "mysql",
    "keystone": "keystone",
    "glance": "glance",
    "neutron": "neutron",
    "nova": "nova",
    "placement": "placement",
}
_MEMCACHED = ["memcached", "-u", "memcache", "-l", CONTROLLER, "-m", "64"]
_UWSGI = [
    *("uwsgi_python3", "--master", "--threads", "1", "--enable-threads", "--thunder-lock"),
    *("--die-on-term", "--lazy-apps", "--need-app", "--buffer-size", "65535"),
    *("--add-header", "Connection: close"),
]
_WATCH = "mthook-cloud-watch"
_ML2 = "/etc/neutron/plugins/ml2/ml2_conf.ini"


class Controller(Machine):
    """The machine with its services; :meth:`up` starts them all."""

    def __init__(self, layers: Sequence[Path]) -> None:
        super().__init__("controller", layers)
        self._syncing = threading.Lock()
        configure(self)

    def up(self) -> None:
        """Start everything, as far as possible at once, and wait until it answers."""
        make_run_directories(self)
        start_mariadb(self)
        self.start("memcached", _MEMCACHED)
        start_rabbitmq(self)
        start_keystone(self)
        self._api("placement", 8778, "/usr/bin/placement-api", 1)
        self._service("glance", "glance-api", "--config-file", "/etc/glance/glance-api.conf")
        self._service(
            *("neutron", "neutron-server"),
            *("--config-file", "/etc/neutron/neutron.conf", "--config-file", _ML2),
        )
        self._api("nova", 8774, "/usr/bin/nova-api-wsgi", 2)
        for name in ("nova-conductor", "nova-scheduler"):
            self._service("nova", name)
        ports = {"placement": 8778, "glance-api": 9292, "neutron-server": 9696, "nova": 8774}
        for name, port in ports.items():
            await_port(self, name, port)

    def nova_manage(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run nova-manage, whatever its exit code is."""
        return self.run(["nova-manage", *argv], user="nova", check=False)

    def use_mthook(self, machine_type: Optional[str]) -> None:
        """Start the watch of mthook's run for the whole cloud.

        :param machine_type: the default, as the compute hosts have it.
        """
        self.run(["install", "-d", "/etc/mthook"])
        text = configuration.mthook_controller(machine_type=machine_type)
        self.path("/etc/mthook/mthook.conf").write_text(text)
        self.start(_WATCH, ["mthook-sync", "--cloud", "--watch"])

    def leave_mthook(self) -> None:
        """End the watch, if it runs."""
        self.stop(_WATCH)

    def sync(self) -> None:
        """Go through the whole cloud once, as its timer does; one run at a time."""
        with self._syncing:
            self.run(["mthook-sync", "--cloud"])

    def _service(self, user: str, *argv: str) -> None:
        self.start(argv[0], argv, user=user)

    def _api(self, name: str, port: int, program: str, processes: int) -> None:
        start_api(self, name, port, program, processes)


def configure(machine: Machine) -> None:
    """Write the configuration of all services."""
    for path, text in configuration.files().items():
        machine.path(path).write_text(text)


def make_run_directories(machine: Machine) -> None:
    """Make what tmpfiles.d would."""
    for name, user in _RUN.items():
        machine.run(["install", "-d", "-o", user, "-g", user, f"/run/{name}"])


def start_mariadb(machine: Machine) -> None:
    """Start the database server."""
    machine.start("mariadb", ["mariadbd", "--user=mysql", "--socket=/run/mysqld/mysqld.sock"])
    await_port(machine, "mariadb", 3306)


def start_rabbitmq(machine: Machine) -> None:
    """Start the message broker."""
    machine.start(
        "rabbitmq", ["rabbitmq-server"], user="rabbitmq", env={"HOME": "/var/lib/rabbitmq"}
    )
    await_port(machine, "rabbitmq", 5672)


def start_keystone(machine: Machine) -> None:
    """Start the identity service."""
    start_api(machine, "keystone", 5000, "/usr/bin/keystone-wsgi-public", 2)
    await_port(machine, "keystone", 5000)


def start_api(machine: Machine, name: str, port: int, program: str, processes: int) -> None:
    """Start a WSGI application."""
    where = ["--http-socket", f"{CONTROLLER}:{port}", "--processes", str(processes)]
    machine.start(name, [*_UWSGI, *where, "--wsgi-file", program], user=name)


def await_port(machine: Machine, daemon: str, port: int, address: str = CONTROLLER) -> None:
    """Wait until a daemon listens."""

    def listens() -> bool:
        try:
            socket.create_connection((address, port), timeout=1).close()
        except OSError:
            return False
        return True

    machine.await_daemon(daemon, listens)
