# SPDX-License-Identifier: Apache-2.0
"""The small part of XDR (RFC 4506) that libvirt's calls with domain XML need.

As lenient as the library that libvirtd reads with (libtirpc ``xdr.c``): whatever that accepts is understood here, too.
"""

from __future__ import annotations

import struct

from mthook.errors import Error

_UINT = struct.Struct(">I")
_INT = struct.Struct(">i")

#: The longest string in libvirt's protocol, in bytes (``VIR_NET_MESSAGE_STRING_MAX``).
MAX_STRING = 4 * 1024 * 1024


class Malformed(Error):
    """Bytes that aren't what the protocol says they are."""


class Reader:
    """Reads values one after the other.

    :ivar offset: where the next value begins.
    """

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data = data
        self.offset = offset

    def uint(self) -> int:
        """Read an unsigned integer of 32 bits."""
        (value,) = _UINT.unpack(self._take(4))
        return int(value)

    def integer(self) -> int:
        """Read a signed integer of 32 bits."""
        (value,) = _INT.unpack(self._take(4))
        return int(value)

    def boolean(self) -> bool:
        """Read a truth value, or whether an optional value follows."""
        return self.uint() != 0

    def fixed(self, size: int) -> bytes:
        """Read a known number of opaque bytes, then skip their padding to a multiple of four."""
        value = self._take(size)
        self._take(-size % 4)
        return value

    def opaque(self, limit: int) -> bytes:
        """Read opaque bytes preceded by their number.

        :param limit: how many bytes there may be.
        """
        size = self.uint()
        if size > limit:
            raise Malformed(f"{size} bytes, and at most {limit} are allowed")
        return self.fixed(size)

    def string(self, limit: int = MAX_STRING) -> bytes:
        """Read a string; to libvirt it ends at the first NUL."""
        return self.opaque(limit).partition(b"\0")[0]

    def optional_string(self, limit: int = MAX_STRING) -> bytes | None:
        """Read a string that may be absent."""
        return self.string(limit) if self.boolean() else None

    def _take(self, size: int) -> bytes:
        end = self.offset + size
        if end > len(self.data):
            raise Malformed("too few bytes")
        value = bytes(self.data[self.offset : end])
        self.offset = end
        return value


def uint(value: int) -> bytes:
    """Write an unsigned integer of 32 bits."""
    return _UINT.pack(value)


def integer(value: int) -> bytes:
    """Write a signed integer of 32 bits."""
    return _INT.pack(value)


def string(value: bytes) -> bytes:
    """Write a string or opaque bytes, preceded by their number."""
    return _UINT.pack(len(value)) + value + bytes(-len(value) % 4)


def optional_string(value: bytes | None) -> bytes:
    """Write a string that may be absent."""
    return uint(0) if value is None else uint(1) + string(value)
