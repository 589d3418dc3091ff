# SPDX-License-Identifier: Apache-2.0
"""Answers the hooks in libvirt's containers, which have neither mthook nor its catalog: see :mod:`mthook.hook.client`.

Each call is answered by a process of its own, forked for it, in the very way in which the hook on a host answers. So a
call that hangs or dies leaves its guest to the hook in the container, and no other call waits for it.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from mthook import journal
from mthook.hook import fast
from mthook.text import cause
from mthook.xmlrewrite import summary

#: The descriptor that systemd hands over (sd_listen_fds(3)).
_HANDED_OVER = 3
#: Seconds that a hook may take to send its question.
_TO_ASK = 10
#: The longest name and operation that a question begins with.
_HEAD = 4096


def main(argv: Sequence[str]) -> NoReturn:
    """Answer on the socket that systemd hands over, as mthook-hookd.service has it: on the standard library alone.

    :param argv: the catalog, the configuration files with colons between them, the directory of the notes.
    """
    catalog, files, cleared = argv
    Answering(catalog, files.split(":"), cleared).serve(socket.socket(fileno=_HANDED_OVER))


@dataclass(frozen=True)
class Answering:
    """What each call is answered with.

    :ivar catalog: path of the catalog.
    :ivar files: the configuration files; each call notices changes by itself.
    :ivar cleared: the directory of the notes.
    """

    catalog: str
    files: Sequence[str]
    cleared: str

    def serve(self, listening: socket.socket) -> NoReturn:
        """Answer whoever connects, for ever. Only root is answered."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            asking, _ = listening.accept()
            with asking:
                try:
                    child = os.fork()
                except OSError as error:
                    journal.error(f"a hook in a container isn't answered: {cause(error)}")
                    continue
                if child == 0:
                    listening.close()
                    self._be_child(asking)

    def _be_child(self, asking: socket.socket) -> NoReturn:
        """Answer and end, without ever returning to the caller's code."""
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the slow path waits for a child
            self._answer(asking)
        except (OSError, ValueError) as error:
            journal.error(f"a hook in a container isn't answered: {cause(error)}")
        finally:
            os._exit(0)

    def _answer(self, asking: socket.socket) -> None:
        pid, uid, _ = _peer(asking)
        if uid != 0:
            journal.warning(f"uid {uid} is no hook: it isn't answered")
            return
        question = _question(asking)
        if not question:
            return  # somebody looked whether we are there
        name, operation, xml = question.split(b"\0", 2)
        argv = [self.catalog, ":".join(self.files), self.cleared]
        output, errors = io.BytesIO(), io.StringIO()
        call = fast.HookCall(
            [*argv, os.fsdecode(name), os.fsdecode(operation)], output, errors, caller=pid
        )
        call.alarmed = True
        status = call.status(fast.answer(call, io.BytesIO(xml)))
        told = (str(status), str(output.tell()), errors.getvalue())
        head = "\0".join((*told, "")).encode("utf-8", "backslashreplace")
        asking.sendall(head + output.getvalue())


def _peer(asking: socket.socket) -> tuple[int, int, int]:
    """Return process, user and group at the other end."""
    form = "3i"
    seen = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(form))
    pid, uid, gid = struct.unpack(form, seen)
    return pid, uid, gid


def _question(asking: socket.socket) -> bytes:
    """Return what is asked, no more of it than a domain's XML may have."""
    asking.settimeout(_TO_ASK)
    data, most = bytearray(), _HEAD + summary.MAX_BYTES + 1
    while len(data) < most:
        piece = asking.recv(min(1 << 18, most - len(data)))
        if not piece:
            break
        data += piece
    asking.settimeout(None)
    return bytes(data)
