# SPDX-License-Identifier: Apache-2.0
"""A hundred thousand streams of right, broken and mad messages."""

from __future__ import annotations

import random

from mthook.gate import calls, framing, xdr
from mthook.gate.framing import Frames, Header
from mthook.gate.xdr import Malformed

from .messages import define, message, migrate, parameter, with_files

CASES = 100_000
_XML = (b"", b"<domain/>", b"<domain><uuid>x</uuid></domain>")


def _right(chance: random.Random) -> bytes:
    xml = chance.choice(_XML)
    return chance.choice(
        (
            lambda: define(xml, serial=chance.randrange(2**32)),
            lambda: with_files(xml, 0),
            lambda: migrate(parameter(b"persistent_xml", 7, b"\0\0\0\4<a/>")),
            lambda: message(chance.randrange(500), chance.randbytes(chance.randrange(30))),
            lambda: message(1, bytes(4), kind=chance.randrange(6)),
        )
    )()


def _stream(chance: random.Random) -> bytes:
    data = bytearray(b"".join(_right(chance) for _ in range(chance.randrange(1, 4))))
    for _ in range(chance.choice((0, 0, 1, 3))):
        data[chance.randrange(len(data))] = chance.choice((0, 1, 255, chance.randrange(256)))
    if chance.random() < 0.2:
        del data[chance.randrange(len(data)) :]
    if chance.random() < 0.1:
        data += chance.randbytes(chance.randrange(40))
    return bytes(data)


def _slow_reader(data: bytes) -> tuple[list[Header], int]:
    """Read messages the obvious way; return headers and where the first wrong one begins, or the end."""
    headers, offset = [], 0
    while len(data) - offset >= framing.HEADER_SIZE:
        found = Header(
            *(
                int.from_bytes(data[offset + n : offset + n + 4], "big", signed=n in (12, 16, 24))
                for n in range(0, 28, 4)
            )
        )
        if not framing.HEADER_SIZE <= found.length <= framing.MAX_LENGTH:
            break
        extra = 0
        if found.kind in (framing.CALL_WITH_FDS, framing.REPLY_WITH_FDS):
            raw = data[offset + 28 : offset + 32]
            extra = int.from_bytes(raw, "big")
            if found.length < 32 or len(raw) < 4 or extra > framing.MAX_FDS:
                break
        headers.append(found)
        offset += found.length + extra
    return headers, offset


def test_nothing_crashes_and_only_what_is_wrong_is_cut() -> None:
    """Against a reader that is slow and simple: the same messages, every byte, and no byte behind a wrong header."""
    chance = random.Random(20261122)
    wrong = held = 0
    for _ in range(CASES):
        data = _stream(chance)
        headers, end = _slow_reader(data)
        seen: list[Header] = []
        frames, out, failed = Frames(calls.wanted, seen.append), b"", False
        place = 0
        try:
            while place < len(data):
                step = chance.choice((1, 7, 28, 33, 100, 1000))
                for piece in frames.feed(data[place : place + step]):
                    out += piece.data
                    if piece.header is not None:
                        held += 1
                        _read(piece.header, bytes(piece.data))
                place += step
        except Malformed:
            failed = True
            wrong += 1
        assert seen == headers
        assert data.startswith(out)
        assert len(out) <= end
        if not failed:
            assert out + bytes(frames._held or b"") + frames._head == data
    assert wrong > CASES / 20
    assert held > CASES / 5


def _read(header: Header, data: bytes) -> None:
    """A message that is understood keeps all that is around its domain; one that isn't raises Malformed."""
    try:
        found = calls.read(header, data)
    except Malformed:
        return
    if found is not None:
        replaced = calls.replace(header, data, found, found.xml)
        before, string = data[4 : found.begin], xdr.string(found.xml)
        assert replaced[4:] == before + string + data[found.end :]
        assert data[found.begin + 4 :].startswith(found.xml)
