# SPDX-License-Identifier: Apache-2.0
"""Offers as files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mthook.errors import Error
from mthook.operations.forecast import offering
from tests.offers import OFFERS


@pytest.mark.parametrize("version", OFFERS)
def test_an_offer_is_the_same_after_the_journey(version: str) -> None:
    """Emulator, architecture, domain type, machine types, aliases, what is deprecated, versions."""
    found = OFFERS[version]

    again = offering.from_text(offering.to_text(found))

    assert again == found
    assert found.archs == {"x86_64", "i686"}


def _document(**changes: Any) -> str:
    document = json.loads(offering.to_text(OFFERS["7.2.22"]))
    return json.dumps({**document, **changes})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ("[1]", "not an offer in the format mthook-offer-1"),
        (_document(format="mthook-offer-2"), "not an offer in the format mthook-offer-1"),
        ('{"format": "mthook-offer-1"}', "emulators is missing"),
        (_document(name="a\nb"), "isn't a plain text"),
        (_document(qemu_version=7), "isn't a plain text"),
        (_document(emulators=[{"machines": [{"name": "pc pc", "alias_of": None}]}]), "characters"),
        (_document(emulators=7), "not iterable"),
        ("[" * 100_000, "not an offer in the format mthook-offer-1"),
    ],
)
def test_what_is_no_offer_is_refused_in_one_line(text: str, words: str) -> None:
    """Whatever it is."""
    with pytest.raises(Error, match=words) as caught:
        offering.from_text(text)
    assert str(caught.value).isprintable()
