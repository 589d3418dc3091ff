# SPDX-License-Identifier: Apache-2.0
"""A domain's XML that is read once."""

from __future__ import annotations

import pytest
from lxml import etree

from mthook.errors import DomainXMLError
from mthook.xmlrewrite.definition import Definition

from .hostile import HOSTILE


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_input_never_reaches_libxml2(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in safexml.parse."""
    xml, message = HOSTILE[case]
    monkeypatch.setattr(etree, "fromstring", None)

    with pytest.raises(DomainXMLError) as caught:
        assert Definition(xml).tree

    assert str(caught.value) == message


def test_it_never_shows_its_xml() -> None:
    """It may hold passwords, and a traceback or a log shows what repr() does."""
    assert "sesame" not in repr(Definition(b"<domain a='sesame'/>"))
