# SPDX-License-Identifier: Apache-2.0
"""What a rendered hook runs in libvirt's container: it has mthook on the host answer libvirtd's call.

The hook carries this text itself, for whatever Python 3.9 or newer is there, Debian's python3-minimal included. So it
imports nothing of mthook, and only what is built into that interpreter.

A question is the guest's name, the operation and the domain's XML, separated by NUL, up to the end of the stream. The
answer is the exit status, the length of the output, what libvirtd's client is told, and the output, likewise.
"""

from __future__ import annotations

import _socket
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO, TextIO

STOPPED, FAILED = 77, 1


def main(argv: Sequence[str], source: BinaryIO, output: BinaryIO, errors: TextIO) -> int:
    """Answer one call; return the exit status, which hooks/qemu knows from its own interpreter.

    :param argv: the socket, the seconds that an answer may take, ``deny`` where a start without one is to be stopped,
        the guest's name, the operation.
    """
    path, seconds, without, name, operation = argv[:5]
    question = b"\0".join((os.fsencode(name), os.fsencode(operation), source.read()))
    try:
        status, message, xml = ask(path, time.monotonic() + float(seconds), question)
    except (OSError, ValueError) as error:
        if (operation, without) != ("prepare", "deny"):
            return FAILED
        shown = "".join(one if one.isprintable() else "?" for one in name)
        status, xml = STOPPED, b""
        message = (
            f"mthook: start of guest '{shown}' stopped ([hook] on_error = deny):"
            f" no answer from mthook on the host, {path}: {error}\n"
        )
    output.write(xml)
    output.flush()
    errors.write(message)
    return status


def ask(path: str, deadline: float, question: bytes) -> tuple[int, str, bytes]:
    """Return status, message and output.

    :raises OSError: there is no answer in time.
    :raises ValueError: the answer breaks off.
    """
    asking = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    asking.settimeout(left(deadline))
    asking.connect(path)
    asking.sendall(question)
    asking.shutdown(_socket.SHUT_WR)
    pieces: list[bytes] = []
    while not pieces or pieces[-1]:
        asking.settimeout(left(deadline))
        pieces.append(asking.recv(1 << 18))
    parts = b"".join(pieces).split(b"\0", 3)
    if len(parts) < 4 or len(parts[3]) != int(parts[1]):
        raise ValueError("it breaks off")
    status, _, message, xml = parts
    return int(status), message.decode(), xml


def left(deadline: float) -> float:
    """Return the seconds that are left."""
    return max(deadline - time.monotonic(), 0.001)


if __name__ == "__main__":
    try:
        os.dup2(3, 2)
        os.close(3)
    except OSError:
        pass  # not called by hooks/qemu
    sys.exit(main(sys.argv[1:], sys.stdin.buffer, sys.stdout.buffer, sys.stderr))
