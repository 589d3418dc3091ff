# SPDX-License-Identifier: Apache-2.0
"""The libvirt daemons of this host that run hooks: found in /proc, told to look for hook files again."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

#: The daemons with the QEMU driver: the monolithic one and the modular one.
NAMES = ("libvirtd", "virtqemud")

#: Where a daemon built as a package looks for hooks (``LIBVIRT_HOOK_DIR`` in libvirt's src/util/virhook.c). With a
#: prefix other than /usr, Meson puts it below that.
DIRECTORY = "/etc/libvirt/hooks"


@dataclass(frozen=True)
class Daemon:
    """One running daemon.

    :ivar started: its start in clock ticks since boot; with the pid it names this very process.
    :ivar since: the same in seconds since the epoch.
    """

    pid: int
    name: str
    started: int
    since: float

    @property
    def identity(self) -> str:
        """A text that no other process of this boot has."""
        return f"{self.pid}:{self.started}"

    def look_again(self) -> None:
        """Make the daemon look for hook files: it does so at its start and at SIGHUP, and remembers the answer."""
        os.kill(self.pid, signal.SIGHUP)

    def sees(self, directory: str) -> bool:
        """Tell whether the daemon has this process's directory at the same place, or would have it once it is made.

        One in a container or another namespace of its own may have another directory there, and so other hooks.
        """
        while not os.path.isdir(directory) and directory != "/":
            directory = os.path.dirname(directory)
        return _identity(directory) == _identity(f"/proc/{self.pid}/root{directory}")

    def version(self) -> tuple[int, ...] | None:
        """Return libvirt's version as the daemon's program tells it, ``None`` when it doesn't."""
        try:
            told = subprocess.run(
                [f"/proc/{self.pid}/exe", "--version"],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout
        except (OSError, subprocess.SubprocessError):
            return None
        found = re.search(r"(\d+(?:\.\d+)+)", told)
        return tuple(int(part) for part in found.group(1).split(".")) if found else None


def running(directory: str) -> list[Daemon]:
    """Return the daemons that look for their hooks in a directory, given as this process sees it.

    In a container the directory may have another name. That a daemon can see it proves nothing: a container or another
    namespace may share it, and have hooks of its own.

    :param directory: an absolute path.
    """
    here = _identity(directory)
    return [
        daemon
        for daemon in everywhere()
        if here is not None and here in map(_identity, _places(f"/proc/{daemon.pid}"))
    ]


def everywhere() -> list[Daemon]:
    """Return all daemons that this process can see, those in containers too."""
    pids = sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return [daemon for daemon in map(_read, pids) if daemon is not None]


def serving(path: str) -> Daemon | None:
    """Return the daemon listening on a Unix socket; ``None``: another program does, say systemd."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)
        seen = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return _read(struct.unpack("3i", seen)[0])
    return None


def _places(process: str) -> Iterator[str]:
    """Yield where a daemon may look for hooks, as seen from here."""
    yield f"{process}/root{DIRECTORY}"
    with contextlib.suppress(OSError):  # it has ended
        program = os.readlink(f"{process}/exe")
        yield f"{process}/root{os.path.dirname(os.path.dirname(program))}{DIRECTORY}"


def _identity(path: str) -> tuple[int, int] | None:
    """Return what identifies a directory, wherever it is mounted."""
    try:
        seen = os.stat(path)
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def _read(pid: int) -> Daemon | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            stat = file.read()
    except OSError:
        return None
    # The name stands in parentheses and may hold anything; field 22, counted from 1, is the start, see proc(5).
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat[stat.rindex(")") + 2 :].split()
    if name not in NAMES or fields[0] in "ZX":
        return None
    started = int(fields[19])
    return Daemon(pid, name, started, _boot_time() + started / os.sysconf("SC_CLK_TCK"))


def _boot_time() -> float:
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            if line.startswith("btime "):
                return float(line.split()[1])
    raise AssertionError("/proc/stat has no btime")  # the kernel always writes it
