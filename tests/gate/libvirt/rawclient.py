# SPDX-License-Identifier: Apache-2.0
"""A client that sends libvirtd what libvirt's own library never would."""

from __future__ import annotations

import socket
from pathlib import Path

from mthook.gate import calls, framing, xdr
from tests.gate.rig import receive_message
from tests.unit.gate.messages import message

OPEN = message(calls.CONNECT_OPEN, xdr.optional_string(b"qemu:///system") + xdr.uint(0), serial=0)
_SECONDS = 30


class RawClient:
    """A connection, opened unless that is left to the test."""

    def __init__(self, path: Path, *, opens: bool = True) -> None:
        self._path, self._opens = path, opens
        self._connect()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def _connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(str(self._path))
        if self._opens:
            assert status(self.call(OPEN)) == framing.OK

    def call(self, data: bytes) -> bytes:
        """Send bytes; return the next message."""
        self.sock.sendall(data)
        return receive_message(self.sock)

    def answer(self, data: bytes) -> bytes | None:
        """Return what comes for bytes that may be mad; None: the end of the connection, and another one is there."""
        try:
            return self.call(data)
        except (AssertionError, OSError):
            self.sock.close()
            self._connect()
            return None


def status(reply: bytes) -> int:
    """Whether a call went well."""
    return int.from_bytes(reply[24:28], "big")


def said(reply: bytes) -> str:
    """The text of an error."""
    reader = xdr.Reader(reply, framing.HEADER_SIZE)
    reader.integer()
    reader.integer()
    return (reader.optional_string() or b"").decode(errors="replace")
