# SPDX-License-Identifier: Apache-2.0
"""``kill -9`` at random moments."""

from __future__ import annotations

import os
from pathlib import Path

from mthook.catalog import lookup
from mthook.catalog.store import Catalog

from .crash import admin, hook, kill_round

#: Rounds, in each of which a hook and a command are killed.
ROUNDS = 300
#: How long a writer lives at most, in seconds.
LONGEST = 0.05


def _state(path: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return all pins and what the history says they should be."""
    connection = lookup.connect(path, 5)
    pins = dict(connection.execute("SELECT uuid, machine FROM pins"))
    history = dict(connection.execute("SELECT uuid, new FROM history ORDER BY id"))
    connection.close()
    return pins, history


def _health(path: str) -> object:
    connection = lookup.connect(path, 5)
    health = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    return health


def _kill(path: str, number: int) -> dict[str, str]:
    """Kill most of them wherever they are by then, a quarter when all have written."""
    return kill_round(path, [hook, admin], number, LONGEST, patient=number % 4 == 3)


def test_killed_writers_lose_nothing_acknowledged(path: str) -> None:
    """After each of 300 rounds all that was acknowledged is there, with its history, and whole."""
    Catalog.open(path).close()
    expected: dict[str, str] = {}
    for number in range(ROUNDS):
        expected.update(_kill(path, number))
        pins, history = _state(path)

        assert number % 10 or _health(path) == "ok"
        assert history == pins
        # Each of the two may be killed between writing and saying so.
        unsaid = {uuid: pins[uuid] for uuid in pins if pins[uuid] != expected.get(uuid)}
        assert len(unsaid) <= 2
        assert {**expected, **unsaid} == pins
        assert all(pins[uuid] == "q35" for uuid in unsaid if uuid in expected)
        expected = pins

    assert _health(path) == "ok"
    # Both have really been writing when they were killed.
    written = [sum(uuid.startswith(name) for uuid in expected) for name in ("hook", "admin")]
    assert min(written) >= ROUNDS / 4


def test_a_killed_creator_leaves_no_half_catalog(tmp_path: Path) -> None:
    """Whenever the first open is killed, there is a whole catalog or none, and the next works."""
    whole = 0
    for number in range(30):
        path = str(tmp_path / str(number) / "catalog.sqlite")
        # Most rounds are short: to make a catalog takes two milliseconds, and to start a second writer longer.
        longest, patient = (number / 44) ** 3, number % 3 == 2
        writers = [admin] if number % 3 == 0 else [admin, admin]
        acknowledged = kill_round(path, writers, number, longest, patient=patient)
        if os.path.exists(path):
            lookup.connect(path, 5).close()
            whole += 1
        with Catalog.open(path) as catalog:
            pins = {pin.uuid for pin in catalog.pins()}

        assert acknowledged.keys() <= pins
        assert os.listdir(tmp_path / str(number)) == ["catalog.sqlite"]
    assert 0 < whole < 30
