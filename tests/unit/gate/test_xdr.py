# SPDX-License-Identifier: Apache-2.0
"""The little of XDR that is needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mthook.gate import xdr
from mthook.gate.xdr import Malformed, Reader

TEXT = st.binary(max_size=50).map(lambda data: data.replace(b"\0", b"x"))


@given(TEXT, st.none() | TEXT, st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1))
def test_what_is_written_is_read(text: bytes, maybe: bytes | None, big: int, small: int) -> None:
    """Each value comes back, and takes a multiple of four bytes."""
    data = xdr.string(text) + xdr.optional_string(maybe) + xdr.uint(big) + xdr.integer(small)
    reader = Reader(data)

    assert (reader.string(), reader.optional_string()) == (text, maybe)
    assert (reader.uint(), reader.integer()) == (big, small)
    reader.end()
    assert len(data) % 4 == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0\0\0", "too few bytes"),
        (b"\0\0\0\5abcd", "too few bytes"),
        (b"\0\0\0\1a\0\0", "too few bytes"),
        (b"\0\0\0\1a\0\0x", "padding that isn't zero"),
        (b"\0\0\0\2a\0\0\0", "a string with a NUL byte"),
        (b"\0\0\0\x09" + bytes(12), "9 bytes where there may be 8"),
        (b"\0\0\0\0more", "4 bytes too many"),
    ],
)
def test_what_isnt_exactly_a_string_is_malformed(data: bytes, message: str) -> None:
    """Never read as something near it."""
    reader = Reader(data)

    with pytest.raises(Malformed, match=message):
        reader.string(limit=8)
        reader.end()


def test_a_truth_value_is_0_or_1() -> None:
    """Others might mean something some day."""
    assert [Reader(xdr.uint(value)).boolean() for value in (0, 1)] == [False, True]
    with pytest.raises(Malformed, match="2 for a truth value"):
        Reader(xdr.uint(2)).boolean()
