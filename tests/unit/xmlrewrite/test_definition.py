# SPDX-License-Identifier: Apache-2.0
"""A domain's XML that is read once."""

from __future__ import annotations

import pytest
from lxml import etree

from mthook.errors import DomainXMLError
from mthook.xmlrewrite import safexml
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.pipeline import rewrite
from tests.corpus import REWRITTEN, Case, ident

from .hostile import HOSTILE


@pytest.mark.parametrize("case", REWRITTEN, ids=ident)
def test_it_is_rewritten_as_its_bytes_are(case: Case) -> None:
    """The very same result, and afterwards it is what it was before."""
    definition = Definition(case.xml)
    before = safexml.serialize(definition.tree)

    found = rewrite(definition, case.target)

    assert found.xml == case.out
    assert safexml.serialize(definition.tree) == before
    if found.tree is not None:
        assert safexml.serialize(found.tree) == safexml.serialize(safexml.parse(found.xml))


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
