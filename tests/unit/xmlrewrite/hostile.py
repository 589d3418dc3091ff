# SPDX-License-Identifier: Apache-2.0
"""Documents that no reader may fall for, and the one line each is refused with."""

from __future__ import annotations

UUID = "7d3f0a52-6a0e-4c6f-9f3b-5f0a1c2d3e4f"

LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE domain [
 <!ENTITY a "haha">
 <!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
 <!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">
 <!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">
 <!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">
 <!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;">
 <!ENTITY g "&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;">
]>
<domain><name>&g;</name></domain>
"""

DOCTYPE = "the domain XML has a DOCTYPE"
NOT_A_MACHINE = "holds characters that no machine type's name has"


def nested(depth: int) -> bytes:
    """Return a domain with elements nested so many deep, the root included."""
    return b"<domain>" + b"<a>" * (depth - 1) + b"</a>" * (depth - 1) + b"</domain>"


def machine(name: str) -> bytes:
    """Return a domain whose machine type is what the attribute text says."""
    return f"<domain><os><type machine='{name}'>hvm</type></os></domain>".encode()


HOSTILE = {
    "empty": (b"", "the domain XML is empty"),
    "blank": (b" \n\t ", "the domain XML is empty"),
    "text": (b"--help", "not well-formed XML: syntax error: line 1, column 0"),
    "cut": (b"<domain><name>x", "not well-formed XML: no element found: line 1, column 15"),
    "two roots": (
        b"<domain/><domain/>",
        "not well-formed XML: junk after document element: line 1, column 9",
    ),
    "attribute twice": (
        b"<domain type='kvm' type='qemu'/>",
        "not well-formed XML: duplicate attribute: line 1, column 19",
    ),
    "prefix of nothing": (
        b"<domain><nova:x/></domain>",
        "not well-formed XML: unbound prefix: line 1, column 8",
    ),
    "undefined entity": (
        b"<domain><name>&x;</name></domain>",
        "not well-formed XML: undefined entity: line 1, column 14",
    ),
    "control character": (
        b"<domain><name>\x1b[2J</name></domain>",
        "not well-formed XML: not well-formed (invalid token): line 1, column 14",
    ),
    "billion laughs": (LAUGHS, DOCTYPE),
    "doctype": (b"<!DOCTYPE domain><domain/>", DOCTYPE),
    "external DTD": (b"<!DOCTYPE domain SYSTEM 'http://127.0.0.1:9/x.dtd'><domain/>", DOCTYPE),
    "external entity": (
        b"<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
        b"<domain><name>&x;</name></domain>",
        DOCTYPE,
    ),
    "parameter entity": (
        b"<!DOCTYPE domain [<!ENTITY % x SYSTEM 'file:///etc/passwd'> %x;]><domain/>",
        DOCTYPE,
    ),
    "default attribute": (
        b"<!DOCTYPE domain [<!ATTLIST domain type CDATA 'kvm'>]><domain/>",
        DOCTYPE,
    ),
    "not UTF-8": (
        b"<domain><name>\xff</name></domain>",
        "the domain XML isn't UTF-8 at byte 14",
    ),
    "latin1": (
        b"<?xml version='1.0' encoding='ISO-8859-1'?><domain/>",
        "the domain XML claims to be ISO-8859-1, not UTF-8",
    ),
    "UTF-7": (
        b"<?xml version='1.0' encoding='utf-7'?>+ADw-domain/+AD4-",
        "the domain XML claims to be utf-7, not UTF-8",
    ),
    "UTF-16 with DOCTYPE": (
        LAUGHS.decode().encode("utf-16"),
        "the domain XML isn't UTF-8 at byte 0",
    ),
    "UTF-16 without a mark, with DOCTYPE": (
        LAUGHS.decode().encode("utf-16-le"),
        "the domain XML holds NUL bytes",
    ),
    "NUL": (b"<domain><name>a\0b</name></domain>", "the domain XML holds NUL bytes"),
    "too deep": (nested(101), "the domain XML is nested deeper than 100 elements"),
    "far too deep": (nested(100_000), "the domain XML is nested deeper than 100 elements"),
    "too large": (
        b"<domain>" + b" " * (16 * 1024 * 1024) + b"</domain>",
        "the domain XML is larger than 16777216 bytes",
    ),
    "snapshot": (b"<domainsnapshot/>", "the XML is a <domainsnapshot>, not a <domain>"),
    "namespaced root": (
        b"<domain xmlns='urn:x'/>",
        "the XML is a <urn:x}domain>, not a <domain>",
    ),
    "two names": (
        b"<domain><name>a</name><name>b</name></domain>",
        "the domain XML has a second <name>",
    ),
    "two uuids": (
        f"<domain><uuid>{UUID}</uuid><uuid>{UUID}</uuid></domain>".encode(),
        "the domain XML has a second <uuid>",
    ),
    "two os": (
        b"<domain><os/><os><type machine='q35'>hvm</type></os></domain>",
        "the domain XML has a second <os>",
    ),
    "two types": (
        b"<domain><os><type machine='pc'>hvm</type><type machine='q35'>hvm</type></os></domain>",
        "the domain XML has a second <type>",
    ),
    "two metadata": (
        b"<domain><metadata/><metadata/></domain>",
        "the domain XML has a second <metadata>",
    ),
    "uuid of nothing": (b"<domain><uuid>  </uuid></domain>", "uuid '  ' isn't a UUID"),
    "uuid with SQL": (
        b"<domain><uuid>' OR 1=1; --\n</uuid></domain>",
        r"uuid '' OR 1=1; --\n' isn't a UUID",
    ),
    "uuid too long": (
        b"<domain><uuid>" + b"a" * 500 + b"</uuid></domain>",
        f"uuid '{'a' * 80}...' isn't a UUID",
    ),
    "uuid in other digits": (
        f"<domain><uuid>{UUID.replace('7', '٧')}</uuid></domain>".encode(),
        f"uuid '{UUID.replace('7', '٧')}' isn't a UUID",
    ),
    "machine with shell characters": (
        machine("pc;$(reboot)`id`"),
        f"os/type: machine type 'pc;$(reboot)`id`' {NOT_A_MACHINE}",
    ),
    "machine with SQL": (
        machine("x&apos;; DROP TABLE pins; --"),
        f"os/type: machine type 'x'; DROP TABLE pins; --' {NOT_A_MACHINE}",
    ),
    "machine with a newline": (
        machine("pc&#10;q35"),
        rf"os/type: machine type 'pc\nq35' {NOT_A_MACHINE}",
    ),
    "machine like an option": (
        machine("--help"),
        f"os/type: machine type '--help' {NOT_A_MACHINE}",
    ),
    "machine too long": (
        machine("x" * 300),
        f"os/type: machine type '{'x' * 40}...' is longer than 255 characters",
    ),
}
