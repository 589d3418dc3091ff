# SPDX-License-Identifier: Apache-2.0
"""A process with a client's user, group and groups, which connects to libvirtd in the client's place.

libvirtd asks the kernel who connected, and hands the process id on to polkit, so the process stays for as long as one
of its connections does.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from mthook.errors import Error

_PATH_LIMIT = 4096
#: Seconds to wait for a libvirtd that doesn't accept connections.
_PATIENCE = 30
_NEVER = struct.pack("ll", 0, 0)


def serve(control: socket.socket, uid: int, gid: int, groups: list[int]) -> None:
    """Become that user and connect as often as asked, until the gate lets go.

    A request is the path of a socket; the answer an error number in decimal digits, with the connection if that is 0.
    """
    _become(uid, gid, groups)
    while True:
        path = control.recv(_PATH_LIMIT)
        if not path:
            return
        _answer(control, os.fsdecode(path))


def _become(uid: int, gid: int, groups: list[int]) -> None:
    # The kernel keeps an ordinary user from inspecting a process that became theirs (prctl(2), PR_SET_DUMPABLE).
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    became = (os.getresuid(), os.getresgid(), set(os.getgroups()))
    if became != ((uid,) * 3, (gid,) * 3, set(groups)):
        raise Error(f"can't become user {uid} with group {gid}")


def _answer(control: socket.socket, path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        # What limits writing limits connecting as well (unix(7)).
        limit = struct.pack("ll", _PATIENCE, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        try:
            connection.connect(path)
        except OSError as error:
            number = errno.ETIMEDOUT if error.errno == errno.EAGAIN else error.errno or errno.EIO
            control.send(str(number).encode())
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _NEVER)
        socket.send_fds(control, [b"0"], [connection.fileno()])
