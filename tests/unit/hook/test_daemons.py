# SPDX-License-Identifier: Apache-2.0
"""Finding libvirt's daemons: real processes that bear their names."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mthook.hook import daemons


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start sleep(1) under another name."""
    started = []

    def start(name: str, *prefix: str) -> subprocess.Popen[bytes]:
        path = tmp_path / name
        if not path.exists():
            shutil.copy("/bin/sleep", path)
        process = subprocess.Popen([*prefix, str(path), "60"])
        started.append(process)
        deadline = time.monotonic() + 10
        while not _is_running(name) and time.monotonic() < deadline:
            time.sleep(0.01)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def _is_running(name: str) -> bool:
    found = subprocess.run(["pgrep", "-x", name[:15]], capture_output=True, check=False)
    return found.returncode == 0


@pytest.mark.parametrize("name", daemons.NAMES)
def test_a_daemon_is_found_by_its_name(
    name: str, program: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """With its start, by which it is told from a later process with the same pid."""
    before = time.time()
    process = program(name)

    (daemon,) = (found for found in daemons.running("/") if found.pid == process.pid)

    assert daemon.name == name
    assert daemon.identity == f"{process.pid}:{daemon.started}"
    assert abs(daemon.since - before) < 5


def test_other_programs_and_the_dead_are_left_out(
    program: Callable[..., subprocess.Popen[bytes]],
) -> None:
    """Also one whose name only begins like a daemon's, and a zombie."""
    other = program("libvirtd-like")
    zombie = program("libvirtd")
    zombie.kill()
    time.sleep(0.2)

    pids = [daemon.pid for daemon in daemons.running("/")]

    assert other.pid not in pids
    assert zombie.pid not in pids


def test_a_daemon_that_sees_another_directory_has_hooks_of_its_own(
    tmp_path: Path, program: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """A container's libvirtd isn't told; one that is merely sandboxed is."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    covered = f"mount -t tmpfs none {hooks} && exec "
    same = program("libvirtd", "unshare", "--mount")
    other = program("virtqemud", "unshare", "--mount", "sh", "-c", covered + '"$0" "$1"')

    pids = [daemon.pid for daemon in daemons.running(str(hooks))]

    assert same.pid in pids
    assert other.pid not in pids
    assert other.pid in [daemon.pid for daemon in daemons.running("/")]
    assert daemons.running(str(tmp_path / "missing")) == []


def test_looking_again_is_sighup(program: Callable[..., subprocess.Popen[bytes]]) -> None:
    """As systemd's reload sends it; sleep dies of it."""
    process = program("libvirtd")
    (daemon,) = (found for found in daemons.running("/") if found.pid == process.pid)

    daemon.look_again()

    assert process.wait(timeout=10) == -signal.SIGHUP


def test_the_version_is_what_the_running_program_tells(
    program: Callable[..., subprocess.Popen[bytes]],
) -> None:
    """coreutils' here; a program that says none has none."""
    process = program("libvirtd")
    (daemon,) = (found for found in daemons.running("/") if found.pid == process.pid)
    told = subprocess.run(["/bin/sleep", "--version"], capture_output=True, text=True, check=True)

    version = daemon.version()

    assert version is not None
    assert ".".join(map(str, version)) in told.stdout.splitlines()[0]


def test_a_daemon_that_is_gone_has_no_version() -> None:
    """Between two looks it may end."""
    assert daemons.Daemon(2**22 + 1, "libvirtd", 0, 0.0).version() is None


def test_a_process_that_ends_while_proc_is_read_is_left_out() -> None:
    """/proc lists it, its files are gone."""
    assert daemons._read(2**22 + 1) is None
