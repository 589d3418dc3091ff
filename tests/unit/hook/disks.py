# SPDX-License-Identifier: Apache-2.0
"""Calls an installed hook whose catalog is on a disk of its own, which then goes wrong.

Run as ``unshare -m python -m tests.unit.hook.disks CASE KEPT ON_ERROR DIRECTORY OPERATION...``. It prints, as JSON, the
status and standard error of each call, and the seconds that it took. KEPT says whether the catalog's journal is there
(``open``) or not (``closed``), as after the last of its users has closed it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mthook import conf
from mthook.catalog.store import Catalog
from mthook.hook import install
from mthook.settings import fingerprint
from tests.lab import hanging
from tests.programs import ENFORCE
from tests.unit.hook.conftest import UUID, domain


def _mount(directory: Path, *options: str) -> None:
    subprocess.run(["mount", *options, str(directory)], check=True)


def full(directory: Path) -> list[str]:
    """Fill the disk."""
    with contextlib.suppress(OSError), open(directory / "ballast", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return []


def no_inodes(directory: Path) -> list[str]:
    """Make files until no more can be made."""
    with contextlib.suppress(OSError):
        for number in range(1000):
            (directory / f"ballast-{number}").touch()
    return []


def read_only(directory: Path) -> list[str]:
    """What a kernel does to a disk with errors."""
    _mount(directory, "-o", "remount,ro")
    return []


def write_errors(directory: Path) -> list[str]:
    """Every write to a file fails."""
    return ["prlimit", "--fsize=0"]


def hangs(directory: Path) -> list[str]:
    """Nobody gets an answer."""
    holder = subprocess.Popen(
        [sys.executable, hanging.__file__, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"hangs\n"
    return []


CASES = {one.__name__: one for one in (full, no_inodes, read_only, write_errors, hangs)}


def _prepare(directory: Path, kept: str, on_error: str) -> tuple[Path, str]:
    """Install a hook; return the catalog's directory and the hook's path."""
    disk = directory / "disk"
    disk.mkdir()
    _mount(disk, "-t", "tmpfs", "-o", "size=1m,nr_inodes=30,mode=0700", "tmpfs")
    config, path = directory / "mthook.conf", str(disk / "catalog.sqlite")
    config.write_text(f"[catalog]\npath = {path}\n{ENFORCE}timeout = 2\non_error = {on_error}\n")
    child = os.fork()
    if not child:
        catalog = Catalog.open(path)
        catalog.compile_settings(
            conf.settings(conf.load([str(config)]), fingerprint([str(config)]))
        )
        catalog.set_pin(UUID, "pc-i440fx-7.2", source="operator", actor="test")
        if kept == "closed":
            catalog.close()
        os._exit(0)
    os.waitpid(child, 0)
    made = install.Wiring.of_this_process(path, [str(config)])
    wiring = dataclasses.replace(made, cleared=str(directory / "cleared"))
    hook, _ = install.install(str(directory / "hooks"), wiring)
    return disk, hook


def main(case: str, kept: str, on_error: str, directory: str, operations: Sequence[str]) -> None:
    """Break the disk and call the hook, each time with a guest that isn't what its pin says."""
    disk, hook = _prepare(Path(directory), kept, on_error)
    around = CASES[case](disk)
    answers = []
    for operation in operations:
        begun = time.monotonic()
        done = subprocess.run(
            [*around, hook, "web-1", operation, "begin", "-"],
            input=domain("pc-i440fx-6.2"),
            capture_output=True,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            check=False,
        )
        took = time.monotonic() - begun
        answers.append([done.returncode, done.stderr.decode(), took])
    print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:5], sys.argv[5:])
