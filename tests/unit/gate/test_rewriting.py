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
from mthook.reconcile import NOVA, SOMEBODY
from tests.programs import ENFORCE
from tests.unit.hook.conftest import IMAGE, UUID, domain

OLD, NEW, NEWEST = "pc-i440fx-6.2", "pc-i440fx-7.2", "pc-i440fx-8.2"


@pytest.mark.parametrize(
    ("said", "event"),
    [
        ((NEW, 7, SOMEBODY, None, "", False, False, None, ""), ("changed", OLD, NEW)),
        ((None, None, SOMEBODY, 1, "", True, False, None, ""), ("unset", OLD, None)),
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
        f"{ENFORCE}[catalog]\npath = {path}\n[database]\nconnection = mysql+pymysql://nova@localhost/nova\n"
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


@pytest.mark.parametrize(("write_back", "asked"), [("true", True), ("false", False)])
def test_what_is_rewritten_for_nova_is_to_be_written_to_nova(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_back: str, asked: bool
) -> None:
    """A moment later, when Nova has recorded what it made of the instance."""
    config, path = tmp_path / "mthook.conf", tmp_path / "catalog" / "catalog.sqlite"
    config.write_text(
        f"{ENFORCE}[catalog]\npath = {path}\n[sync]\nwrite_back = {write_back}\n"
        "[database]\nconnection = mysql+pymysql://nova@localhost/nova\n"
    )
    with Catalog.open(str(path)) as catalog:
        catalog.set_pin(UUID, OLD, source="first boot", actor="test")
    said = Recorded(NEW, 7, NOVA, None, "", False, False, None, "")
    monkeypatch.setattr(slow, "ask_nova", lambda *_: said)
    settings = rewriting.Configuration([str(config)])

    outcome = rewriting.examine(domain(NEW, image=IMAGE), settings, "gate uid 42", may_wait=True)

    assert outcome is not None and (outcome.verdict, outcome.new) == (REWRITE, OLD)
    wanted = path.parent / "push-wanted"
    assert (wanted.exists() and wanted.read_text().startswith(f"{UUID} ")) is asked
