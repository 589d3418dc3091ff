# SPDX-License-Identifier: Apache-2.0
"""Whether the hook saw the guests start that run: its own record of its calls against the start of their processes.

``hooks/qemu`` writes when it was called itself, into a file for each guest, once mthook has seen the guest run. That is
the same clock that tells the start of a process, ticks since boot, so that no change of the time of day matters.

Its last call ends a start, which may take long: memory is preallocated, a saved guest is read. Until libvirt says that
the start is over, nobody can say that the hook wasn't called.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from mthook.hook import daemons, install
from mthook.text import now

#: Where libvirt keeps the process ids and the state of guests, by name.
PID_FILES = "/run/libvirt/qemu"
#: The directory of the records, beside the notes of ``prepare``.
RECORDS = f"{install.CLEARED}/.seen"
#: The jobs by which libvirt starts a guest, as it writes them to the guest's state (``virDomainAsyncJob`` in libvirt's
#: src/conf/virdomainjob.c): before it lets QEMU run, and once the job is over, which is after the hook's ``started``.
_STARTING = ("start", "migration in")
#: Seconds after which the record of a guest that doesn't run is of no more use.
_KEPT = 600


@dataclass(frozen=True)
class Start:
    """The last start of a guest that runs.

    :ivar name: the guest's; untrusted text.
    :ivar since: when its process started, in seconds since the epoch.
    :ivar seen: the hook was called then, or later for the running guest, and mthook could judge it.
    """

    name: str
    since: float
    seen: bool

    @property
    def at(self) -> str:
        """When it was, as :func:`mthook.text.now` writes it."""
        return now(self.since)


def starts(root: str, names: Collection[str]) -> Iterator[Start]:
    """Yield the last start of each of these guests that runs, once it is over or the hook has seen it.

    :param root: the root directory of the daemon that runs them; "": this process's.
    """
    for name in names:
        process = _process(root, name)
        if process is None:
            continue
        seen = _is_seen(root, name, process)
        if seen or _is_over(root, name):
            # The hook may have been called between the two looks.
            yield Start(name, process.since, seen or _is_seen(root, name, process))


def last(root: str) -> float | None:
    """Return when the hook last saw a guest run, in seconds since the epoch; ``None``: not since the host booted."""
    with contextlib.suppress(OSError):
        numbers = [_number(entry.path) for entry in os.scandir(root + RECORDS)]
        ticks = [number for number in numbers if number is not None]
        return daemons.since_epoch(max(ticks)) if ticks else None
    return None


def sweep(root: str) -> None:
    """Remove the records of guests that don't run. What can't be removed does no harm.

    :param root: the root directory of the daemon that runs them; "": this process's.
    """
    with contextlib.suppress(OSError):
        for entry in os.scandir(root + RECORDS):
            old = time.time() - entry.stat().st_mtime > _KEPT
            if old and _process(root, entry.name) is None:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _process(root: str, name: str) -> daemons.Process | None:
    """Return the process of a guest that runs; the number in a file that a crash has left may be another's by now."""
    pid = _number(f"{root}{PID_FILES}/{name}.pid")
    return daemons.process(root, pid) if pid is not None and _runs(root, pid, name) else None


def _runs(root: str, pid: int, name: str) -> bool:
    """Tell whether a process is a guest's: libvirt gives QEMU ``-name guest=NAME,...``, commas in the name twice."""
    named = re.escape(b"\0guest=" + os.fsencode(name).replace(b",", b",,"))
    with contextlib.suppress(OSError), open(f"{root}/proc/{pid}/cmdline", "rb") as file:
        return re.search(named + rb"(\0|,(?!,))", file.read()) is not None
    return False


def _is_seen(root: str, name: str, process: daemons.Process) -> bool:
    called = _number(f"{root}{RECORDS}/{name}")
    return called is not None and called >= process.started


def _is_over(root: str, name: str) -> bool:
    """Tell whether libvirt has come to the end of a guest's start, and the guest still runs."""
    try:
        job = ElementTree.parse(f"{root}{PID_FILES}/{name}.xml").find("job")
    except FileNotFoundError:
        return False
    except (OSError, ElementTree.ParseError):
        return True
    return job is None or job.get("async") not in _STARTING


def _number(path: str) -> int | None:
    """Return the number in a file, ``None`` where there is none."""
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
