# SPDX-License-Identifier: Apache-2.0
"""The calls whose arguments define or create a domain (libvirt ``src/remote/remote_protocol.x``).

Nothing else is looked at. The XML of a live migration or a saved guest describes a guest whose machine type nobody can
change any more; what counts is the *persistent* definition that a migration may bring along. It goes with the "perform"
call to the source, which hands it on to the destination.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mthook.gate import framing, xdr
from mthook.gate.framing import Header

PROGRAM = 0x20008086
VERSION = 1

CONNECT_OPEN = 1

_UUID = 16
_MAX_PARAMETERS = 64
_MAX_COOKIE = xdr.MAX_STRING
_PERSISTENT_XML = b"persistent_xml"
_STRING = 7
#: Bytes of a typed parameter's value by its type: int, unsigned, long long, unsigned long long, double, boolean.
_SIZES = {1: 4, 2: 4, 3: 8, 4: 8, 5: 8, 6: 4}


class Carried(NamedTuple):
    """A domain's XML in a message.

    :ivar call: libvirt's name for what the client does.
    :ivar begin: where its string begins in the message, length included; likewise ``end``, padding included.
    """

    call: str
    xml: bytes
    begin: int
    end: int


class _Call(NamedTuple):
    name: str
    read: Callable[[xdr.Reader], tuple[int, bytes, int] | None]


def wanted(header: Header) -> bool:
    """Tell whether a message may carry a domain that is to be judged, however long it is.

    libvirtd answers a call of another version or status with an error (``virNetServerProgramDispatch``).
    """
    return (
        header.procedure in _CALLS
        and header.program == PROGRAM
        and header.version == VERSION
        and header.kind in (framing.CALL, framing.CALL_WITH_FDS)
        and header.status == framing.OK
    )


def is_open(header: Header) -> bool:
    """Tell whether a message belongs to the call that opens a connection, the last step in that."""
    return header.procedure == CONNECT_OPEN and header.program == PROGRAM


def read(header: Header, message: bytes) -> Carried | None:
    """Find the domain in a complete message; None where it carries none.

    Whatever follows the arguments stays where it is, unread.

    :raises Malformed: the arguments don't fit what is known of this call.
    """
    call = _CALLS[header.procedure]
    skipped = framing.HEADER_SIZE + (4 if header.kind == framing.CALL_WITH_FDS else 0)
    reader = xdr.Reader(message, skipped)
    found = call.read(reader)
    if found is None:
        return None
    begin, xml, end = found
    return Carried(call.name, xml, begin, end)


def replace(header: Header, message: bytes, carried: Carried, xml: bytes) -> bytes:
    """Return the message with another domain in it; apart from its length, all else stays the same.

    :raises Malformed: the domain is longer than libvirt allows a string to be.
    """
    if len(xml) > xdr.MAX_STRING:
        raise xdr.Malformed(f"the rewritten domain is longer than {xdr.MAX_STRING} bytes")
    body = message[framing.HEADER_SIZE : carried.begin] + xdr.string(xml) + message[carried.end :]
    # Only what follows the arguments can make it too long for a message.
    body = body[: framing.MAX_LENGTH - framing.HEADER_SIZE]
    return header._replace(length=framing.HEADER_SIZE + len(body)).pack() + body


def _xml(reader: xdr.Reader) -> tuple[int, bytes, int]:
    begin = reader.offset
    xml = reader.string()
    return begin, xml, reader.offset


def _xml_and_flags(reader: xdr.Reader) -> tuple[int, bytes, int]:
    found = _xml(reader)
    reader.uint()
    return found


def _migration(reader: xdr.Reader) -> tuple[int, bytes, int] | None:
    """Read ``remote_domain_migrate_perform3_params_args``."""
    reader.string()
    reader.fixed(_UUID)
    reader.integer()
    reader.optional_string()
    found = None
    count = reader.uint()
    if count > _MAX_PARAMETERS:
        raise xdr.Malformed(f"{count} parameters")
    for _ in range(count):
        name = reader.string()
        kind = reader.uint()
        if kind != _STRING:
            if kind not in _SIZES:
                raise xdr.Malformed(f"a parameter of type {kind}")
            reader.fixed(_SIZES[kind])
        elif name != _PERSISTENT_XML:
            reader.string()
        elif found is not None:
            raise xdr.Malformed("two persistent definitions")
        else:
            found = _xml(reader)
    reader.opaque(_MAX_COOKIE)
    reader.uint()
    return found


_CALLS = {
    10: _Call("virDomainCreateXML", _xml_and_flags),
    11: _Call("virDomainDefineXML", _xml),
    350: _Call("virDomainDefineXMLFlags", _xml_and_flags),
    309: _Call("virDomainCreateXMLWithFiles", _xml_and_flags),
    305: _Call("virDomainMigrate3", _migration),
}
