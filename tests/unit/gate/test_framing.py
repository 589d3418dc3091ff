# SPDX-License-Identifier: Apache-2.0
"""Messages in a stream, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mthook.gate import calls, framing, xdr
from mthook.gate.framing import Frames, Header, Piece
from mthook.gate.xdr import Malformed

from .messages import define, message, with_files

PLAIN = message(157)
REPLY_FDS = message(343, xdr.uint(2) + b"rest", kind=framing.REPLY_WITH_FDS, serial=7)


def joined(pieces: list[Piece]) -> bytes:
    """All bytes that come out."""
    return b"".join(bytes(piece.data) for piece in pieces)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in several reads."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:]) if a < b]


MESSAGES = st.lists(
    st.builds(
        message,
        st.sampled_from([1, 157, 11, 350, 4000]),
        st.binary(max_size=40),
        kind=st.sampled_from([0, 1, 2, 3, 9]),
        serial=st.integers(0, 2**32 - 1),
        status=st.sampled_from([0, 1, 2, 5]),
        program=st.sampled_from([calls.PROGRAM, 0x6B656570, 1]),
    ),
    max_size=6,
)


@given(MESSAGES, st.lists(st.integers(0, 500), max_size=8))
def test_all_bytes_come_out_in_order_however_they_come_in(
    messages: list[bytes], places: list[int]
) -> None:
    """Messages that are wanted come whole, and alone."""
    data = b"".join(messages)
    seen: list[Header] = []
    frames = Frames(calls.wanted, seen.append)

    pieces = [piece for part in cut(data, places) for piece in frames.feed(part)]

    assert joined(pieces) == data
    assert [header.pack() + data_ for header, data_ in _whole(pieces)] == [
        one for one in messages if calls.wanted(_header(one))
    ]
    assert len(seen) == frames.count == len(messages)
    assert not frames.incomplete


def _whole(pieces: list[Piece]) -> list[tuple[Header, bytes]]:
    return [
        (piece.header, bytes(piece.data)[framing.HEADER_SIZE :])
        for piece in pieces
        if piece.header is not None
    ]


def _header(data: bytes) -> Header:
    found: list[Header] = []
    Frames(None, found.append).feed(data)
    return found[0]


@given(st.lists(st.integers(0, 500), max_size=8))
def test_descriptors_stay_with_the_bytes_behind_their_message(places: list[int]) -> None:
    """A read ends at the latest with the first byte that carries one."""
    frames = Frames(calls.wanted)
    before = cut(PLAIN + with_files(b"<domain/>", 2), places)
    reads = [(part, ()) for part in before[:-1]]
    reads += [(before[-1] + b"\0", (5,)), (b"\0", (6,)), (PLAIN, ())]

    pieces = [piece for data, fds in reads for piece in frames.feed(data, fds)]

    assert [piece.fds for piece in pieces if piece.descriptor] == [(5,), (6,)]
    assert joined(pieces) == PLAIN + with_files(b"<domain/>", 2) + b"\0\0" + PLAIN
    assert frames.stray == []


def test_descriptors_anywhere_else_are_astray() -> None:
    """libvirt doesn't look for any there."""
    frames = Frames()

    pieces = (
        frames.feed(PLAIN, (5,)) + frames.feed(REPLY_FDS + b"\0", ()) + frames.feed(b"\0", (8,))
    )

    assert frames.stray == [5]
    assert [piece.fds for piece in pieces if piece.descriptor] == [(), (8,)]


def test_a_message_of_our_own_goes_between_two_others() -> None:
    """Never into one, nor between one and its descriptors."""
    ours = message(350, b"ours", kind=framing.REPLY)
    frames = Frames()
    assert joined(frames.insert(ours)) == ours

    out = joined(frames.feed(REPLY_FDS[:30]))  # cut in its number of descriptors
    out += joined(frames.insert(ours))
    assert out == ours
    out += joined(frames.feed(REPLY_FDS[30:33]))
    assert frames.insert(ours) == []
    out += joined(frames.feed(REPLY_FDS[33:] + b"\0"))
    out += joined(frames.feed(b"\0" + PLAIN[:9]))

    assert out == ours + REPLY_FDS + b"\0\0" + ours
    assert joined(frames.feed(PLAIN[9:])) == PLAIN


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\0\0\0\0", "a message of 0 bytes"),
        (b"\0\0\0\x1b", "a message of 27 bytes"),
        (b"GET / HTTP/1.1", "a message of 1195725856 bytes"),
        ((framing.MAX_LENGTH + 1).to_bytes(4, "big"), "a message of 33554437 bytes"),
        (
            message(1, kind=framing.CALL_WITH_FDS),
            "a message with descriptors that doesn't say how many",
        ),
        (
            message(1, xdr.uint(254), kind=framing.REPLY_WITH_FDS),
            "a message with 254 descriptors",
        ),
    ],
)
@pytest.mark.parametrize("step", [1, 100])
def test_what_is_no_message_is_malformed_as_soon_as_that_shows(
    data: bytes, why: str, step: int
) -> None:
    """Whether it comes at once or byte by byte."""
    frames = Frames()

    with pytest.raises(Malformed, match=why):
        for place in range(0, len(data), step):
            frames.feed(data[place : place + step])


def test_the_longest_message_is_let_pass_without_being_kept() -> None:
    """A stream of them takes no memory."""
    frames = Frames(calls.wanted)
    head = Header(framing.MAX_LENGTH, calls.PROGRAM, 1, 209, framing.STREAM, 3, framing.CONTINUE)

    assert joined(frames.feed(head.pack())) == head.pack()
    assert len(joined(frames.feed(bytes(100000)))) == 100000
    assert frames.incomplete
    assert _kept(frames) == b""


def test_what_is_kept_is_told() -> None:
    """The beginning of a header, and of a message that is wanted."""
    frames = Frames(calls.wanted)

    assert frames.feed(PLAIN[:5]) == []
    assert _kept(frames) == PLAIN[:5]
    frames.feed(PLAIN[5:])
    data = define(b"<domain/>")
    assert frames.feed(data[:40]) == []
    assert (_kept(frames), frames.incomplete) == (data[:40], True)


def _kept(frames: Frames) -> bytes:
    """What was fed and hasn't come out yet."""
    return bytes(frames._held or b"") + frames._head


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN + PLAIN,
        PLAIN[:27],
        message(157, b"x" * 100)[:99],
        with_files(b"<domain/>", 0),
        define(b"<domain/>"),
    ],
)
def test_the_short_way_is_for_one_whole_message_that_goes_on_as_it_is(data: bytes) -> None:
    """Which is noted as by the long way; anything else leaves everything as it was."""
    seen: list[Header] = []
    frames = Frames(calls.wanted, seen.append)
    takes = data == PLAIN

    assert frames.passes(data, len(data)) is takes
    assert (len(seen), frames.count) == (takes, takes)
    frames.feed(data)
    is_between = not frames.incomplete
    assert frames.passes(PLAIN, len(PLAIN)) is is_between
