# SPDX-License-Identifier: Apache-2.0
"""Where things are on a host: what the package brings along, and where the system looks for it."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import mthook
from mthook.errors import InstallError

SYSTEMD = "/etc/systemd/system"
#: Where a package of a distribution puts units, for an administrator to enable.
PACKAGED_UNITS = "/usr/lib/systemd/system"
PACKAGED_PROGRAMS = ("/usr/sbin", "/usr/bin")
#: It is there where systemd runs: sd_booted(3).
SYSTEMD_RUNS = "/run/systemd/system"
CRON = "/etc/cron.d"
#: Where shells look for completion, and man for pages, that an administrator has installed.
SHARE = "/usr/local/share"
NOVA_CONF = "/etc/nova/nova.conf"
#: The directories in it that mthook has files for.
_PARTS = ("bash-completion/completions", "zsh/site-functions", "man/man5", "man/man8")


def shared(name: str) -> str:
    """Return the text of a file that comes with mthook, such as ``systemd/mthook-sync.timer``.

    :raises InstallError: it isn't there.
    """
    checkout = Path(mthook.__file__).parents[1] / "etc"
    data = Path(sysconfig.get_path("data"), "share", "mthook")
    for directory in (data, Path("/usr/share/mthook"), checkout):
        if (directory / name).is_file():
            return (directory / name).read_text(encoding="utf-8")
    raise InstallError(f"{data / name} is missing: reinstall mthook")


def completion() -> dict[str, str]:
    """Return the completion and the man pages that come with mthook: paths where they are to be, and texts.

    There are none where the package has put them there itself.
    """
    if _is_found():
        return {}
    checkout = Path(mthook.__file__).parents[1] / "etc" / "share"
    return {
        os.path.join(SHARE, part, path.name): path.read_text(encoding="utf-8")
        for part in _PARTS
        for path in _of_mthook(_package() / part) or _of_mthook(checkout / part)
    }


def installed_completion() -> list[str]:
    """Return the paths of completion and man pages that an administrator has put there."""
    parts = () if _is_found() else _PARTS
    return [str(path) for part in parts for path in _of_mthook(Path(SHARE, part))]


def _package() -> Path:
    return Path(sysconfig.get_path("data"), "share")


def _is_found() -> bool:
    """Tell whether shells and man look into the package itself."""
    return str(_package()) in (SHARE, "/usr/share")


def _of_mthook(directory: Path) -> list[Path]:
    return sorted([*directory.glob("mthook[-.]*"), *directory.glob("_mthook")])


def program(name: str) -> str:
    """Return the path of one of mthook's programs, as systemd and cron are told it.

    One that a package has brought is found by its name alone, which the package's units say.
    """
    for directory in (os.path.dirname(sys.argv[0]), sysconfig.get_path("scripts")):
        path = os.path.join(os.path.abspath(directory), name)
        if directory and os.access(path, os.X_OK):
            return name if os.path.dirname(path) in PACKAGED_PROGRAMS else path
    return name
