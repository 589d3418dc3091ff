# SPDX-License-Identifier: Apache-2.0
"""A disk that hangs: mounts a file system that never answers over a directory, as long as its standard input is open.

Run as ``python hanging.py DIRECTORY`` in a mount namespace. It prints a line once everybody who looks there waits.
"""

from __future__ import annotations

import ctypes
import os
import sys


def main(directory: str) -> None:
    """Mount, and never read what the kernel asks."""
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"hanging", os.fsencode(directory), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), "mount")
    print("hangs", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
