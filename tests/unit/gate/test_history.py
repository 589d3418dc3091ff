# SPDX-License-Identifier: Apache-2.0
"""What is written down later, or never."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from mthook import journal, text
from mthook.catalog.store import Catalog
from mthook.gate import history
from mthook.gate.configuration import Configuration
from mthook.gate.history import HistoryQueue, Rewrite
from tests.unit.hook.conftest import UUID


def test_what_is_given_up_costs_no_time_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a thousand rewrites behind a lock would hold up the domains of a minute."""
    monkeypatch.setattr(history, "_LIMIT", 0)
    monkeypatch.setattr(journal, "_service", "mthook-gate")
    path = tmp_path / "catalog" / "catalog.sqlite"
    config = tmp_path / "mthook.conf"
    config.write_text(f"[catalog]\npath = {path}\n")
    with Catalog.open(str(path)):
        pass
    queue = HistoryQueue(Configuration([str(config)]))
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        for _ in range(50):
            queue.add(Rewrite(UUID, None, "pc-i440fx-6.2", "gate uid 0", "x", text.now(), False))
        time.sleep(queue.wait or 0)
        begun = time.monotonic()
        queue.write()
        assert time.monotonic() - begun < 1
    finally:
        writer.close()
    assert capsys.readouterr().err.count("isn't recorded: ") == 50
    assert queue.wait is None
