# SPDX-License-Identifier: Apache-2.0
"""What ``make test`` doesn't run: it takes downloads and long, so a name that moved would be missed."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(TESTS.parent).with_suffix("").parts)
    for target in ("cloud", "matrix", "packages", "upgrade")
    for path in sorted((TESTS / target).rglob("*.py"))
]


@pytest.mark.parametrize("module", MODULES)
def test_each_module_of_another_target_can_be_loaded(module: str) -> None:
    """All that it imports is there."""
    importlib.import_module(module)
