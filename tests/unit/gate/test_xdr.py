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
    assert reader.offset == len(data)
    assert len(data) % 4 == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0\0\0", "too few bytes"),
        (b"\0\0\0\5abcd", "too few bytes"),
        (b"\0\0\0\1a\0\0", "too few bytes"),
        (b"\0\0\0\x09" + bytes(12), "9 bytes, and at most 8 are allowed"),
    ],
)
def test_what_is_no_string_is_malformed(data: bytes, message: str) -> None:
    """libvirtd can't read it either."""
    reader = Reader(data)

    with pytest.raises(Malformed, match=message):
        reader.string(limit=8)


def test_what_libvirtd_takes_is_taken() -> None:
    """Padding of any kind, a string that ends at a NUL, a truth value that is neither 0 nor 1."""
    assert [Reader(xdr.uint(value)).boolean() for value in (0, 1, 2)] == [False, True, True]
    reader = Reader(b"\0\0\0\1axyz" + b"\0\0\0\3a\0b\xff" + b"more")
    assert (reader.string(), reader.string(), reader.offset) == (b"a", b"a", 16)
