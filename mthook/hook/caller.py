# SPDX-License-Identifier: Apache-2.0
"""The libvirt daemon that calls the hook, and which answers it can take. Builtins only."""

from __future__ import annotations

from mthook import policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mthook.policy import Version
    from mthook.settings import Settings

#: A library's file name ends in 0, libvirt's major version times 1000 and the minor one, and the micro version
#: (libvirt's meson.build, ``libvirt_lib_version``).
_LIBRARY = "/libvirt.so.0."
#: How far up it may be: ``hooks/qemu`` is a shell, and another hook may have called that.
_GENERATIONS = 4


def for_restore(settings: Settings, pid: int) -> Settings:
    """Return the settings for a restore: accept it where libvirt would mishandle a refusal.

    :param pid: the process that libvirtd has started, or one that this has.
    """
    if policy.may_refuse_restore(libvirt_version(pid)):
        return settings
    return settings.but(migrate_mismatch="accept")


def libvirt_version(pid: int) -> Version | None:
    """Return libvirt's version from a process or its nearest ancestor that loads it; None: unknown."""
    for _ in range(_GENERATIONS):
        version = _version(pid)
        if version is not None:
            return version
        pid = _parent(pid)
    return None


def _version(pid: int) -> Version | None:
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            paths = [line.rstrip().removesuffix(" (deleted)") for line in file if _LIBRARY in line]
        age, _, micro = paths[0].rpartition(_LIBRARY)[2].partition(".")
        return int(age) // 1000, int(age) % 1000, int(micro)
    except (OSError, IndexError, ValueError):
        return None


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The name stands in parentheses and may hold anything, see proc(5).
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0
