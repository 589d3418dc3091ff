# SPDX-License-Identifier: Apache-2.0
"""What a machine must have before a lab can run on it."""

from __future__ import annotations

import os
import shutil

EMULATOR = "/usr/bin/qemu-system-x86_64"

#: Where the programs of an administrator are, whatever PATH the caller has.
PATH = os.pathsep.join(
    ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
)

_PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    "libvirtd": "libvirt-daemon",
    "virsh": "libvirt-clients",
    EMULATOR: "qemu-system-x86",
}


class LabError(Exception):
    """A lab can't run, or something in it went wrong: one plain sentence; a log may follow."""


def check() -> None:
    """Make sure that a lab can run here.

    :raises LabError: for lack of something, which the one sentence names.
    """
    if os.geteuid() != 0:
        raise LabError("A lab runs real libvirt daemons and needs root; run it as root.")
    for program, package in _PROGRAMS.items():
        if shutil.which(program, path=PATH) is None:
            raise LabError(
                f"A lab needs the program {program}; on Debian install the package {package}."
            )
