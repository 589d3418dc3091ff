# SPDX-License-Identifier: Apache-2.0
"""What the gate writes where Nova's database has the last word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mthook.catalog.store import Catalog
from mthook.gate import rewriting
from mthook.gate.configuration import Configuration
from mthook.gate.history import HistoryQueue, Rewrite
from mthook.gate.verdict import REWRITE, Outcome
from mthook.hook import slow
from mthook.nova.question import Recorded
from mthook.reconcile import NOVA, SOMEBODY
from tests.programs import ENFORCE
from tests.unit.hook.conftest import IMAGE, UUID, domain

OLD, NEW, NEWEST = "pc-i440fx-6.2", "pc-i440fx-7.2", "pc-i440fx-8.2"


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ((NEW, 7, SOMEBODY, None, "", False, False, None, ""), NEW),
        ((None, None, SOMEBODY, 1, "", True, False, None, ""), None),
    ],
)
def test_a_pin_that_nova_changes_counts_and_is_changed_by_the_start_that_follows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: tuple[Any, ...],
    written: str | None,
) -> None:
    """Whether the client may define the guest at all libvirtd hasn't said yet."""
    config, path = tmp_path / "mthook.conf", str(tmp_path / "catalog" / "catalog.sqlite")
    config.write_text(
        f"{ENFORCE}[catalog]\npath = {path}\n[database]\nconnection = mysql+pymysql://nova@localhost/nova\n"
    )
    with Catalog.open(path) as catalog:
        catalog.set_pin(UUID, OLD, source="first boot", actor="test")
    monkeypatch.setattr(slow, "ask_nova", lambda *_: Recorded(*said))
    settings = Configuration([str(config)])

    outcome = rewriting.examine(domain(NEWEST, image=IMAGE), settings, may_wait=True)

    with Catalog.open(path) as catalog:
        assert [entry.event for entry in catalog.history(UUID)] == ["pinned"]
    assert outcome is not None
    assert (outcome.verdict == REWRITE) == (written is not None)
    assert outcome.new == (written or "")


@pytest.mark.parametrize(("write_back", "asked"), [("true", True), ("false", False)])
def test_what_is_rewritten_for_nova_is_to_be_written_to_nova(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_back: str, asked: bool
) -> None:
    """Once libvirtd has taken it, and a moment later, when Nova has recorded what it made of the instance."""
    config, path = tmp_path / "mthook.conf", tmp_path / "catalog" / "catalog.sqlite"
    config.write_text(
        f"{ENFORCE}[catalog]\npath = {path}\n[sync]\nwrite_back = {write_back}\n"
        "[database]\nconnection = mysql+pymysql://nova@localhost/nova\n"
    )
    with Catalog.open(str(path)) as catalog:
        catalog.set_pin(UUID, OLD, source="first boot", actor="test")
    said = Recorded(NEW, 7, NOVA, None, "", False, False, None, "")
    monkeypatch.setattr(slow, "ask_nova", lambda *_: said)
    settings = Configuration([str(config)])

    outcome = rewriting.examine(domain(NEW, image=IMAGE), settings, may_wait=True)

    assert outcome is not None and (outcome.verdict, outcome.new) == (REWRITE, OLD)
    assert not (path.parent / "push-wanted").exists()
    HistoryQueue(settings).add(Rewrite.of(outcome, "gate uid 42", "virDomainDefineXML"))
    wanted = path.parent / "push-wanted"
    assert (wanted.exists() and wanted.read_text().startswith(f"{UUID} ")) is asked


def test_a_pin_that_is_set_while_nova_is_asked_isnt_overwritten_by_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nova's word is older by then; the domain is judged anew by the new pin."""
    config, path = tmp_path / "mthook.conf", str(tmp_path / "catalog" / "catalog.sqlite")
    config.write_text(
        f"[catalog]\npath = {path}\n[database]\nconnection = mysql+pymysql://nova@localhost/nova\n"
    )
    with Catalog.open(path) as catalog:
        catalog.set_pin(UUID, OLD, source="first boot", actor="test")
    asked = []

    def ask(*_: Any) -> Recorded:
        asked.append(1)
        with Catalog.open(path) as catalog:
            catalog.set_pin(UUID, NEWEST, source="operator", actor="root")
        return Recorded(NEW, 7, SOMEBODY, None, "", False, False, None, "")

    monkeypatch.setattr(slow, "ask_nova", ask)
    settings = Configuration([str(config)])

    outcome = rewriting.examine(domain(NEWEST, image=IMAGE), settings, may_wait=True)

    with Catalog.open(path) as catalog:
        pin = catalog.get_pin(UUID)
    assert outcome == Outcome(uuid=UUID, old=NEWEST)
    assert pin is not None and (pin.machine, pin.source) == (NEWEST, "operator")
    assert len(asked) == 1
