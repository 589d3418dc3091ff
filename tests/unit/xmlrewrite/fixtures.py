# SPDX-License-Identifier: Apache-2.0
"""Domain XML as libvirt hands it to hooks and as Nova writes it."""

from __future__ import annotations

from pathlib import Path

FIXTURES = Path(__file__).parents[2] / "fixtures"
HOOK_STDIN = sorted((FIXTURES / "hook-stdin").glob("*.xml"))
NOVA_XML = sorted((FIXTURES / "nova-xml").glob("*.xml"))
REAL = HOOK_STDIN + NOVA_XML
