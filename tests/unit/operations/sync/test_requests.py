# SPDX-License-Identifier: Apache-2.0
"""Pushes that were asked for, by a stand-in for Nova's database."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mthook.nova.instance import Whereabouts
from mthook.operations.sync import requests
from mthook.text import now
from tests.unit.host.fakes import UUID


class Stand:
    """What a run has of Nova, as far as it matters here."""

    def __init__(self, directory: Path, dry_run: bool) -> None:
        self.catalog, self.result, self.nova, self.cell = self, self, self, self
        self.path = str(directory / "catalog.sqlite")
        self.dry_run, self.works, self.pushed = dry_run, True, 0
        self.busy: dict[str, bool] = {}

    def __enter__(self) -> None:
        """Nothing goes wrong."""

    def __exit__(self, *_: object) -> None:
        """Nothing is left."""

    def guarded(self) -> Stand:
        """Let errors through."""
        return self

    def whereabouts(self, uuids: list[str]) -> dict[str, Whereabouts]:
        """Tell of those that Nova has."""
        return {
            uuid: Whereabouts("alpha", False, False, self.busy[uuid])
            for uuid in uuids
            if uuid in self.busy
        }


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Stand:
    """A host; a dry run if so asked."""
    made = Stand(tmp_path, bool(getattr(request, "param", False)))

    def push(*_: object) -> None:
        made.pushed += 1

    monkeypatch.setattr(requests, "push", push)
    return made


OTHER = f"{UUID[:-1]}9"
AGO = ""


@pytest.fixture(autouse=True)
def _a_minute_ago() -> None:
    """A whole test run may lie between the import and a test."""
    global AGO
    AGO = now(time.time() - 60)


@pytest.mark.parametrize("name", ["push-wanted", "push-taken"])
def test_a_push_is_asked_for_again_while_nova_is_at_work(
    tmp_path: Path, stand: Stand, name: str
) -> None:
    """Since when it was asked for first stays."""
    (tmp_path / name).write_text(f"{UUID} {AGO}\n{OTHER} {AGO}\n{UUID} {now()}\n")
    stand.busy = {UUID: True, OTHER: False}

    requests.push_asked_for(stand, stand)  # type: ignore[arg-type]

    assert stand.pushed == 1
    assert (tmp_path / "push-wanted").read_text() == f"{UUID} {AGO}\n"
    assert not (tmp_path / "push-taken").exists()


@pytest.mark.parametrize(
    ("age", "busy", "works"),
    [(700, True, True), (-700, True, True), (60, None, True), (60, True, False)],
)
def test_nova_isnt_waited_for_without_end(
    tmp_path: Path, stand: Stand, age: int, busy: bool | None, works: bool
) -> None:
    """The periodic run sees to the rest: what takes long, is gone, or can't be asked about."""
    (tmp_path / "push-wanted").write_text(f"{UUID} {now(time.time() - age)}\n")
    stand.busy, stand.works = {} if busy is None else {UUID: busy}, works

    requests.push_asked_for(stand, stand)  # type: ignore[arg-type]

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stand", [True], indirect=True)
def test_a_dry_run_takes_no_request(tmp_path: Path, stand: Stand) -> None:
    """It changes nothing."""
    (tmp_path / "push-wanted").write_text(f"{UUID} {AGO}\n")
    stand.busy = {UUID: True}

    requests.push_asked_for(stand, stand)  # type: ignore[arg-type]

    assert (tmp_path / "push-wanted").read_text() == f"{UUID} {AGO}\n"
