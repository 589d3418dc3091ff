# SPDX-License-Identifier: Apache-2.0
"""The same bytes for the gate's readers and for a real libvirtd: what that takes the gate understands, as it does."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from typing import Optional

import libvirt
import pytest

from mthook.errors import Error
from mthook.gate import calls, framing, xdr
from mthook.gate.framing import Frames, Header
from mthook.gate.xdr import Malformed
from mthook.xmlrewrite import pipeline, summary
from tests.gate.libvirt.rawclient import OPEN, RawClient, said, status
from tests.gate.node import DIRECT, GATE, Node
from tests.lab import OLD_PC, PC, VIRT_TYPE, guest_xml
from tests.lab.site import UUID
from tests.unit.gate.messages import DEFINE, define, message, with_files

OLD, NEW = OLD_PC, PC
UNDECODED = "Unable to decode message payload"
XML = guest_xml("web-1", UUID, NEW).encode()
#: How many messages, and domains, of chance are tried.
MESSAGES, DOMAINS = 600, 300


@pytest.fixture
def gate(here: Node) -> Iterator[Node]:
    """A guest pinned to OLD behind a gate that lets nothing through that it doesn't understand."""
    here.set_pin(OLD)
    here.configure("[hook]\non_error = deny\n[gate]\ngroup = root\n")
    yield here


def padded(xml: bytes) -> bytes:
    """A string with other padding than zeros."""
    xml += b" " * (1 - len(xml) % 4)
    return xdr.uint(len(xml)) + xml + b"x" * (-len(xml) % 4)


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "as ever": define,
    "padding": lambda xml: message(DEFINE, padded(xml)),
    "bytes behind": lambda xml: message(DEFINE, xdr.string(xml) + b"behind"),
    "NUL": lambda xml: message(DEFINE, xdr.string(xml + b"\0<domain>")),
    "more than 5 MiB": lambda xml: message(DEFINE, xdr.string(xml) + bytes(6 << 20)),
    "all that there can be": lambda xml: message(
        DEFINE, xdr.string(xml).ljust(framing.MAX_LENGTH - framing.HEADER_SIZE, b"x")
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_libvirtd_takes_is_judged(gate: Node, way: str) -> None:
    """Directly libvirtd makes what the client says of it, through the gate what the pin says."""
    data = WAYS[way](XML)
    for path, machine in ((DIRECT, NEW), (GATE, OLD)):
        with RawClient(gate.node.path(path)) as client:
            assert status(client.call(data)) == framing.OK
        assert gate.node.machine("web-1", "--inactive") == machine


def test_a_definition_in_one_go_with_the_opening_is_judged(gate: Node) -> None:
    """libvirtd works on several calls of one client at once, and takes it."""
    for _ in range(10):
        with RawClient(gate.node.path(GATE), opens=False) as client:
            answers = [client.call(OPEN + define(XML)), client.call(b"")]
            assert [status(one) for one in answers] == [framing.OK] * 2
        assert gate.node.machine("web-1", "--inactive") == OLD


def test_a_definition_before_the_opening_is_answered_as_libvirtd_answers_it(gate: Node) -> None:
    """To the byte, but for the number that newer libvirts give to what is put into the message."""
    numbered, plain = (xdr.string(b"internal error: " + end) for end in (b"%1$s", b"%s"))
    answers = []
    for path in (DIRECT, GATE):
        with RawClient(gate.node.path(path), opens=False) as client:
            answers.append(client.call(define(XML)).replace(numbered, plain))
    assert answers[0] == answers[1]


def test_what_libvirtd_cant_read_is_refused(gate: Node) -> None:
    """By the gate, for so says on_error."""
    with RawClient(gate.node.path(GATE)) as client:
        answer = client.call(message(DEFINE, xdr.uint(100) + XML[:50]))
    assert said(answer).startswith("mthook: refused ([hook] on_error = deny): call 11 of client ")


def _mutated(chance: random.Random) -> bytes:
    """A call that defines a domain, or nearly."""
    xml = chance.choice((XML, b"<domain/>", b"", XML + b" " * chance.randrange(4)))
    data = bytearray(
        chance.choice((define(xml), message(DEFINE, xdr.string(xml)), with_files(xml, 0)))
    )
    data += chance.choice((b"", b"", b"\0", chance.randbytes(chance.randrange(9))))
    for _ in range(chance.choice((0, 1, 1, 2))):
        at = chance.choice((chance.randrange(12, 20), 28 + chance.randrange(8), len(data) - 1))
        at = chance.choice((at, chance.randrange(24, len(data))))
        data[min(at, len(data) - 1)] = chance.choice((0, 1, 255, chance.randrange(256)))
    if chance.random() < 0.15:
        del data[chance.randrange(28, len(data)) :]
    data[:4] = struct.pack(">I", len(data))
    return bytes(data)


def _understood(data: bytes) -> Optional[bytes]:
    """The domain that the gate finds in a message, None where it finds that there is none.

    :raises Malformed: the gate doesn't understand it.
    """
    found: list[Header] = []
    Frames(None, found.append).feed(data)
    if not found or not calls.wanted(found[0]):
        return None
    carried = calls.read(found[0], data)
    return carried.xml if carried is not None else None


def test_messages_of_chance_mean_to_libvirtd_what_they_mean_to_the_gate(here: Node) -> None:
    """What it takes the gate has found a domain in, and what the gate can't read it can't either."""
    chance = random.Random(20261129)
    taken = undecoded = 0
    connection = libvirt.open(here.outside(DIRECT))
    with RawClient(here.node.path(DIRECT)) as client:
        for number in range(MESSAGES):
            data = _mutated(chance)
            if _leaves_unanswered(data):
                continue
            try:
                xml, why = _understood(data), None
            except Malformed as error:
                xml, why = None, error
            reply = client.answer(data)
            text = said(reply) if reply is not None and status(reply) != framing.OK else ""
            if reply is not None and status(reply) == framing.OK and _defines(data):
                taken += 1
                assert xml is not None, (number, why, data[:60])
                assert summary.read(xml).uuid == UUID
            if why is not None:
                undecoded += 1
                assert reply is None or text == UNDECODED, (number, why, text, data[:60])
            elif _defines(data):
                assert text != UNDECODED, (number, data[:60])
    connection.close()
    assert taken > MESSAGES / 10
    assert undecoded > MESSAGES / 20


def _defines(data: bytes) -> bool:
    program, _, procedure = struct.unpack(">III", data[4:16])
    return program == calls.PROGRAM and procedure in (10, 11, 309, 350)


def _leaves_unanswered(data: bytes) -> bool:
    """Messages that are no calls, or that come with descriptors, which libvirtd waits for."""
    kind = int.from_bytes(data[16:20], "big")
    number = int.from_bytes(data[28:32], "big")
    return kind not in (framing.CALL, framing.CALL_WITH_FDS) or (
        kind == framing.CALL_WITH_FDS and 0 < number <= framing.MAX_FDS
    )


#: What may stand in a domain, at its beginning or in place of its type; each means something to one reader or another.
_PIECES = (
    b"<uuid>%s</uuid>" % UUID.encode(),
    b"<uuid>3f2c1d3e-0000-4000-8000-00000000000f</uuid>",
    b"<uuid> {3F2C1D3E00004000800000000000000F} </uuid>",
    b"<os><type arch='x86_64' machine='%s'>hvm</type></os>" % OLD.encode(),
    b"<os><type machine='pc'>hvm</type></os>",
    b"<x:os xmlns:x='urn:x'><type machine='q35'>hvm</type></x:os>",
    b"<metadata><x:os xmlns:x='urn:x'><type machine='q35'/></x:os></metadata>",
    b"<!-- <uuid>x</uuid> -->",
    b"<![CDATA[<uuid>]]>",
    b"<?pi <uuid/>?>",
    b"<uuid/>",
    b"<type machine='isapc'>hvm</type>",
    b"<description>&lt;uuid&gt;&#x41;</description>",
    b"<name>other</name>",
    b"<os xmlns='urn:y'><type machine='q35'>hvm</type></os>",
)
_WHOLE: tuple[Callable[[bytes], bytes], ...] = (
    lambda xml: xml,
    lambda xml: b"<?xml version='1.0' encoding='utf-8'?>" + xml,
    lambda xml: b"<?xml version='1.0' encoding='iso-8859-1'?>" + xml,
    lambda xml: b"\xef\xbb\xbf" + xml.lstrip(),
    lambda xml: xml.decode().encode("utf-16"),
    lambda xml: b"<!DOCTYPE domain [<!ENTITY m '%s'>]>" % OLD.encode() + xml,
    lambda xml: xml.replace(NEW.encode(), NEW.replace(".", "&#x2e;").encode()),
    lambda xml: xml.replace(b"machine='", b"machine='' x='"),
    lambda xml: xml.replace(b"<domain ", b"<domain xmlns='urn:z' "),
    lambda xml: xml.replace(b"<uuid>", b"<uuid><!-- -->").replace(b"</uuid>", b"\n</uuid>"),
)


def _domain(chance: random.Random) -> bytes:
    """A domain that somebody may read in another way."""
    xml = XML
    for _ in range(chance.choice((0, 1, 1, 2))):
        place = chance.choice((b"<memory", b"<os>", b"<devices>", b"</domain>"))
        at = xml.find(place)
        xml = xml[:at] + chance.choice(_PIECES) + xml[at:]
    if chance.random() < 0.6:
        xml = chance.choice(_WHOLE)(xml)
    if chance.random() < 0.3:
        at = chance.randrange(len(xml))
        xml = xml[:at] + bytes([chance.choice(b"<>&'\"/ x\0\xff")]) + xml[at + 1 :]
    return xml


def test_domains_of_chance_mean_to_libvirtd_what_they_mean_to_mthook(here: Node) -> None:
    """To both of its readers: whose guest it is and what it asks for; and rewritten it is that guest with its pin."""
    chance = random.Random(20261130)
    taken = refused = 0
    client = RawClient(here.node.path(DIRECT))
    connection = libvirt.open(here.outside(DIRECT))
    for number in range(DOMAINS):
        xml = _domain(chance)
        _remove_all(connection)
        reply = client.answer(message(DEFINE, xdr.string(xml)))  # which isn't validated
        made = connection.listAllDomains()
        try:
            guest = summary.read(xml.partition(b"\0")[0])
        except Error:
            refused += 1  # [hook] on_error decides
            continue
        if reply is None or status(reply) != framing.OK or not made:
            continue
        taken += 1
        if guest.uuid is not None:
            assert guest.uuid == made[0].UUIDString(), (number, xml)
        wanted = _canonical(connection, guest.machine)
        assert wanted == _machine_of(made[0]), (number, xml)
        _check_rewritten(connection, client, xml.partition(b"\0")[0], guest, number)
    client.sock.close()
    connection.close()
    assert taken > DOMAINS / 5
    assert refused > DOMAINS / 10


def _check_rewritten(
    connection: libvirt.virConnect,
    client: RawClient,
    xml: bytes,
    guest: summary.Summary,
    number: int,
) -> None:
    try:
        target = pipeline.Target(OLD, guest.uuid or "", None, ports=0)
        rewritten = pipeline.rewrite(xml, target).xml
    except Error:
        return  # [gate] on_unconvertible decides
    _remove_all(connection)
    reply = client.answer(message(DEFINE, xdr.string(rewritten)))
    assert reply is not None and status(reply) == framing.OK, (number, xml, said(reply or b""))
    (made,) = connection.listAllDomains()
    assert guest.uuid in (None, made.UUIDString()), (number, xml)
    assert _machine_of(made) == OLD, (number, xml)


def _canonical(connection: libvirt.virConnect, machine: Optional[str]) -> str:
    """What libvirt makes of an alias, or of none."""
    told = connection.getDomainCapabilities(None, "x86_64", machine, VIRT_TYPE)
    return told.partition("<machine>")[2].partition("</machine>")[0]


def _machine_of(made: libvirt.virDomain) -> str:
    found = summary.read(made.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE).encode()).machine
    assert found is not None
    return found


def _remove_all(connection: libvirt.virConnect) -> None:
    for made in connection.listAllDomains():
        made.undefine()
