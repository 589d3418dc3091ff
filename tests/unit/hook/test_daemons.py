# SPDX-License-Identifier: Apache-2.0
"""Finding libvirt's daemons: real processes that bear their names."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mthook.hook import daemons


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start sleep(1) under another name."""
    started = []

    def start(name: str, *prefix: str, inherits: bool = False) -> subprocess.Popen[bytes]:
        path = tmp_path / "sbin" / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            shutil.copy("/bin/sleep", path)
        process = subprocess.Popen([*prefix, str(path), "60"], close_fds=not inherits)
        started.append(process)
        deadline = time.monotonic() + 10
        while _name(process.pid) != name[:15] and time.monotonic() < deadline:
            time.sleep(0.01)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def hooks(tmp_path: Path) -> str:
    """A directory for hooks."""
    directory = tmp_path / "hooks"
    directory.mkdir()
    return str(directory)


def beneath(hooks: str) -> list[str]:
    """What a daemon is started by so that it looks for hooks there, under the name that libvirt has for it."""
    etc = f"mount -t tmpfs none /etc && mkdir -p {daemons.DIRECTORY}"
    script = f'{etc} && mount --bind {hooks} {daemons.DIRECTORY} && exec "$0" "$1"'
    return ["unshare", "--mount", "sh", "-c", script]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


@pytest.mark.parametrize("name", daemons.NAMES)
def test_a_daemon_is_found_by_its_name(
    name: str, hooks: str, program: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """With its start, by which it is told from a later process with the same pid."""
    before = time.time()
    process = program(name, *beneath(hooks))

    (daemon,) = daemons.running(hooks)

    assert (daemon.pid, daemon.name) == (process.pid, name)
    assert daemon.identity == f"{process.pid}:{daemon.started}"
    assert abs(daemon.since - before) < 5


def test_other_programs_and_the_dead_are_left_out(
    hooks: str, program: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """Also one whose name only begins like a daemon's, and a zombie."""
    program("libvirtd-like", *beneath(hooks))
    zombie = program("libvirtd", *beneath(hooks))
    zombie.kill()
    time.sleep(0.2)

    assert daemons.running(hooks) == []


def test_a_daemon_that_looks_elsewhere_has_hooks_of_its_own(
    hooks: str, program: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """That it sees the directory, under the very same name, makes it no place that it looks in."""
    program("libvirtd", "unshare", "--mount")
    program("virtqemud")

    assert daemons.running(hooks) == []
    assert daemons.running(f"{hooks}/missing") == []


def test_a_daemon_with_another_prefix_looks_below_that(
    tmp_path: Path, program: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """As /usr/local/sbin/libvirtd does; not one in whose namespace that is another directory."""
    hooks = tmp_path / daemons.DIRECTORY.lstrip("/")
    hooks.mkdir(parents=True)
    same = program("libvirtd", "unshare", "--mount")
    covered = f'mount -t tmpfs none {hooks} && exec "$0" "$1"'
    program("virtqemud", "unshare", "--mount", "sh", "-c", covered)

    assert [daemon.pid for daemon in daemons.running(str(hooks))] == [same.pid]


def test_looking_again_is_sighup(
    hooks: str, program: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """As systemd's reload sends it; sleep dies of it."""
    process = program("libvirtd", *beneath(hooks))
    (daemon,) = daemons.running(hooks)

    daemon.look_again()

    assert process.wait(timeout=10) == -signal.SIGHUP


def test_the_version_is_what_the_running_program_tells(
    hooks: str, program: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """coreutils' here; a program that says none has none."""
    program("libvirtd", *beneath(hooks))
    (daemon,) = daemons.running(hooks)
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


def test_the_daemon_behind_a_socket_is_the_one_that_holds_it(
    tmp_path: Path,
    hooks: str,
    program: Callable[..., subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody connects: that would wake a daemon for which systemd listens."""
    monkeypatch.setattr(daemons, "SOCKETS", ())  # one may run on this machine
    path = str(tmp_path / "sock")
    program("libvirtd", *beneath(hooks))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        listening.setblocking(False)
        uri = f"qemu+unix:///system?socket={path}"
        assert daemons.behind(uri) is None
        os.set_inheritable(listening.fileno(), True)
        process = program("virtqemud", inherits=True)

        daemon = daemons.behind(uri)

        assert daemon is not None
        assert (daemon.pid, daemon.name) == (process.pid, "virtqemud")
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert daemons.behind(f"{uri}-other") is None
    assert daemons.behind(f"qemu+ssh://host/system?socket={path}") is None
    assert daemons.behind("qemu+unix:///system?[") is None


def test_what_virtproxyd_serves_is_answered_by_virtqemud(
    tmp_path: Path, program: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """Also while virtproxyd doesn't run, and systemd listens in its place; libvirtd's own socket is its own."""
    proxied, modular = (tmp_path / name for name in ("libvirt-sock", "virtqemud-sock"))
    with listening(modular):
        virtqemud = program("virtqemud", inherits=True)
    with listening(proxied):
        assert behind(proxied) == virtqemud.pid
        program("virtproxyd", inherits=True)
        assert behind(proxied) == behind(modular) == virtqemud.pid
        libvirtd = program("libvirtd", inherits=True)
        assert behind(proxied) == libvirtd.pid
    assert behind(tmp_path / "other-sock") is None


@contextmanager
def listening(path: Path) -> Iterator[None]:
    """A socket, which programs that start meanwhile hold as well."""
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(path))
        held.listen()
        os.set_inheritable(held.fileno(), True)
        yield


def behind(path: Path) -> int | None:
    """The process id of the daemon behind a socket."""
    daemon = daemons.behind(f"qemu+unix:///system?socket={path}")
    return None if daemon is None else daemon.pid
