# SPDX-License-Identifier: Apache-2.0
"""What is refused to be read as a domain."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mthook.errors import DomainXMLError
from mthook.xmlrewrite import summary

from .hostile import HOSTILE, nested


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_input_is_refused_in_one_line(case: str) -> None:
    """Each hostile document raises DomainXMLError with exactly the line it should."""
    xml, message = HOSTILE[case]

    with pytest.raises(DomainXMLError) as caught:
        summary.read(xml)

    assert str(caught.value) == message
    assert message.isprintable()


def test_the_limits_themselves_are_allowed() -> None:
    """Exactly as deep and as large as allowed is read."""
    assert summary.read(nested(summary.MAX_DEPTH)).machine is None
    padding = summary.MAX_BYTES - len(b"<domain></domain>")
    assert summary.read(b"<domain>" + b" " * padding + b"</domain>").machine is None


@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_bytes_are_a_domain_or_one_error(data: bytes) -> None:
    """Nothing but DomainXMLError comes out, as one printable line, also from inside a domain."""
    for xml in (data, b"<domain><name>" + data + b"</name></domain>"):
        try:
            summary.read(xml)
        except DomainXMLError as error:
            assert str(error).isprintable()


@given(st.text(max_size=60))
def test_any_machine_attribute_is_a_name_or_an_error(text: str) -> None:
    """An attribute is a machine type's name, absent, or refused; never something in between."""
    safe = re.sub(r"[^\x20-\x7e]", "?", text).translate({38: "&amp;", 60: "&lt;", 39: "&apos;"})
    try:
        machine = summary.read(
            f"<domain><os><type machine='{safe}'/></os></domain>".encode()
        ).machine
    except DomainXMLError:
        return
    assert machine is None or re.fullmatch(r"[A-Za-z0-9._+][A-Za-z0-9._+-]*", str(machine))
