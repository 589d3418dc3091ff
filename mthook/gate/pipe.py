# SPDX-License-Identifier: Apache-2.0
"""One direction of a connection: what is read on one socket is written to the other, in order, with its descriptors.

At most the data of one read, and one message that is being judged, wait here: nothing is read while something waits.
"""

from __future__ import annotations

import collections
import enum
import socket
from collections.abc import Callable, Sequence

from mthook.gate.framing import Buffer, Frames, Piece
from mthook.gate.selecting import Selector
from mthook.gate.xdr import Malformed

_READ = 1 << 18
_MAX_FDS = 253
#: Messages of our own that may wait for the end of one of libvirtd's.
_MANY = 16
_ANCILLARY = socket.CMSG_SPACE(_MAX_FDS * 4)
_TRUNCATED = int(socket.MSG_CTRUNC)  # an enum's operators cost more than the read itself
#: One for all connections: what is read is written, or copied, before the next read.
_BUFFER = memoryview(bytearray(_READ))


class Outgoing:
    """Something that waits to be written.

    :ivar data: as long as it is None, nothing behind it goes out either.
    :ivar fds: descriptors that go with it.
    :ivar message: the judged message that it carries a descriptor for.
    :ivar answered: the message went no further, and its descriptors don't either.
    """

    __slots__ = ("answered", "data", "fds", "message")

    def __init__(
        self, data: Buffer | None, fds: tuple[int, ...] = (), message: Outgoing | None = None
    ) -> None:
        self.data = data
        self.fds = fds
        self.message = message
        self.answered = False


#: Gets a message that was held back, and what keeps its place.
Judge = Callable[[Piece, Outgoing], None]


class State(enum.Enum):
    """How far a pipe is."""

    READING = "the loop tells when there is something to read"
    PAUSED = "something waits to be written first"
    ENDED = "the source has ended; what waits is written yet"
    CLOSED = "neither is read nor written any more"


# Plain names: an enum's attributes take long to look up.
_READING, _PAUSED, _ENDED, _CLOSED = State


class Pipe:
    """Reads ``source``, writes ``sink``; both are non-blocking and somebody else's.

    :param discard: closes descriptors that go no further, or have gone.
    :param failed: is called once with the reason when this direction is broken; '' means that a socket is.
    :param passed: is called when something has been passed on; unless ``tells`` is set, not for one whole message that
        is passed on at once, which leaves everything as it was.
    :param judge: is given the messages that ``frames`` holds back.
    """

    def __init__(
        self,
        selector: Selector,
        source: socket.socket,
        sink: socket.socket,
        frames: Frames,
        discard: Callable[[Sequence[int]], None],
        failed: Callable[[str], None],
        passed: Callable[[], None] | None = None,
        judge: Judge | None = None,
    ) -> None:
        self._selector = selector
        self._source, self._sink, self.frames = source, sink, frames
        self._discard, self._failed, self._passed, self._judge = discard, failed, passed, judge
        self._out: collections.deque[Outgoing] = collections.deque()
        self._state = _PAUSED
        #: Whether the loop tells when the sink can be written to.
        self._writing = False
        self.tells = False
        #: The preceding message, if it was judged: the descriptors that follow belong to it.
        self._before: Outgoing | None = None
        self._resume()

    @property
    def waiting(self) -> bool:
        """Whether something is still to be written."""
        return bool(self._out)

    @property
    def ended(self) -> bool:
        """Whether the source has ended."""
        return self._state is _ENDED

    @property
    def owes(self) -> bool:
        """Whether something is still to be written, or many of our own messages wait."""
        return self._state is not _CLOSED and (bool(self._out) or self.frames.inserts > _MANY)

    def end(self) -> None:
        """Read no more, as if the source had ended."""
        self._stop_reading(_ENDED)

    def close(self) -> None:
        """Stop; what waits is lost."""
        self._stop_reading(_CLOSED)
        self._stop_writing()
        self._discard([fd for outgoing in self._out for fd in outgoing.fds])
        self._out.clear()
        # Otherwise its content, up to 10 MiB, would stay until Python looks for cycles.
        self.frames = Frames()

    def insert(self, message: bytes) -> None:
        """Write a message of our own between two others."""
        for piece in self.frames.insert(message):
            self._out.append(Outgoing(piece.data))
        self.pump()

    def pump(self) -> None:
        """Write what can be written; then read on, or pass on the end of the stream."""
        while self._out and self._state is not _CLOSED:
            outgoing = self._out[0]
            if outgoing.data is None:
                return
            if outgoing.message is not None and outgoing.message.answered:
                self._discard(outgoing.fds)
            elif not self._write(outgoing):
                return
            self._out.popleft()
            outgoing.data = b""  # it may be kept for the descriptors behind it
        if self._state is _CLOSED:
            return
        self._stop_writing()
        if self._state is _ENDED:
            self._hand_on_end()
        else:
            self._resume()
        if self._passed is not None:
            self._passed()

    def _readable(self) -> bool:
        """Take what there is; tell whether more than one whole message was passed on."""
        try:
            size, ancillary, flags, _ = self._source.recvmsg_into((_BUFFER,), _ANCILLARY)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            size, ancillary, flags = 0, [], 0  # what was read before still counts
        if not flags and not ancillary and size and not self._out:
            data = _BUFFER[:size]
            if self.frames.passes(data, size):
                return self._pass_on(data)
        fds = _descriptors(ancillary) if ancillary else ()
        if flags & _TRUNCATED:
            self._discard(fds)
            self._failed("file descriptors were lost: too many are open")
        elif size == 0:
            self.end()
            if not self._out:
                self.pump()
        else:
            self._take(_BUFFER[:size], fds)
        return True

    def _pass_on(self, data: memoryview) -> bool:
        """Write a whole message while nothing else waits; tell whether that did anything else."""
        self._before = None
        try:
            sent = self._sink.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._failed("")
            return True
        if sent == len(data):
            if self.tells and self._passed is not None:
                self._passed()
            return self.tells or self.frames.awaited
        self._out.append(Outgoing(bytes(data[sent:])))
        self._stop_reading(_PAUSED)
        self.pump()
        return True

    def _take(self, data: memoryview, fds: tuple[int, ...]) -> None:
        pieces = self._pieces(data, fds)
        if self._state is _CLOSED:
            self._discard([fd for piece in pieces for fd in piece.fds])
            return
        self._line_up(pieces)
        self.pump()
        if self._out and self._state is not _CLOSED:
            if self._state is _READING:
                self._stop_reading(_PAUSED)
            self._keep()

    def _line_up(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            if piece.header is not None and self._judge is not None:
                self._before = Outgoing(None)
                self._out.append(self._before)
                self._judge(piece, self._before)
            elif piece.descriptor:
                self._out.append(Outgoing(piece.data, piece.fds, self._before))
            else:
                self._before = None
                self._out.append(Outgoing(piece.data, piece.fds))

    def _pieces(self, data: memoryview, fds: tuple[int, ...]) -> list[Piece]:
        frames = self.frames
        try:
            return frames.feed(data, fds)
        except Malformed as error:
            self._discard(fds)
            self._failed(f"{error} isn't part of libvirt's protocol")
            return []
        finally:
            # libvirt reads messages without looking for descriptors: the kernel would drop them there.
            self._discard(frames.stray)
            frames.stray.clear()

    def _keep(self) -> None:
        """Copy what waits out of the buffer that all connections share."""
        for outgoing in self._out:
            if isinstance(outgoing.data, memoryview):
                outgoing.data = bytes(outgoing.data)

    def _write(self, outgoing: Outgoing) -> bool:
        """Write what is next; False when some of it has to wait."""
        assert outgoing.data is not None
        try:
            if outgoing.fds:
                sent = socket.send_fds(self._sink, [outgoing.data], list(outgoing.fds))
                self._discard(outgoing.fds)
                outgoing.fds = ()
            else:
                sent = self._sink.send(outgoing.data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._failed("")
            return False
        if sent == len(outgoing.data):
            return True
        if sent:
            outgoing.data = memoryview(outgoing.data)[sent:]
        if not self._writing:
            self._writing = True
            self._selector.watch_room(self._sink.fileno(), self.pump)
        return False

    def _hand_on_end(self) -> None:
        try:
            self._sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._failed("")

    def _resume(self) -> None:
        if self._state is _PAUSED:
            self._state = _READING
            self._selector.watch(self._source.fileno(), self._readable)

    def _stop_reading(self, state: State) -> None:
        if self._state is _READING:
            self._selector.forget(self._source.fileno())
        self._state = state

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._selector.forget_room(self._sink.fileno())


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    found: list[int] = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = len(content) - len(content) % 4
            found += memoryview(content[:whole]).cast("i").tolist()
    return tuple(found)
