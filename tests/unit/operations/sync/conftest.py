# SPDX-License-Identifier: Apache-2.0
"""A fresh host for each test."""

from __future__ import annotations

from pathlib import Path

import libvirt
import pytest

from tests.unit.operations.sync.setting import Setting


@pytest.fixture
def setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Setting:
    """A host without guests that mthook-sync has never seen."""
    setting = Setting(tmp_path, capsys)
    monkeypatch.setattr(libvirt, "open", lambda uri: setting.libvirt)
    return setting
