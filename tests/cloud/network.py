# SPDX-License-Identifier: Apache-2.0
"""A network of the cloud's own: a loopback device that nobody else sees."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def isolate() -> None:
    """Give this process, and all that it starts from now on, the network.

    It must have no threads yet: a network is a thread's.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"No network of its own: {os.strerror(number)}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        fcntl.ioctl(anything, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
