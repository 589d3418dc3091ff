# SPDX-License-Identifier: Apache-2.0
"""Roots of machines, each a release of Debian with packages, kept from run to run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

from tests.lab.machine import Machine
from tests.lab.processes import ENVIRONMENT
from tests.lab.requirements import LabError, check

MIRROR = "http://deb.debian.org/debian"

_FILES = {
    # Nothing is started by being installed.
    "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
    "etc/apt/apt.conf.d/99lab": 'Acquire::Languages "none";\nAPT::Install-Recommends "0";\n',
    "etc/dpkg/dpkg.cfg.d/99lab": (
        "force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/locale/*\n"
        "path-exclude=/usr/share/man/*\n"
    ),
}
_DEBOOTSTRAP = [
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("--propagation", "private", "debootstrap", "--variant=minbase"),
]


def cache() -> Path:
    """Return where roots are kept."""
    return Path(os.environ.get("MTHOOK_ROOTS", "/var/cache/mthook-roots"))


def debian(name: str, suite: str, steps: Sequence[Sequence[str]], announcement: str) -> Path:
    """Return the root of a release of Debian with packages; make it unless there is one.

    :param steps: the packages of each call of apt, for some have to be there before others.
    :param announcement: what is printed before it is made: that takes minutes and a network.
    """

    def make(root: Path) -> None:
        check({"debootstrap": "debootstrap", "unshare": "util-linux"})
        print(announcement, flush=True)
        _install(root, suite, steps)

    return kept(name, [suite, MIRROR, *(one for step in steps for one in step), repr(_FILES)], make)


def kept(name: str, recipe: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Return a directory that was made by this recipe; have it made, all or nothing, unless there is one.

    One of the same name and another recipe is removed.
    """
    key = hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:12]
    directory = cache() / f"{name}-{key}"
    if directory.is_dir():
        return directory
    cache().mkdir(parents=True, exist_ok=True)
    with _locked(cache() / "lock"):
        if not directory.is_dir():
            _make(name, directory, make)
    return directory


def _make(name: str, directory: Path, make: Callable[[Path], None]) -> None:
    begun = time.monotonic()
    building = cache() / "building"
    try:
        _remove(*cache().glob("building*"))  # an earlier run may have been killed
        building.mkdir()
        make(building)
        _remove(*cache().glob(f"{name}-*"))
        building.rename(directory)
    finally:
        _remove(*cache().glob("building*"))
    print(f"{directory}: made in {time.monotonic() - begun:.0f} s.", flush=True)


def _install(root: Path, suite: str, steps: Sequence[Sequence[str]]) -> None:
    _execute([*_DEBOOTSTRAP, suite, str(root), MIRROR])
    _configure(root, suite)
    machine = Machine("building", changes=root)
    try:
        apt(machine, "update")
        for packages in steps:
            apt(machine, "install", "-y", *packages)
        apt(machine, "clean")
    finally:
        machine.close()
    shutil.rmtree(root / "var/lib/apt/lists")


def _configure(root: Path, suite: str) -> None:
    """Let apt there work as the machine's own does: the same options, and the same sources if they are for it."""
    apt = root / "etc/apt"
    if f"VERSION_CODENAME={suite}\n" in Path("/etc/os-release").read_text():
        shutil.copytree("/etc/apt", apt, symlinks=True, dirs_exist_ok=True)
        (apt / "sources.list").unlink()
        if Path("/etc/apt/sources.list").exists():
            shutil.copy("/etc/apt/sources.list", apt)
    else:
        shutil.copytree("/etc/apt/apt.conf.d", apt / "apt.conf.d", dirs_exist_ok=True)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    for name, text in _FILES.items():
        (root / name).write_text(text)
    (root / "usr/sbin/policy-rc.d").chmod(0o755)


def apt(machine: Machine, *argv: str) -> None:
    """Run apt-get on a machine whose root is being made."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "DEBIAN_PRIORITY": "critical"}
    # This machine's configuration of apt is there already: a package that brings it, too, must not ask.
    keep = ["-o", "Dpkg::Options::=--force-confold"]
    machine.run(["apt-get", "-q", *keep, *argv], env={**ENVIRONMENT, **quiet}, timeout=3600)


def _execute(argv: Sequence[str]) -> None:
    done = subprocess.run(
        argv,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
    )
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout[-4000:]}")


def _remove(*directories: Path) -> None:
    """Remove roots; nothing that is mounted in one is touched."""
    subprocess.run(["rm", "-rf", "--one-file-system", "--", *map(str, directories)], check=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one run build at a time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
