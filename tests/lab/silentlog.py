# SPDX-License-Identifier: Apache-2.0
"""A system log that is there and takes nothing, as that of a daemon that hangs.

Run as ``python silentlog.py`` in a mount namespace: ``/dev`` becomes the namespace's own, and ``/dev/log`` is bound,
full and never read as long as standard input is open. It prints a line once that is so.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile


def _own_devices() -> None:
    """Give the namespace a /dev with everything that is in the machine's, where a socket may be made."""
    made = tempfile.mkdtemp(prefix="dev-", dir="/run")
    for entry in os.scandir("/dev"):
        place = f"{made}/{entry.name}"
        if entry.name == "log":
            continue
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), place)
            continue
        if entry.is_dir():
            os.mkdir(place)
        else:
            open(place, "wb").close()
        subprocess.run(["mount", "--rbind", entry.path, place], check=True)
    subprocess.run(["mount", "--rbind", made, "/dev"], check=True)


def main() -> None:
    """Bind the log's socket, fill it, and never read."""
    _own_devices()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind("/dev/log")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as client:
            client.connect("/dev/log")
            with contextlib.suppress(BlockingIOError):
                while True:
                    client.send(b"<27>lab: nobody reads this")
        print("silent", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
