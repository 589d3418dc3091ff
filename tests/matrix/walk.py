# SPDX-License-Identifier: Apache-2.0
"""What mthook does on a release's own libvirt, QEMU and Python: the same steps on each."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid as uuids
from pathlib import Path
from typing import Callable

from tests.lab import guest_xml, roots
from tests.lab.hypervisor import Hypervisor
from tests.lab.processes import wait_until
from tests.lab.requirements import EMULATOR
from tests.matrix import conversions, modular
from tests.matrix.roots import SUITES
from tests.packages import building
from tests.packages.ways import Package, Venv

UUID = "3f2c1d3e-0000-4000-8000-000000000001"
#: The one machine type of its family that QEMU 5.2 has and 11.1 still has.
RIGHT = "pc-i440fx-5.2"
CATALOG = "/var/lib/mthook/catalog.sqlite"
#: Its Python packages are too old for mthook's own package.
UNPACKAGED = "bullseye"
_HOST = [
    *("libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "python3-libvirt"),
    *("python3-venv", "python3-pytest", "python3-pytest-timeout", "python3-hypothesis"),
    *("python3-pymysql", "ca-certificates", "dbus", "procps", "systemd-sysv"),
]
_GATE = "qemu:///system?socket=/run/mthook/libvirt-sock"
#: How Nova is connected before it is led to the gate, by the host's name: libvirt chooses the socket, or nova.conf.
_NOVA = {"one": "qemu:///system", "two": "qemu+unix:///system?socket=/run/libvirt/libvirt-sock"}
#: "Switching to modular daemons" in libvirt's docs/daemons.rst; virtproxyd is for clients on other hosts.
_SWITCH = """\
set -e
systemctl disable --now libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket
for daemon in virtqemud virtproxyd; do
    systemctl enable $daemon.service
    systemctl enable --now $daemon.socket $daemon-ro.socket $daemon-admin.socket
done
"""
#: What the unit tests need beside what they are about.
_UNIT_TESTS = ["python3-pytest-xdist", "python3-psycopg2", "python3-yaml", "zsh"]
#: Debian's package of it starts a service; make has fetched the program alone.
_PROMTOOL = Path(sys.executable).with_name("promtool")
#: Where that is too new for the libraries.
_OLD_PROMTOOL = """\
promtool --version >/dev/null 2>&1 || {
    cd /tmp
    apt-get download -qq -o APT::Sandbox::User=root prometheus
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >/usr/local/bin/promtool
}
"""


class Wrong(Exception):
    """Something that mustn't be: a few words."""


class Release(Hypervisor):
    """A host of a release with mthook in mode enforce and the gate, as the guide says for Nova without its database.

    :cvar daemon: what runs its guests.
    :ivar wrong: another version that its QEMU has.
    """

    daemon = "libvirtd"
    _prepared_by = "true"

    def __init__(self, suite: str, name: str, way: Package | Venv) -> None:
        super().__init__(f"{suite}-{name}", self._layers(suite))
        self.way, self.wrong, self._nova = way, "", _NOVA[name]

    def _layers(self, suite: str) -> list[Path]:
        return [_root(suite)]

    def set_up(self) -> None:
        """Install mthook and set it up."""
        self.run(["sh", "-c", self._prepared_by])
        # Hosts on one machine would have one UUID, and no guest migrates from a host to itself.
        conf = f'host_uuid = "{uuids.uuid4()}"\n'
        self.path(f"/etc/libvirt/{self.daemon}.conf").write_text(conf)
        self.run(["systemctl", "restart", self.daemon])
        self.wrong = self._other_version()
        self.run(["useradd", "--system", "--groups", "libvirt", "nova"])
        self.path("/etc/nova").mkdir()
        self.path("/etc/nova/nova.conf").write_text(f"[libvirt]\nconnection_uri = {self._nova}\n")
        self.way.install(self)
        self.admin("setup", "--yes", "--mode", "enforce", "--write-nova-conf")

    def _other_version(self) -> str:
        self._define("pc")
        newest = self.machine("web")
        self.virsh("undefine", "web")
        return "pc-i440fx-5.1" if newest == RIGHT else newest

    def _define(self, machine: str, uri: str = "qemu:///system", user: str = "root") -> None:
        self.path("/tmp/web.xml").write_text(guest_xml("web", UUID, machine))
        self.run(["virsh", "-q", "-c", uri, "define", "/tmp/web.xml"], user=user)

    def expect(self, what: str, found: str, wanted: str = RIGHT) -> None:
        """Compare."""
        if found != wanted:
            raise Wrong(f"{what}: {found}")

    def versions(self) -> str:
        """Return those of libvirt, QEMU and Python."""
        told = self.virsh("version").splitlines()
        found = [line.split()[-1] for line in told if line.startswith(("Using lib", "Running"))]
        python = self.run(["/usr/bin/python3", "--version"]).stdout.split()[-1]
        return ", ".join([*found, python])

    def remove_guest(self) -> None:
        """Make place for a guest of the same name."""
        self.virsh("destroy", "web")
        self.virsh("undefine", "web")

    @property
    def uri(self) -> str:
        """libvirt's URI of this host for a client outside."""
        return f"qemu+unix:///system?socket={self.path('/run/libvirt/libvirt-sock')}"

    # The steps; each follows the ones before.

    def convert(self) -> None:
        """This libvirt accepts what is converted for it."""
        found = list(conversions.wrong(self.uri))
        if found:
            raise Wrong("\n".join(found))

    def first_start(self) -> None:
        """The first start records the pin."""
        self._define(RIGHT, _GATE, "nova")
        self.virsh("start", "web")
        self.expect("pin", self.admin("get", "web"))

    def stop_a_start(self) -> None:
        """A start as something else is stopped."""
        self.virsh("destroy", "web")
        self._define(self.wrong)
        done = self.try_virsh("start", "web")
        if done.returncode == 0 or f"is pinned to {RIGHT}" not in done.stderr:
            raise Wrong(f"not stopped: {done.stderr}")

    def repair(self) -> None:
        """The definition is mended by itself; the next start works."""
        mended = lambda: self.machine("web", "--inactive") == RIGHT  # noqa: E731
        wait_until("no repair", mended, lambda: self.run(["journalctl", "-t", "mthook"]).stdout)
        self.virsh("start", "web")
        self.expect("it runs as", self.machine("web"))

    def pass_the_gate(self) -> None:
        """The gate puts a definition right on its way."""
        self._define(self.wrong, _GATE, "nova")
        self.expect("defined as", self.machine("web", "--inactive"))

    def save(self) -> None:
        """A managed save and a saved file come back as they were."""
        self.virsh("managedsave", "web")
        self.virsh("start", "web")
        self.virsh("save", "web", "/root/saved")
        self.virsh("restore", "/root/saved")
        self.expect("it runs as", self.machine("web"))

    def restart_the_daemon(self) -> None:
        """libvirt's daemon starts anew beside a running guest."""
        before = self.process("web")
        self.run(["systemctl", "restart", self.daemon])
        self.expect("process", self.process("web"), before)

    def prove_the_guard(self) -> None:
        """The hook is known to have seen each start, and the daemon that has just started to know it; all is well."""
        columns = ("-f", "value", "-c", "Loaded", "-c", "Called")
        self.expect("hook status", self.admin("hook", "status", *columns), "True True")
        self.admin("doctor")

    def forecast(self) -> None:
        """A rehearsal under this release's own QEMU finds nothing, beside the daemon."""
        told = self.admin("forecast", "--qemu-binary", EMULATOR, "--rehearse", "-f", "json")
        errors = [trial["error"] for guest in json.loads(told) for trial in guest["rehearsed"]]
        if errors != [None]:
            raise Wrong(told)

    def break_the_catalog(self) -> None:
        """A guest starts although the catalog can't be read, and log and sync say so; a copy of it is put back."""
        self.virsh("destroy", "web")
        self.run(["sh", "-c", f"cp {CATALOG} /root/; rm -f {CATALOG}-*; echo no >{CATALOG}"])
        self.virsh("start", "web")
        if "catalog" not in self.run(["journalctl", "-t", "mthook", "-n", "20"]).stdout:
            raise Wrong("nothing is logged")
        self.run(["sh", "-c", f"rm -f {CATALOG}-*; cp /root/catalog.sqlite {CATALOG}"])
        told = self.run(["mthook-sync"], check=False).stderr
        if "web" not in told or "started unguarded" not in told:
            raise Wrong(f"mthook-sync doesn't tell of the start: {told}")

    def unit_tests(self) -> None:
        """The unit tests pass with this release's Python and, where mthook is a package, its libraries."""
        self.path("/root/checkout").mkdir()
        building.copy_checkout(self.path("/root/checkout"))
        shutil.copy(_PROMTOOL, self.path("/usr/local/bin"))
        self.apt("update")
        self.run(["sh", "-ec", _OLD_PROMTOOL])
        self.apt("install", "--no-install-recommends", *_UNIT_TESTS)
        self.way.complete(self)
        pytest = f"{self.way.python} -m pytest -q -n 2 -p no:cacheprovider {self.way.left_out}"
        run = f"cd /root/checkout && {pytest} tests/unit"
        done = self.run(["sh", "-c", run], check=False)
        if done.returncode:
            raise Wrong(done.stdout[-3000:])

    def migrate_to(self, other: Release) -> None:
        """A guest that runs moves to another host with its pin."""
        if self.try_virsh("domstate", "web").returncode:
            self.first_start()
        argv = ["migrate", "--live", "--persistent", "--undefinesource", "web", other.uri]
        done = subprocess.run(
            ["virsh", "-q", "-c", self.uri, *argv, "tcp://127.0.0.1"],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Wrong(done.stderr.strip())
        other.expect("it runs as", other.machine("web"))
        other.expect("pin there", other.admin("get", "web"))
        other.stop_a_start()
        other.repair()
        other.pass_the_gate()


class Modular(Release):
    """One where virtqemud runs the guests, and virtproxyd serves libvirtd's socket."""

    daemon = "virtqemud"
    _prepared_by = _SWITCH

    def _layers(self, suite: str) -> list[Path]:
        (root,) = super()._layers(suite)
        return [modular.daemons(root), root]


STEPS: dict[str, Callable[[Release], None]] = {
    "set up": Release.set_up,
    "conversions": Release.convert,
    "first start": Release.first_start,
    "wrong start stopped": Release.stop_a_start,
    "definition mended": Release.repair,
    "gate": Release.pass_the_gate,
    "save, restore": Release.save,
    "daemon restarted": Release.restart_the_daemon,
    "proof of guard": Release.prove_the_guard,
    "rehearsal": Release.forecast,
    "catalog broken": Release.break_the_catalog,
    "unit tests": Release.unit_tests,
}


def _root(suite: str) -> Path:
    return roots.debian(
        f"matrix-{suite}",
        suite,
        [_HOST],
        f"Making {SUITES[suite]} with libvirt in {roots.cache()}, once. Nothing is installed on this machine.",
    )
