# SPDX-License-Identifier: Apache-2.0
"""A record in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleets import Site


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Site:
    """Hosts with an empty record."""
    return Site(f"sqlite:///{tmp_path}/fleet.sqlite", tmp_path, monkeypatch, capsys)
