# SPDX-License-Identifier: Apache-2.0
"""The libvirt daemons of this host that run hooks: found in /proc, told to look for hook files again."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

#: The daemons with the QEMU driver: the monolithic one and the modular one.
NAMES = ("libvirtd", "virtqemud")

#: Where a daemon built as a package looks for hooks (``LIBVIRT_HOOK_DIR`` in libvirt's src/util/virhook.c). With a
#: prefix other than /usr, Meson puts it below that.
DIRECTORY = "/etc/libvirt/hooks"

#: libvirt's own sockets in the order in which its client looks for them: the modular daemon's, the monolithic one's.
SOCKETS = ("/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock")
_MODULAR, _MONOLITHIC = map(os.path.basename, SOCKETS)
#: The flag of a listening socket in the fourth column of /proc/net/unix (``__SO_ACCEPTCON``).
_LISTENS = 0x10000


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

    @property
    def root(self) -> str:
        """Its root directory, as seen from here; in a container another one."""
        return f"/proc/{self.pid}/root"

    @property
    def is_contained(self) -> bool:
        """Whether it has another root directory than this process, and so another Python."""
        return _identity(self.root) not in (_identity("/"), None)

    def reads(self, directory: str) -> bool:
        """Tell whether it looks for its hooks in a directory, given as this process sees it, or will once that is made.

        In a container the directory may have another name. That a daemon can see it proves nothing: a container or
        another namespace may share it, and have hooks of its own.
        """
        return any(_is_same(directory, place) for place in _places(f"/proc/{self.pid}"))

    def look_again(self) -> None:
        """Make the daemon look for hook files: it does so at its start and at SIGHUP, and remembers the answer."""
        os.kill(self.pid, signal.SIGHUP)

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
    """Return the daemons that look for their hooks in a directory; see :meth:`Daemon.reads`."""
    return [daemon for daemon in everywhere() if daemon.reads(directory)]


def everywhere() -> list[Daemon]:
    """Return all daemons that this process can see, those in containers too."""
    pids = sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return [daemon for daemon in map(_read, pids) if daemon is not None]


def behind(uri: str) -> Daemon | None:
    """Return the daemon at the other end of a libvirt URI; ``None``: it isn't on this host, or doesn't run now."""
    found = (serving(path) for path in sockets(uri))
    return next((daemon for daemon in found if daemon is not None), None)


def sockets(uri: str) -> list[str]:
    """Return the sockets that a URI may lead to, in the order in which libvirt's client looks for them."""
    if not uri.startswith(("qemu:///", "qemu+unix:///")):
        return []
    named = socket_of(uri)
    return [named] if named else [path for path in SOCKETS if os.path.exists(path)]


def socket_of(uri: str) -> str | None:
    """Return the socket that a libvirt URI names."""
    try:
        return parse_qs(urlsplit(uri).query).get("socket", [None])[0]
    except ValueError:
        return None


def serving(path: str) -> Daemon | None:
    """Return the daemon that answers on a Unix socket.

    Where libvirtd doesn't listen on its socket, virtproxyd does, or systemd for it: that passes everything on to
    virtqemud (libvirt's docs/daemons.rst).
    """
    found = _listening(path)
    directory, name = os.path.split(path)
    if found is None and name == _MONOLITHIC:
        return _listening(os.path.join(directory, _MODULAR))
    return found


def _listening(path: str) -> Daemon | None:
    """Return the daemon that listens on a Unix socket.

    Nobody connects: that would wake a daemon for which systemd listens, and SO_PEERCRED would name systemd even where
    the daemon runs already.
    """
    here = _identity(path)
    return next((d for d in everywhere() if here is not None and here in _listens(d)), None)


def _listens(daemon: Daemon) -> set[tuple[int, int] | None]:
    """Return what identifies the files of the sockets on which a daemon listens."""
    held = set()
    for path in glob.glob(f"/proc/{daemon.pid}/fd/*"):
        with contextlib.suppress(OSError):  # it is closed by now
            held.add(os.readlink(path))
    paths = [path for socket, path in listened_on(daemon.pid) if socket in held]
    return {_identity(daemon.root + path) for path in paths} - {None}


def listened_on(process: int | str) -> list[tuple[str, str]]:
    """Return the Unix sockets that are listened on, as a process sees them: how a descriptor names each, and its path.

    :param process: a number, or ``self``; one that has ended sees none.
    """
    try:
        path = f"/proc/{process}/net/unix"
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.split(maxsplit=7) for line in file][1:]
    except OSError:
        return []
    bound = [row for row in rows if len(row) == 8 and int(row[3], 16) & _LISTENS]
    return [(f"socket:[{row[6]}]", row[7].rstrip("\n")) for row in bound]


def _places(process: str) -> Iterator[str]:
    """Yield where a daemon may look for hooks, as seen from here."""
    yield f"{process}/root{DIRECTORY}"
    with contextlib.suppress(OSError):  # it has ended
        program = os.readlink(f"{process}/exe")
        yield f"{process}/root{os.path.dirname(os.path.dirname(program))}{DIRECTORY}"


def _is_same(here: str, there: str) -> bool:
    """Tell whether two paths lead to the same directory, or would if the end that both lack were made."""
    while not (os.path.exists(here) or os.path.exists(there)):
        (here, name), (there, other) = os.path.split(here), os.path.split(there)
        if name != other or not name:
            return False
    return _identity(here) == _identity(there)


def _identity(path: str) -> tuple[int, int] | None:
    """Return what identifies a directory, wherever it is mounted."""
    try:
        seen = os.stat(path)
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def _read(pid: int) -> Daemon | None:
    found = process("", pid)
    if found is None or found.name not in NAMES:
        return None
    return Daemon(pid, found.name, found.started, found.since)


@dataclass(frozen=True)
class Process:
    """A process that runs.

    :ivar started: its start in clock ticks since boot.
    """

    name: str
    started: int

    @property
    def since(self) -> float:
        """Its start in seconds since the epoch, by today's clock."""
        return since_epoch(self.started)


def process(root: str, pid: int) -> Process | None:
    """Return a process, ``None`` where it has ended.

    :param root: the root directory in whose /proc it has that pid; "": this one's.
    """
    try:
        with open(f"{root}/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            stat = file.read()
    except OSError:
        return None
    # The name stands in parentheses and may hold anything; field 22, counted from 1, is the start, see proc(5).
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return Process(stat[stat.index("(") + 1 : stat.rindex(")")], int(fields[19]))


def since_epoch(ticks: int) -> float:
    """Return a time in clock ticks since boot as seconds since the epoch, by today's clock."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + ticks / os.sysconf("SC_CLK_TCK")
