# SPDX-License-Identifier: Apache-2.0
"""What ``make test`` doesn't run: it takes downloads and long, so a name that moved would be missed."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.upgrade import __main__ as upgrade

TESTS = Path(__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(TESTS.parent).with_suffix("").parts)
    for target in ("cloud", "matrix", "packages", "upgrade")
    for path in sorted((TESTS / target).rglob("*.py"))
]


DOWNLOADED = re.compile(
    r"^(?:    make )?(\w+)[ :].*the first time (?:it downloads )?([\d.]+ [MG]B)$", re.M
)


def test_makefile_and_guide_name_the_same_downloads() -> None:
    """Whoever reads either knows what is downloaded the first time, in all."""
    texts = [(TESTS.parent / name).read_text() for name in ("Makefile", "CONTRIBUTING.md")]

    makefile, guide = (dict(DOWNLOADED.findall(text)) for text in texts)

    assert makefile == guide
    assert sorted(guide) == ["cloud", "matrix", "packages", "upgrade"]


def test_the_upgrade_tells_itself_what_it_downloads() -> None:
    """Once for the roots, and once for each way to install mthook."""
    told = upgrade._DOWNLOAD
    roots, each = map(int, re.findall(r"(\d+) MB", told))
    guide = (TESTS.parent / "CONTRIBUTING.md").read_text()

    assert f"the first time it downloads {(roots + each * len(upgrade._WAYS)) / 1000} GB" in guide


@pytest.mark.parametrize("module", MODULES)
def test_each_module_of_another_target_can_be_loaded(module: str) -> None:
    """All that it imports is there."""
    importlib.import_module(module)
