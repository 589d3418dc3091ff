# SPDX-License-Identifier: Apache-2.0
"""Domain XML as libvirt hands it to hooks and as Nova writes it."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from mthook.xmlrewrite import safexml

FIXTURES = Path(__file__).parents[2] / "fixtures"
HOOK_STDIN = sorted((FIXTURES / "hook-stdin").glob("*.xml"))
NOVA_XML = sorted((FIXTURES / "nova-xml").glob("*.xml"))
REAL = HOOK_STDIN + NOVA_XML


def canonical(xml: bytes) -> bytes:
    """Return a domain as Canonical XML 2.0, in which documents that say the same are equal."""
    return etree.tostring(safexml.parse(xml), method="c14n2")
