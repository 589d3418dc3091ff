# SPDX-License-Identifier: Apache-2.0
"""Which calls carry a domain, and where."""

from __future__ import annotations

import pytest

from mthook.gate import calls, framing, xdr
from mthook.gate.framing import Header
from mthook.gate.xdr import Malformed

from .messages import CREATE, DEFINE, define, message, migrate, parameter, with_files

XML = b"<domain type='kvm'>...</domain>"
NEW = b"<domain type='kvm'>something longer</domain>"


def header(data: bytes) -> Header:
    """A message's header."""
    found: list[Header] = []
    framing.Frames(None, found.append).feed(data[: framing.HEADER_SIZE + 4])
    return found[0]


@pytest.mark.parametrize(
    ("data", "call"),
    [
        (message(DEFINE, xdr.string(XML)), "virDomainDefineXML"),
        (define(XML), "virDomainDefineXMLFlags"),
        (message(CREATE, xdr.string(XML) + xdr.uint(2)), "virDomainCreateXML"),
        (with_files(XML, 3), "virDomainCreateXMLWithFiles"),
        (
            migrate(
                parameter(b"bandwidth", 4, bytes(8)),
                parameter(b"destination_xml", 7, xdr.string(b"<live/>")),
                parameter(b"persistent_xml", 7, xdr.string(XML)),
                parameter(b"compress", 6, xdr.uint(1)),
            ),
            "virDomainMigrate3",
        ),
    ],
)
def test_the_domain_is_found_and_replaced_and_nothing_else_changes(data: bytes, call: str) -> None:
    """Length, string and padding are new; every other byte is where and what it was."""
    found = calls.read(header(data), data)
    assert calls.wanted(header(data))
    assert found is not None
    assert (found.call, found.xml) == (call, XML)

    replaced = calls.replace(header(data), data, found, NEW)

    old, new = xdr.string(XML), xdr.string(NEW)
    assert replaced[4:] == data[4:].replace(old, new)
    assert header(replaced) == header(data)._replace(length=len(replaced))


@pytest.mark.parametrize(
    "data",
    [
        define(XML, program=0x20008087),
        define(XML, version=2),
        define(XML, kind=framing.REPLY),
        define(XML, kind=framing.STREAM),
        define(XML, status=framing.ERROR),
        message(12, xdr.string(XML)),
        message(9999, xdr.string(XML)),
    ],
)
def test_every_other_message_is_left_alone(data: bytes) -> None:
    """Another program, version, type, status or procedure."""
    assert not calls.wanted(header(data))


def test_a_message_of_any_length_may_carry_a_domain() -> None:
    """libvirtd reads the arguments, and takes no notice of what is behind them."""
    assert calls.wanted(header(define(XML))._replace(length=framing.MAX_LENGTH))


@pytest.mark.parametrize(
    ("data", "old"),
    [
        (define(XML)[:-4] + b"\0\0\0\1" + b"behind" * 100, xdr.string(XML)),
        (message(DEFINE, b"\0\0\0\x1d" + XML[:29] + b"xyz"), b"\0\0\0\x1d" + XML[:29] + b"xyz"),
        (message(DEFINE, xdr.string(XML[:29] + b"\0more")), xdr.string(XML[:29] + b"\0more")),
        (
            migrate(parameter(b"persistent_xml\0", 7, xdr.string(XML))).replace(
                b"\0\0\0\1\0\0\0\x16", b"\0\0\0\x09\0\0\0\x16"
            ),
            xdr.string(XML),
        ),
    ],
    ids=["bytes behind", "padding", "NUL", "parameter's name, truth value"],
)
def test_what_libvirtd_takes_is_understood(data: bytes, old: bytes) -> None:
    """And what is around the domain stays."""
    data = len(data).to_bytes(4, "big") + data[4:]
    found = calls.read(header(data), data)

    assert found is not None and found.xml in (XML, XML[:29])
    replaced = calls.replace(header(data), data, found, NEW)
    assert replaced[4:] == data[4:].replace(old, xdr.string(NEW))


def test_a_migration_without_a_persistent_definition_carries_none() -> None:
    """The live one can't be changed."""
    data = migrate(parameter(b"destination_xml", 7, xdr.string(XML)))

    assert calls.read(header(data), data) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (message(CREATE, xdr.string(XML)), "too few bytes"),
        (migrate(parameter(b"x", 9, bytes(4))), "a parameter of type 9"),
        (migrate(*[parameter(b"x", 1, bytes(4))] * 65), "65 parameters"),
        (
            migrate(*[parameter(b"persistent_xml", 7, xdr.string(XML))] * 2),
            "two persistent definitions",
        ),
    ],
)
def test_arguments_that_arent_as_known_are_an_error(data: bytes, why: str) -> None:
    """[hook] on_error decides then."""
    with pytest.raises(Malformed, match=why):
        calls.read(header(data), data)


def test_a_domain_longer_than_a_string_may_be_isnt_put_in() -> None:
    """libvirtd would end the connection."""
    data = define(XML)
    found = calls.read(header(data), data)
    assert found is not None

    with pytest.raises(Malformed, match="longer than 4194304 bytes"):
        calls.replace(header(data), data, found, b" " * (xdr.MAX_STRING + 1))
