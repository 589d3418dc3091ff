# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while a machine boots: nothing of it may be left."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.lab.machine import control_groups
from tests.lab.processes import SECONDS, child_of, wait_until
from tests.packages.services import Wrong

_OWNER = """\
import signal, sys
from pathlib import Path
from tests.lab.hypervisor import Hypervisor

signal.signal(signal.SIGINT, signal.default_int_handler)
print("begins", flush=True)
Hypervisor("interrupted", [Path(sys.argv[1])])
"""


def check(root: Path) -> None:
    """Interrupt a process as soon as the systemd of its machine has started something."""
    argv = [sys.executable, "-c", _OWNER, str(root)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        wait_until("no machine boots", lambda: _group(owner.pid) is not None, str)
        group = _group(owner.pid)
        assert group is not None
        wait_until("nothing starts", (group / "system.slice").is_dir, str)
        owner.send_signal(signal.SIGINT)
        owner.wait(SECONDS)
    if group.exists():
        raise Wrong(f"{group} is left")


def _group(owner: int) -> Path | None:
    """Return the control group of a process's first child, if it is a machine's."""
    try:
        found = re.search("/(mthook-[^/\n]+)", Path(f"/proc/{child_of(owner)}/cgroup").read_text())
    except (IndexError, OSError):  # it has none yet
        return None
    return control_groups() / found[1] if found else None
