# SPDX-License-Identifier: Apache-2.0
"""The role for Ansible, run by ansible-core of a virtual environment of its own against machines of a lab."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Callable

from tests.lab import MariaDB
from tests.lab.hypervisor import Hypervisor
from tests.lab.processes import ENVIRONMENT
from tests.lab.requirements import LabError
from tests.packages import building, kinds, services
from tests.packages.services import Wrong

#: The machines that it takes: a fleet that is rolled out to, and a host like kolla-ansible's.
FLEET, CONTAINED = ("one", "two"), "kolla"

_VERSION = ["dpkg-query", "--show", "--showformat=${Version}", "mthook"]
_PASSWORD = "told-to-nobody"
_HOLDERS = f"grep -rls {_PASSWORD} /run /tmp /var/tmp /var/log /root /etc"
_ANSIBLE = "ansible-core>=2.15,<2.16"  # the newest for Python 3.9
_PLAYBOOK = Path(__file__).parents[2] / "deploy" / "ansible" / "mthook.yml"
#: What Ansible calls in ssh's place: the machines of a lab have no network.
_SSH = """\
#!{python}
import os, sys
machines = {machines!r}
name = next(word for word in sys.argv if word in machines)
os.execvp(machines[name][0], [*machines[name], "sh", "-c", sys.argv[-1]])
"""


class Ansible:
    """Ansible in a directory, and the hosts that it knows.

    :ivar debs: packages by their file names.
    """

    def __init__(
        self, directory: Path, hosts: Mapping[str, Hypervisor], debs: Mapping[str, Path]
    ) -> None:
        self._directory, self.hosts, self.debs = directory, hosts, debs
        venv.create(directory / "venv", with_pip=True)
        pip = [str(directory / "venv/bin/pip"), "install", "-q", "--disable-pip-version-check"]
        self._run([*pip, _ANSIBLE])
        ssh = directory / "ssh"
        entries = {name: host.command([]) for name, host in hosts.items()}
        ssh.write_text(_SSH.format(python=sys.executable, machines=entries))
        ssh.chmod(0o755)
        (directory / "hosts").write_text("".join(f"{name}\n" for name in hosts))

    def play(
        self, *options: str, hosts: str = ",".join(FLEET), **values: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the playbook of the role, whatever its exit code is."""
        argv = [str(self._directory / "venv/bin/ansible-playbook"), "-i", "hosts", *options]
        for name, value in {"mthook_hosts": hosts, **values}.items():
            argv += ["-e", shlex.join([f"{name}={value}"])]
        return subprocess.run(
            [*argv, str(_PLAYBOOK)],
            cwd=self._directory,
            check=False,
            capture_output=True,
            text=True,
            env={
                **ENVIRONMENT,
                "HOME": str(self._directory),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_SSH_EXECUTABLE": str(self._directory / "ssh"),
                "ANSIBLE_SSH_TRANSFER_METHOD": "piped",
                "ANSIBLE_PIPELINING": "true",
                "ANSIBLE_REMOTE_USER": "root",
                "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
                "ANSIBLE_LOCALHOST_WARNING": "false",
            },
        )

    def works(self, *options: str, **values: str) -> str:
        """Run the playbook, which has to succeed; return what it says."""
        done = self.play(*options, **values)
        if done.returncode:
            raise Wrong(f"the playbook ends with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def fails(self, **values: str) -> str:
        """Run the playbook, which has to fail; return what it says."""
        done = self.play(**values)
        if not done.returncode:
            raise Wrong(f"the playbook ends well:\n{done.stdout}")
        return done.stdout

    def deb(self, version: str) -> str:
        """Return the path of a version's package."""
        return str(self.debs[f"mthook_{version}_all.deb"])

    def modes(self) -> list[str]:
        """Return the mode of each host of the fleet."""
        paths = [self.hosts[name].path(services.CONFIG) for name in FLEET]
        return [("none" if not path.exists() else _mode(path.read_text())) for path in paths]

    def _run(self, argv: list[str]) -> None:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"{' '.join(argv)}: {done.returncode}\n{done.stderr[-2000:]}")


def _mode(text: str) -> str:
    return next(line.split("=")[1].strip() for line in text.splitlines() if line.startswith("mode"))


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Wrong(f"{what} is {found}, not {wanted}")


def _foresee(ansible: Ansible) -> None:
    """With --check a host without mthook stays one."""
    ansible.works("--check", mthook_package=ansible.deb(building.VERSION))
    _expect("the mode then", ansible.modes(), ["none"] * 2)


def _audit_first(ansible: Ansible) -> None:
    """Whatever is said, also by a configuration that was there; what asks Nova's database comes along."""
    one, two = ansible.hosts["one"], ansible.hosts["two"]
    one.apt("purge", "python3-pymysql")
    one.apt("update")
    two.path(services.CONFIG).parent.mkdir()
    two.path(services.CONFIG).write_text("[hook]\nmode = enforce\n")
    ansible.works(mthook_package=ansible.deb(building.VERSION), mthook_mode="enforce")
    _expect("the mode of new hosts", ansible.modes(), ["audit"] * 2)
    one.run(["python3", "-c", "import pymysql"])


def _enforce(ansible: Ansible) -> None:
    ansible.works(mthook_mode="enforce", mthook_package=ansible.deb(building.VERSION))
    _expect("the mode then", ansible.modes(), ["enforce"] * 2)


def _renew(ansible: Ansible) -> None:
    """Hosts that enforce do so with the next version."""
    ansible.works(mthook_package=ansible.deb(building.NEXT))
    found = [ansible.hosts[name].run(_VERSION).stdout for name in FLEET]
    _expect("the version then", found, [building.NEXT] * 2)
    _expect("the mode then", ansible.modes(), ["enforce"] * 2)


def _do_nothing(ansible: Ansible) -> None:
    said = ansible.works(mthook_package=ansible.deb(building.NEXT), mthook_mode="enforce")
    _expect("what changes a second time", said.count("changed=0"), 2)


def _connect(ansible: Ansible) -> None:
    """The password is in mthook.conf alone, whether or not the database can be reached."""
    one, package = ansible.hosts["one"], ansible.deb(building.NEXT)
    with MariaDB() as mariadb:
        mariadb.create("nova")
        url = mariadb.url("nova")
        services.record(url, one)
        wrong = re.sub(r"://[^@]*@", f"://nova:{_PASSWORD}@", url)
        said = ansible.fails(hosts="one", mthook_package=package, mthook_database_url=wrong)
        if "Access denied" not in said or _PASSWORD in said:
            raise Wrong(f"of a wrong password the playbook says:\n{said}")
        ansible.works(hosts="one", mthook_package=package, mthook_database_url=url)
    _expect("what has the password", one.run(["sh", "-c", _HOLDERS], check=False).stdout, "")
    if url not in one.path(services.CONFIG).read_text():
        raise Wrong("mthook.conf hasn't got the database's URL")


def _contain(ansible: Ansible) -> None:
    """libvirtd is in a container that has no hook at first: that is said once, then it is a failure."""
    host, package = ansible.hosts[CONTAINED], ansible.deb(building.VERSION)
    values = {"hosts": CONTAINED, "mthook_package": package, "mthook_mode": "enforce"}
    kinds.contain(host)
    if "mthook-admin hook render" not in ansible.works(**values):
        raise Wrong("nothing tells that the container needs a hook")
    _expect("the mode", _mode(host.path(services.CONFIG).read_text()), "audit")
    ansible.fails(**values)
    kinds.mount_hook(host)
    ansible.works(**values)
    _expect("the mode", _mode(host.path(services.CONFIG).read_text()), "enforce")


def _stop(ansible: Ansible) -> None:
    """Others may write the first host's catalog: nothing happens to the other one."""
    ansible.hosts["one"].path("/var/lib/mthook").chmod(0o777)
    ansible.fails(mthook_package=ansible.deb(building.NEXT), mthook_mode="audit")
    _expect("the mode of the other one", ansible.modes()[1], "enforce")


#: What is done to hosts, one after the other.
STEPS: dict[str, Callable[[Ansible], None]] = {
    "--check": _foresee,
    "audit first": _audit_first,
    "enforce": _enforce,
    "a new version": _renew,
    "a second time": _do_nothing,
    "with Nova's database": _connect,
    "a host like kolla-ansible's": _contain,
    "a host that doesn't work": _stop,
}
