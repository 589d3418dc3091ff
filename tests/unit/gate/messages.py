# SPDX-License-Identifier: Apache-2.0
"""Messages of libvirt's protocol, made for tests."""

from __future__ import annotations

from mthook.gate import calls, framing, xdr
from mthook.gate.framing import Header

DEFINE, DEFINE_FLAGS, CREATE, CREATE_FILES, PERFORM = 11, 350, 10, 309, 305


def message(
    procedure: int,
    payload: bytes = b"",
    *,
    kind: int = framing.CALL,
    serial: int = 1,
    status: int = framing.OK,
    program: int = calls.PROGRAM,
    version: int = calls.VERSION,
) -> bytes:
    """A whole message."""
    length = framing.HEADER_SIZE + len(payload)
    return Header(length, program, version, procedure, kind, serial, status).pack() + payload


def define(xml: bytes, **more: int) -> bytes:
    """A call of virDomainDefineXMLFlags."""
    return message(DEFINE_FLAGS, xdr.string(xml) + xdr.uint(1), **more)


def with_files(xml: bytes, files: int) -> bytes:
    """A call of virDomainCreateXMLWithFiles, without the bytes that follow it."""
    payload = xdr.uint(files) + xdr.string(xml) + xdr.uint(0)
    return message(CREATE_FILES, payload, kind=framing.CALL_WITH_FDS)


def parameter(name: bytes, kind: int, value: bytes) -> bytes:
    """A typed parameter."""
    return xdr.string(name) + xdr.uint(kind) + value


def migrate(*parameters: bytes) -> bytes:
    """The call that performs a migration."""
    return message(
        PERFORM,
        xdr.string(b"web-1")
        + bytes(16)
        + xdr.integer(-1)
        + xdr.optional_string(b"qemu+tcp://beta/system")
        + xdr.uint(len(parameters))
        + b"".join(parameters)
        + xdr.string(b"cookie")
        + xdr.uint(0),
    )
