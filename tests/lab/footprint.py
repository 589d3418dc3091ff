# SPDX-License-Identifier: Apache-2.0
"""What labs leave behind: nothing, and this is how it is proved."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Optional

_DIRECTORIES = (
    "/etc/libvirt",
    "/etc/mthook",
    "/run/libvirt",
    "/run/mount",
    "/run/mthook",
    "/run/mthook-lab",
    "/var/cache/libvirt",
    "/var/lib/libvirt",
    "/var/lib/mthook",
    "/var/log/libvirt",
)
_FILES = ("/run/libvirtd.pid", "/var/run/libvirtd.pid")


def traces() -> frozenset[str]:
    """Return every file of libvirt's and mthook's that the machine itself has.

    What a later call returns beyond that was left by what ran in between.
    """
    found = {path for path in (*_FILES, *_DIRECTORIES) if os.path.lexists(path)}
    for directory in _DIRECTORIES:
        found.update(str(path) for path in Path(directory).rglob("*"))
    return frozenset(found)


def leftovers(
    owner: Optional[int] = None, *, before: Optional[Collection[str]] = None
) -> list[str]:
    """Return what labs left on this machine, one line each.

    :param owner: only processes of labs which the process with this id owned; all labs' otherwise.
    :param before: the :func:`traces` from before the lab; without them files aren't looked at.
    """
    found = list(_processes(owner))
    found += [mount for mount in _mounts() if mount not in _OF_THIS_MACHINE]
    if before is not None:
        found += [f"file {path}" for path in sorted(traces().difference(before))]
    return found


def exit_code(code: int) -> int:
    """Say what this process's labs left behind; return its exit code, which is 1 where all else went well."""
    left = leftovers(os.getpid())
    if left:
        print(f"Left behind: {', '.join(left)}", file=sys.stderr)
    return code or bool(left)


def _processes(owner: Optional[int]) -> Iterator[str]:
    """Yield the processes that are inside a lab, and the holders of labs outside."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (
                (process / "cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
                .strip()
            )
            lab = _owner(process, command)
        except OSError:
            continue  # it has just ended
        if lab is not None and owner in (None, lab):
            yield f"process {process.name} {command[:100]}"


def _owner(process: Path, command: str) -> Optional[int]:
    """Return which process owns the lab that this process belongs to, or None.

    A process inside sees the lab's own /run; the holder outside has the owner as its last argument
    but one.
    """
    marker = process / "root/run/mthook-lab/owner"
    if marker.exists():
        return int(marker.read_text())
    if "/lab/holder.sh " in command:
        return int(command.split("/lab/holder.sh ")[1].split()[1])
    return None


def _mounts() -> Iterator[str]:
    """Yield the mounts of labs that this process sees: they got out of their namespace."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " mthook-lab " in line:
            yield f"mount {line.split()[4]}"


#: A machine of a lab has the lab's mounts from the beginning; labs on it have left none of these.
_OF_THIS_MACHINE = frozenset(_mounts())
