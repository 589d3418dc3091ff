# SPDX-License-Identifier: Apache-2.0
"""Domains that are converted for a release's libvirt, which has to accept them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import libvirt

from mthook.errors import ConversionError
from mthook.xmlrewrite.pipeline import Target, rewrite
from tests.corpus import CONVERTED, Case
from tests.libvirt.conversion import AUDIO

#: Every release has the newest version of its own.
_MACHINE = re.compile(rb"\bpc-(i440fx|q35)-[0-9.]+\b")
#: The hosts have a guest of their own with the corpus's.
_UUID = re.compile(rb"<uuid>([^<]*)</uuid>")
_OTHER = b"3f2c1d3e-0000-4000-8000-0000000000ff"


def wrong(uri: str) -> Iterator[str]:
    """Define every domain of the corpus, with schema validation; yield those that only conversion has made wrong.

    What mthook refuses to convert for this libvirt isn't wrong.
    """
    libvirt.registerErrorHandler(lambda *_: None, None)
    with contextlib.closing(libvirt.open(uri)) as connection:
        for case in CONVERTED:
            converted = _converted(case, connection.getLibVersion())
            if converted is None or _refusal(connection, case.xml):
                continue
            refusal = _refusal(connection, converted)
            if refusal:
                yield f"{case.name}: {refusal}"


def _converted(case: Case, version: int) -> bytes | None:
    ports = case.target.ports
    target = Target(case.target.machine, case.target.instance, ports=ports, libvirt=version)
    try:
        return rewrite(case.xml, target).xml
    except ConversionError:
        return None


def _refusal(connection: libvirt.virConnect, xml: bytes) -> str:
    """Return libvirt's error, or ''."""
    xml = _MACHINE.sub(lambda found: b"pc" if found[1] == b"i440fx" else b"q35", xml)
    if connection.getLibVersion() < 9_000_000:
        xml = AUDIO.sub(b"", xml)
    for uuid in _UUID.findall(xml):
        xml = xml.replace(uuid, _OTHER)  # Nova has it in <sysinfo> as well
    try:
        domain = connection.defineXMLFlags(xml.decode(), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    except libvirt.libvirtError as error:
        return str(error)
    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    return ""
