# SPDX-License-Identifier: Apache-2.0
"""The role for Ansible, run by ansible-core of a virtual environment of its own against machines of a lab."""

from __future__ import annotations

import shlex
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

from tests.lab.machine import Machine
from tests.lab.processes import ENVIRONMENT
from tests.lab.requirements import LabError

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
    """Ansible in a directory, and the machines that it knows."""

    def __init__(self, directory: Path, machines: Mapping[str, Machine]) -> None:
        self._directory = directory
        venv.create(directory / "venv", with_pip=True)
        pip = [str(directory / "venv/bin/pip"), "install", "-q", "--disable-pip-version-check"]
        self._run([*pip, _ANSIBLE])
        ssh = directory / "ssh"
        entries = {name: machine.command([]) for name, machine in machines.items()}
        ssh.write_text(_SSH.format(python=sys.executable, machines=entries))
        ssh.chmod(0o755)
        (directory / "hosts").write_text("".join(f"{name}\n" for name in machines))

    def play(self, **values: str) -> subprocess.CompletedProcess[str]:
        """Run the playbook of the role, whatever its exit code is."""
        argv = [str(self._directory / "venv/bin/ansible-playbook"), "-i", "hosts"]
        for name, value in values.items():
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
                "ANSIBLE_REMOTE_USER": "root",
                "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
                "ANSIBLE_LOCALHOST_WARNING": "false",
            },
        )

    def _run(self, argv: list[str]) -> None:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"{' '.join(argv)}: {done.returncode}\n{done.stderr[-2000:]}")
