# SPDX-License-Identifier: Apache-2.0
"""libvirt's RPC messages in a stream of bytes (libvirt ``src/rpc/virnetprotocol.x``). Pure, no input or output.

A message is a length of four bytes, which counts itself, a header of 24 and a payload. In a message of type
call-with-fds or reply-with-fds the payload begins with a number; that many single bytes follow *after* the message,
each carrying one file descriptor (``virNetSocketSendFD``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from typing import NamedTuple, Union

from mthook.gate.xdr import Malformed

_HEADER = struct.Struct(">IIIiiIi")
_COUNT = struct.Struct(">I")

#: Length and header.
HEADER_SIZE = _HEADER.size
#: The longest message, its length field included (``VIR_NET_MESSAGE_MAX`` plus four).
MAX_LENGTH = 32 * 1024 * 1024 + 4
#: The most file descriptors of a message: more can't be sent at once on Linux; libvirt has 32 by now.
MAX_FDS = 253

CALL, REPLY, MESSAGE, STREAM, CALL_WITH_FDS, REPLY_WITH_FDS = range(6)
OK, ERROR, CONTINUE = range(3)

Buffer = Union[bytes, bytearray, memoryview]


class Header(NamedTuple):
    """A message's header; ``length`` counts its own four bytes."""

    length: int
    program: int
    version: int
    procedure: int
    kind: int
    serial: int
    status: int

    def pack(self) -> bytes:
        """Return it as it travels."""
        return _HEADER.pack(*self)


class Piece(NamedTuple):
    """Some bytes to send on, in order.

    :ivar header: of a message that was held back until it was complete, else None.
    :ivar fds: descriptors that belong to ``data``, which then is a single byte.
    :ivar descriptor: whether ``data`` is such a byte, even one that came without its descriptor.
    """

    data: Buffer
    header: Header | None = None
    fds: tuple[int, ...] = ()
    descriptor: bool = False


class Frames:
    """Cuts one direction of a connection into pieces. All bytes come out as they went in.

    :param wanted: which messages to hold back until they are complete; the others pass as they come.
    :param note: is told of every message when its header is complete, and tells whether anybody waits for it.
    :param carriers: types of messages after which the reader of this direction looks for descriptors. libvirtd reads
        none after a reply, nor a client after a call: to take bytes for descriptors there would lose the start of the
        next message.
    :ivar awaited: what ``note`` returned for the last message.
    :ivar count: how many messages have ended.
    :ivar stray: descriptors that came where libvirt reads none: to be closed.
    """

    def __init__(
        self,
        wanted: Callable[[Header], bool] | None = None,
        note: Callable[[Header], object] | None = None,
        carriers: Collection[int] = (CALL_WITH_FDS, REPLY_WITH_FDS),
    ) -> None:
        self._wanted = wanted
        self._note = note
        self._carriers = carriers
        self._head = b""
        self._left = 0
        self._descriptors = 0
        self._held: bytearray | None = None
        self._holds: Header | None = None
        self._inserts: list[bytes] = []
        self._kind = CALL
        self.awaited = False
        self.count = 0
        self.stray: list[int] = []

    def passes(self, data: Buffer, size: int) -> bool:
        """Take data without descriptors if it is one complete message to be passed on unchanged.

        By far the most frequent case. Anything not taken must go to :meth:`feed`.
        """
        if size < HEADER_SIZE or self._left or self._head or self._descriptors or self._inserts:
            return False
        header = Header(*_HEADER.unpack_from(data))
        if header.length != size or header.kind in self._carriers:
            return False
        if self._wanted is not None and self._wanted(header):
            return False
        self.count += 1
        if self._note is not None:
            self.awaited = bool(self._note(header))
        return True

    @property
    def incomplete(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._head or self._left or self._descriptors)

    @property
    def streaming(self) -> bool:
        """Whether what has begun is a stream's packet."""
        return self._left > 0 and self._kind == STREAM

    @property
    def holding(self) -> int:
        """The full length of the message that is being held back; 0: none."""
        return self._holds.length if self._holds is not None else 0

    @property
    def inserts(self) -> int:
        """How many messages of our own wait for the end of another."""
        return len(self._inserts)

    def insert(self, message: bytes) -> list[Piece]:
        """Put a message of our own between two others; return it if it can go right now."""
        self._inserts.append(message)
        if self._left or self._descriptors:
            return []
        return self._take_inserts()

    def feed(self, data: Buffer, fds: tuple[int, ...] = ()) -> list[Piece]:
        """Take what was read and return what can go on.

        :param fds: descriptors that came with the last byte of ``data``; libvirt sends and reads one per byte.
        :raises Malformed: these are no messages; the pieces before are lost, as the connection is.
        """
        if self._head:
            data = self._head + bytes(data)
            self._head = b""
        pieces: list[Piece] = []
        begin = offset = 0
        size = len(data)
        while offset < size:
            if self._left:
                offset += self._pass(data, offset, size)
                if self._held is not None:
                    begin = offset
                    self._release(pieces)
                continue
            if self._descriptors:
                _add(pieces, data, begin, offset)
                last = offset + 1 == size
                pieces.append(
                    Piece(data[offset : offset + 1], fds=fds[:1] if last else (), descriptor=True)
                )
                if last:
                    fds = fds[1:]
                self._descriptors -= 1
                self.count += not self._descriptors
                offset += 1
                begin = offset
                continue
            if self._inserts:
                _add(pieces, data, begin, offset)
                begin = offset
                pieces += self._take_inserts()
            header = self._begin(data, offset, size)
            if header is None:
                _add(pieces, data, begin, offset)
                self._head = bytes(data[offset:])
                begin = size
                break
            if self._wanted is not None and self._wanted(header):
                _add(pieces, data, begin, offset)
                self._held, self._holds = bytearray(), header
        _add(pieces, data, begin, size)
        self.stray.extend(fds)
        if self._inserts and not self._left and not self._descriptors:
            pieces += self._take_inserts()
        return pieces

    def _begin(self, data: Buffer, offset: int, size: int) -> Header | None:
        """Read a message's header; None as long as it isn't there."""
        if size - offset < HEADER_SIZE:
            if size - offset >= 4:
                _check_length(_COUNT.unpack_from(data, offset)[0])
            return None
        header = Header._make(_HEADER.unpack_from(data, offset))
        _check_length(header.length)
        descriptors = 0
        if header.kind in self._carriers:
            if header.length < HEADER_SIZE + 4:
                raise Malformed("a message with descriptors that doesn't say how many")
            if size - offset < HEADER_SIZE + 4:
                return None
            (descriptors,) = _COUNT.unpack_from(data, offset + HEADER_SIZE)
            if descriptors > MAX_FDS:
                raise Malformed(f"a message with {descriptors} descriptors")
        self._left, self._descriptors = header.length, descriptors
        self._kind = header.kind
        if self._note is not None:
            self.awaited = bool(self._note(header))
        return header

    def _pass(self, data: Buffer, offset: int, size: int) -> int:
        taken = min(self._left, size - offset)
        self._left -= taken
        self.count += not self._left and not self._descriptors
        if self._held is not None:
            self._held += data[offset : offset + taken]
        return taken

    def _release(self, pieces: list[Piece]) -> None:
        if not self._left and self._held is not None:
            pieces.append(Piece(bytes(self._held), header=self._holds))
            self._held = self._holds = None

    def _take_inserts(self) -> list[Piece]:
        pieces = [Piece(message) for message in self._inserts]
        self._inserts.clear()
        return pieces


def _add(pieces: list[Piece], data: Buffer, begin: int, end: int) -> None:
    if begin < end:
        pieces.append(Piece(data[begin:end]))


def _check_length(length: int) -> None:
    if not HEADER_SIZE <= length <= MAX_LENGTH:
        raise Malformed(f"a message of {length} bytes")
