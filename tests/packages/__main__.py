# SPDX-License-Identifier: Apache-2.0
"""Build the packages in clean roots of Debian 12 and 13; install, upgrade, remove and purge them beside running guests.

Roots are kept from run to run below /var/cache/mthook-roots, or $MTHOOK_ROOTS.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Callable

from tests.lab import LabError, exit_code, guest_xml
from tests.lab.hypervisor import Hypervisor
from tests.lab.machine import Machine
from tests.lab.processes import wait_until
from tests.lab.table import log
from tests.packages import (
    building,
    confined,
    interruption,
    kinds,
    load,
    rollout,
    selinux,
    services,
    unasked,
)
from tests.packages.services import Wrong

_HOST = [
    *("libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "python3-libvirt"),
    *("python3-pymysql", "python3-apt", "dbus", "procps", "systemd-sysv", *building.DEPENDENCIES),
]
_GUESTS = {"web": "pc-i440fx-5.2", "db": "pc-q35-5.2", "off": "pc-q35-5.2"}
_RUNNING = ("web", "db")
#: What libvirt and apt write whenever they are used.
_GUESTS_FILES = ("/etc/libvirt/qemu", "/var/lib/libvirt", "/var/cache/", "/var/lib/apt", "/root/")
_FIND = "find / -xdev -path /proc -prune -o -path /run -prune -o -path /tmp -prune -o -path /var/log -prune -o -print"
_LINTIAN = f"lintian --pedantic --fail-on none /build/{building.VERSION}/*.changes"
# The machine is the container that the test wants.
_AUTOPKGTEST = [
    *("autopkgtest", "--no-built-binaries", "--ignore-restrictions=isolation-container"),
    *(f"/root/debs/mthook_{building.VERSION}_all.deb", "/root/mthook/", "--", "null"),
]
_RPMBUILD = f"""\
cd /rpm
mkdir SOURCES
tar -czf SOURCES/mthook-{building.VERSION}.tar.gz mthook-{building.VERSION}
cp mthook-{building.VERSION}/tests/packages/rpm-macros /root/.rpmmacros
rpmbuild -bb --nodeps --define '_topdir /rpm' mthook-{building.VERSION}/deploy/rpm/mthook.spec
"""
_IN_RPMS = "rpm -qp --qf '[%{FILEMODES:perms} %{FILENAMES}\\n]' /rpm/RPMS/noarch/*.rpm"
_IN_DEBS = f"for deb in /build/{building.VERSION}/*.deb; do dpkg-deb -c $deb; done"
_RPMS_OWN = {"/usr/share/selinux/packages/mthook.pp"}
_DOCUMENT = re.compile("^/usr/share/doc/mthook(-doc)?(-[0-9.]+)?/")
#: In Debian 12, a link to /usr/lib.
_PLACE = re.compile("^/lib/")
#: What the kinds of packages say about themselves, and what they make of the rest.
_ABOUT = re.compile(
    r"(dist|egg)-info/|/licenses/|/doc-base/|^document/(copyright|changelog|CHANGELOG)|\.pyc$"
)


class Host(Hypervisor):
    """A clean release of Debian with systemd and libvirt, and guests of which two run."""

    def __init__(self, suite: str, debs: Mapping[str, Path]) -> None:
        super().__init__("host", [_root(suite)])
        with self.closed_on_failure():
            self._furnish(debs)

    def _furnish(self, debs: Mapping[str, Path]) -> None:
        self.path("/root/debs").mkdir()
        for deb in debs.values():
            shutil.copy(deb, self.path("/root/debs"))
        self.files = self._files()
        for number, (name, machine) in enumerate(_GUESTS.items()):
            uuid = f"3f2c1d3e-0000-4000-8000-00000000000{number}"
            self.path("/root/guest.xml").write_text(guest_xml(name, uuid, machine))
            self.virsh("define", "/root/guest.xml")
        for name in _RUNNING:
            self.virsh("start", name)
        self.processes = self._processes()

    def check_guests(self) -> None:
        """See that no guest's process was ended, started or stopped."""
        if self._processes() != self.processes:
            raise Wrong("a running guest isn't what it was")

    def new_files(self) -> set[str]:
        """Return the files that weren't there in the beginning, but for what the guests themselves left."""
        return {path for path in self._files() - self.files if not path.startswith(_GUESTS_FILES)}

    def _files(self) -> set[str]:
        return set(self.run(["sh", "-c", _FIND]).stdout.splitlines())

    def _processes(self) -> dict[str, str]:
        return {
            name: self.path(f"/run/libvirt/qemu/{name}.pid").read_text()
            for name in _RUNNING
            if self.virsh("domstate", name) == "running"
        }


def _install(host: Host) -> None:
    """Nothing happens to the host."""
    host.apt("install", "/root/debs/mthook_0.1.0_all.deb")
    host.check_guests()
    for place in ("/etc/libvirt/hooks/qemu", "/etc/mthook", "/var/lib/mthook"):
        if host.path(place).exists():
            raise Wrong(f"{place} is there although nobody has set mthook up")
    enabled = [path for path in host.new_files() if ".wants/mthook" in path]
    if enabled:
        raise Wrong(f"systemd would start {', '.join(enabled)}")


def _set_up(host: Host) -> None:
    """One command, and the host is guarded in mode audit."""
    host.run(["mthook-admin", "setup", "--yes"])
    host.check_guests()
    pins = {name: host.admin("get", name) for name in _GUESTS}
    if pins != _GUESTS:
        raise Wrong(f"the pins are {pins}")
    host.virsh("start", "off")
    if "started" not in host.admin("history", "off", "-f", "json"):
        host.admin("hook", "status")
    host.virsh("destroy", "off")


def _stop_a_start(host: Host) -> None:
    """In mode enforce the hook of the package stops what would change a guest."""
    host.run(["mthook-admin", "setup", "--yes", "--mode", "enforce"])
    host.run(["sh", "-c", "virsh dumpxml off | sed s/pc-q35-5.2/pc-q35-5.1/ > /root/guest.xml"])
    host.virsh("define", "/root/guest.xml")
    done = host.run(["virsh", "start", "off"], check=False)
    if done.returncode == 0 or "pc-q35-5.2" not in done.stderr:
        raise Wrong(f"a start with another machine type wasn't stopped: {done.stderr.strip()}")
    wait_until(
        "mthook-repair.path hasn't mended the definition",
        lambda: "pc-q35-5.2" in host.virsh("dumpxml", "--inactive", "off"),
        lambda: host.run(["journalctl", "-u", "mthook-repair.service"]).stdout,
    )
    host.virsh("start", "off")
    host.virsh("destroy", "off")


def _upgrade(host: Host) -> None:
    """The hook becomes the new version's, the gate restarts under load, the catalog and the guests stay."""
    host.run(["systemctl", "enable", "--now", "mthook-gate.socket"])
    host.run(["sh", "-c", f"{services.CLIENT} list"])
    gate = services.pid(host, "mthook-gate")
    load.begin(host)
    services.renew_hook(host)
    load.end(host)
    host.check_guests()
    if services.pid(host, "mthook-gate") in (gate, "0"):
        raise Wrong("the gate doesn't run the new version")
    if {name: host.admin("get", name) for name in _GUESTS} != _GUESTS:
        raise Wrong("the pins aren't what they were")


def _remove(host: Host) -> None:
    """The hook goes, the catalog stays, and guests start as on a host without mthook."""
    host.apt("remove", "mthook")
    host.check_guests()
    if host.path("/etc/libvirt/hooks/qemu").exists():
        raise Wrong("the hook is left")
    if not host.path("/var/lib/mthook/catalog.sqlite").exists():
        raise Wrong("the catalog is gone")
    host.virsh("start", "off")
    host.virsh("destroy", "off")


def _purge(host: Host) -> None:
    """Nothing is left, also not of a hook that was installed when the package went."""
    host.apt("install", f"/root/debs/mthook_{building.NEXT}_all.deb")
    host.run(["mthook-admin", "setup", "--yes"])
    host.apt("purge", "mthook")
    host.check_guests()
    left = sorted(host.new_files())
    if left:
        raise Wrong(f"left are {', '.join(left[:5])}")


def _test_as_debian(host: Host) -> None:
    """The package passes its own test, as Debian would run it."""
    building.copy_checkout(host.path("/root/mthook"))
    host.apt("update")
    host.apt("install", "autopkgtest")
    host.run(_AUTOPKGTEST)
    host.check_guests()


Step = Callable[[Host], None]
#: What is done to a host, one after the other.
_STEPS: dict[str, Step] = {
    "install": _install,
    "set up": _set_up,
    "stop a wrong start": _stop_a_start,
    "a sync by the clock": unasked.sync,
    "a push": unasked.push,
    "upgrade": _upgrade,
    "a gate that doesn't start": services.bypass,
    "the same with on_error = deny": services.deny,
    "a gate that hangs": services.hang,
    "another Python": services.lose_python,
    "a hook in a container": services.answer_hooks,
    "hardening": services.harden,
    "a nova.conf of nova's alone": services.read_novas,
    "remove": _remove,
    "purge": _purge,
}


def main() -> int:
    """Run it; the exit code is 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="tests.packages", description=__doc__)
    parser.add_argument(
        "--suite", choices=building.SUITES, action="append", help="only this release"
    )
    suites = parser.parse_args().suite or list(building.SUITES)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return max([_try(suite) for suite in suites])
    except (LabError, Wrong) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _try(suite: str) -> int:
    with tempfile.TemporaryDirectory() as directory:
        if _interrupt(suite):
            return 1
        debs = _build(suite, Path(directory))
        if suite == "bookworm":
            selinux.check()
            confined.check(debs)
            if _roll_out(debs, Path(directory)):
                return 1
        walks = [
            _STEPS,
            {"autopkgtest": _test_as_debian},
            *({f"a host {kind}": step} for kind, step in kinds.KINDS.items()),
        ]
        return max([_walk(suite, debs, steps) for steps in walks])


def _root(suite: str) -> Path:
    return building.root("host", suite, [_HOST])


def _interrupt(suite: str) -> int:
    try:
        interruption.check(_root(suite))
    except Wrong as error:
        log(f"{building.SUITES[suite]}: interrupted: {error}")
        return 1
    log(f"{building.SUITES[suite]}: interrupted while it boots: nothing is left")
    return 0


def _walk(suite: str, debs: Mapping[str, Path], steps: Mapping[str, Step]) -> int:
    """Take steps on a host that is new; the exit code is 1 where something was wrong."""
    host = Host(suite, debs)
    try:
        for name, step in steps.items():
            step(host)
            log(f"{building.SUITES[suite]}: {name}: as it should be")
    except Wrong as error:
        log(f"{building.SUITES[suite]}: {name}: {error}")
        return 1
    finally:
        host.close()
    return 0


def _roll_out(debs: Mapping[str, Path], directory: Path) -> int:
    """Have Ansible set hosts up, enforce and upgrade; it stops at the first that doesn't work."""
    hosts: dict[str, Host] = {}
    try:
        for name in (*rollout.FLEET, rollout.CONTAINED):
            hosts[name] = Host("bookworm", debs)
        ansible = rollout.Ansible(directory, hosts, debs)
        for step, check in rollout.STEPS.items():
            check(ansible)
            for name in rollout.FLEET:
                hosts[name].check_guests()
            log(f"Ansible: {step}: as it should be")
    except Wrong as error:
        log(f"Ansible: {step}: {error}")
        return 1
    finally:
        for host in hosts.values():
            host.close()
    return 0


def _build(suite: str, into: Path) -> dict[str, Path]:
    """Return the packages of this version and of the next one; lintian has nothing to say."""
    builder = building.builder(suite)
    debs: dict[str, Path] = {}
    try:
        for version in (building.VERSION, building.NEXT):
            debs.update(building.build(builder, into, version))
        log(f"{building.SUITES[suite]}: built {', '.join(sorted(debs))}")
        said = builder.run(["sh", "-c", _LINTIAN], check=False).stdout.strip()
        if suite == "bookworm":
            _build_rpm(builder)
    finally:
        builder.close()
    if said:
        raise LabError(f"{building.SUITES[suite]}: lintian says:\n{said}")
    log(f"{building.SUITES[suite]}: lintian: nothing to say")
    return debs


def _build_rpm(builder: Machine) -> None:
    """Build the package of Fedora and its kin, with the module for SELinux; it can't be installed here."""
    source = builder.path(f"/rpm/mthook-{building.VERSION}")
    source.mkdir(parents=True)
    building.copy_checkout(source)
    builder.run(["sh", "-ec", _RPMBUILD])
    rpms, debs = (_packaged(builder, command) for command in (_IN_RPMS, _IN_DEBS))
    only = sorted({*(rpms - debs - _RPMS_OWN), *(debs - rpms)} | (_RPMS_OWN - rpms))
    if only:
        raise LabError(f"the packages for Debian and Fedora differ in {', '.join(only[:8])}")
    log("rpm and SELinux module: built, with the files of Debian's packages")


def _packaged(builder: Machine, command: str) -> set[str]:
    """Return the files of packages, named as both kinds of packages would: documents are wherever each puts them."""
    listed = builder.run(["sh", "-ec", command]).stdout.splitlines()
    files = [line.partition(" -> ")[0].split(" ")[-1] for line in listed if line[0] != "d"]
    names = {name.lstrip(".").removesuffix(".gz") for name in files}
    plain = {_PLACE.sub("/usr/lib/", _DOCUMENT.sub("document/", name)) for name in names}
    return {name for name in plain if not _ABOUT.search(name)}


if __name__ == "__main__":
    sys.exit(exit_code(main()))
