# SPDX-License-Identifier: Apache-2.0
"""A process that stands for a guest's QEMU."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def like_qemu(*argv: str) -> Iterator[int]:
    """Run what has a command line as libvirt gives it to QEMU, and yield its process id."""
    command = ["sh", "-c", "read end", "qemu", *argv]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        # Its command line is set a moment after its program is.
        while argv[-1].encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
            time.sleep(0.001)
        yield process.pid
