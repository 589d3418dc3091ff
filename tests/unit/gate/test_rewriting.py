# SPDX-License-Identifier: Apache-2.0
"""What the gate writes where Nova's database has the last word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mthook.catalog.store import Catalog
from mthook.gate import rewriting
from mthook.gate.verdict import REWRITE
from mthook.hook import slow
from mthook.nova.question import Recorded
from tests.unit.hook.conftest import IMAGE, UUID, domain

OLD, NEW, NEWEST = "pc-i440fx-6.2", "pc-i440fx-7.2", "pc-i440fx-8.2"


@pytest.mark.parametrize(
    ("said", "event"),
    [
        ((NEW, 7, False, None, "", False, False, None), ("changed", OLD, NEW)),
        ((None, None, False, 1, "", True, False, None), ("unset", OLD, None)),
    ],
)
def test_a_pin_that_nova_changes_is_changed_by_the_gate(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: tuple[Any, ...],
    event: tuple[str, str, str | None],
) -> None:
    """The history names it and its client, not the hook."""
    config, path = tmp_path / "mthook.conf", str(tmp_path / "catalog" / "catalog.sqlite")
    config.write_text(
        f"[catalog]\npath = {path}\n[database]\nconnection = mysql+pymysql://nova@localhost/nova\n"
    )
    with Catalog.open(path) as catalog:
        catalog.set_pin(UUID, OLD, source="first boot", actor="test")
    monkeypatch.setattr(slow, "ask_nova", lambda *_: Recorded(*said))
    settings = rewriting.Configuration([str(config)])

    outcome = rewriting.examine(domain(NEWEST, image=IMAGE), settings, "gate uid 42", may_wait=True)

    with Catalog.open(path) as catalog:
        last = catalog.history(UUID)[-1]
    assert (last.event, last.old, last.new) == event
    assert last.actor == "gate uid 42"
    assert outcome is not None
    assert (outcome.verdict == REWRITE) == (said[0] is not None)
