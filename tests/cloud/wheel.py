# SPDX-License-Identifier: Apache-2.0
"""mthook as an operator installs it: from a wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.machine import Machine
from tests.lab.requirements import LabError

_CHECKOUT = Path(__file__).parents[2]
_SOURCES = (".ci", "docs", "etc", "hooks", "mthook")
_FILES = ("MANIFEST.in", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
_BIN = "/opt/mthook/bin"


@contextmanager
def built() -> Iterator[Path]:
    """Yield the wheel of this checkout; it is built elsewhere, for building leaves its traces."""
    with tempfile.TemporaryDirectory(prefix="mthook-cloud.") as directory:
        sources = Path(directory, "sources")
        for name in _SOURCES:
            shutil.copytree(_CHECKOUT / name, sources / name)
        for name in _FILES:
            shutil.copy(_CHECKOUT / name, sources)
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", directory]
        done = subprocess.run([*pip, str(sources)], capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"mthook's wheel can't be built.\n{done.stderr}")
        yield next(Path(directory).glob("*.whl"))


def install(machine: Machine, wheel: Path) -> None:
    """Install it on a machine, where the environment is there already."""
    inside = f"/tmp/{wheel.name}"
    machine.path(inside).write_bytes(wheel.read_bytes())
    # What it needs are Debian's packages; nothing is looked up in an index.
    machine.run([f"{_BIN}/pip", "install", "-q", "--no-index", "--no-deps", inside])
    machine.run(["sh", "-c", f"ln -sf {_BIN}/mthook-* /usr/local/sbin/"])
