# SPDX-License-Identifier: Apache-2.0
"""Namespaces that end with the process that asked for them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union

from tests.lab.processes import child_of, hold

_UNSHARE = [
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("--propagation", "private"),
]
_HOLDER = Path(__file__).with_name("holder.sh")

Argument = Union[str, "os.PathLike[str]"]


class Namespaces:
    """Mount, UTS and PID namespaces, held open by a process of their own (see ``holder.sh``).

    Two things end the holder with its owner: the kernel kills it when the thread that started it
    ends, and it ends by itself when its standard input, a pipe from the owner, is closed. It is no
    part of the terminal's process group, so Ctrl-C reaches the owner alone.
    """

    def __init__(self, hostname: str) -> None:
        """Create them and wait until everything in them is mounted.

        :raises LabError: the kernel refused something; the text says what.
        """
        argv = [*_UNSHARE, "sh", str(_HOLDER), hostname, str(os.getpid()), sys.executable]
        self._holder = hold(argv, "No namespaces for a lab on this machine")
        self.pid = child_of(self._holder.pid)

    def command(self, argv: Sequence[Argument]) -> list[str]:
        """Return the command that runs another one inside."""
        target = ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--pid"]
        # A mount namespace alone would be entered at its root: of an owner in a chroot that isn't the
        # holder's, and what runs there would meet the machine's own files and sockets.
        enter = [*target, "--root", "--wd", "--"]
        return enter + [os.fspath(argument) for argument in argv]

    def popen(
        self, argv: Sequence[Argument], env: Mapping[str, str], **options: Any
    ) -> subprocess.Popen[str]:
        """Start a command inside and return without waiting for it."""
        return subprocess.Popen(self.command(argv), env=dict(env), text=True, cwd="/", **options)

    def close(self) -> None:
        """End every process inside; they are gone, and the mounts with them, when this returns."""
        for stream in (self._holder.stdin, self._holder.stdout, self._holder.stderr):
            if stream is not None:
                stream.close()
        self._holder.wait()
