# SPDX-License-Identifier: Apache-2.0
"""Nova is the yardstick: converted, its XML is what it generates for the other board."""

from __future__ import annotations

import pytest
from lxml import etree

from mthook.xmlrewrite import summary
from mthook.xmlrewrite.pipeline import Target, rewrite
from tests.corpus import CONVERTED, Case, ident, twin

from .fixtures import FIXTURES

#: In which pairs Nova does what can't be known from the XML, or what not every libvirt accepts, and why.
_KNOWN = {
    "nova-secure-boot-optional-pc-to-q35": "Nova asks the host whether it can do Secure Boot",
    "nova-secure-boot-optional-q35-to-pc": "libvirt 9.0 refuses secure='no' where it chooses the firmware",
}
_TWINS = [case for case in CONVERTED if twin(case) and case.name not in _KNOWN]
_PAIRS = [
    ("pc", "q35"),
    ("pc", "q35-noports"),
    ("pc-scsi", "q35-scsi"),
    ("pc-uefi", "q35-uefi"),
    ("pc-versioned", "q35-versioned"),
    ("fake-x86-pc", "fake-x86-q35"),
]


def said(xml: bytes) -> bytes:
    """Return a domain canonically, but for its name in Nova and when it was generated."""
    domain = etree.fromstring(xml, etree.XMLParser(remove_blank_text=True))
    for tag in ("{*}name", "{*}creationTime"):
        for found in domain.iterfind(f"metadata//{tag}"):
            found.text = ""
    return etree.tostring(domain, method="c14n2")


@pytest.mark.parametrize("case", _TWINS, ids=ident)
def test_a_converted_instance_is_what_nova_generates(case: Case) -> None:
    """For the very same instance with the other machine type."""
    other = twin(case)
    assert case.out is not None and other is not None

    assert said(case.out) == said(other.xml)


def test_there_are_pairs_of_every_kind() -> None:
    """Should the corpus lose them, the test above would prove nothing."""
    assert len(_TWINS) >= 40


@pytest.mark.parametrize(("pc", "q35"), [*_PAIRS, *((b, a) for a, b in _PAIRS)])
def test_a_recorded_pair_is_equal(pc: str, q35: str) -> None:
    """With as many ports as Nova was configured to give."""
    before, wanted = ((FIXTURES / "nova-xml" / f"{name}.xml").read_bytes() for name in (pc, q35))
    machine = summary.read(wanted).machine
    assert machine is not None

    found = rewrite(before, Target(machine, ports=wanted.count(b"pcie-root-port")))

    assert said(found.xml) == said(wanted)
