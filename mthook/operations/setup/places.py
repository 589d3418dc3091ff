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
#: It is there where systemd runs: sd_booted(3).
SYSTEMD_RUNS = "/run/systemd/system"
CRON = "/etc/cron.d"
COMPLETION = "/etc/bash_completion.d/mthook-admin"
NOVA_CONF = "/etc/nova/nova.conf"


def shared(name: str) -> str:
    """Return the text of a file that comes with mthook, such as ``systemd/mthook-sync.timer``.

    :raises InstallError: it isn't there.
    """
    checkout = Path(mthook.__file__).parents[1] / "etc"
    data = Path(sysconfig.get_path("data"), "share", "mthook")
    for directory in (data, Path("/usr/share/mthook"), checkout):
        if (directory / name).is_file():
            return (directory / name).read_text(encoding="utf-8")
    raise InstallError(f"{data / name} is missing: install mthook anew")


def program(name: str) -> str:
    """Return the path of one of mthook's programs, as systemd and cron are told it."""
    for directory in (os.path.dirname(sys.argv[0]), sysconfig.get_path("scripts")):
        path = os.path.join(os.path.abspath(directory), name)
        if directory and os.access(path, os.X_OK):
            return path
    return name
