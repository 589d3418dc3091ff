# SPDX-License-Identifier: Apache-2.0
"""What a machine must have before a lab can run on it."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Mapping

EMULATOR = "/usr/bin/qemu-system-x86_64"

#: Where the programs of an administrator are, whatever PATH the caller has.
PATH = os.pathsep.join(
    ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
)

_NAMESPACES = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
}

#: The programs that a host needs, and Debian's packages of them.
HOST = {
    **_NAMESPACES,
    "libvirtd": "libvirt-daemon",
    "virsh": "libvirt-clients",
    EMULATOR: "qemu-system-x86",
}

#: The programs that a database server needs, and Debian's packages of them.
MARIADB = {
    **_NAMESPACES,
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "mariadb": "mariadb-client-core",
    "mariadb-dump": "mariadb-client",
    "openssl": "openssl",
}

#: What servers have in common to be a cluster.
GALERA = "/usr/lib/galera/libgalera_smm.so"


class LabError(Exception):
    """A lab can't run, or something in it went wrong: one plain sentence; a log may follow."""


def check(programs: Mapping[str, str] = HOST) -> None:
    """Make sure that a lab can run here.

    :param programs: what it needs, with the packages that have them.
    :raises LabError: for lack of something, which the one sentence names.
    """
    if os.geteuid() != 0:
        raise LabError("A lab runs real libvirt daemons and needs root; run it as root.")
    for program, package in programs.items():
        if shutil.which(program, path=PATH) is None:
            raise LabError(
                f"A lab needs the program {program}; on Debian install the package {package}."
            )


def find_postgresql() -> str:
    """Return the directory of PostgreSQL's newest programs, which Debian keeps apart from the others.

    :raises LabError: there are none.
    """
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if not found:
        raise LabError("A lab needs PostgreSQL; on Debian install the package postgresql.")
    return os.path.dirname(found[-1])
