# SPDX-License-Identifier: Apache-2.0
"""The service that looks for changed instances."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from mthook.errors import NovaError
from mthook.locks import only_one
from mthook.nova import reading, requestspecs
from mthook.operations.cloud import watch
from tests.programs import Said
from tests.unit.nova.novas import put
from tests.unit.operations.cloud.conftest import Controller, utcnow

PC, Q35 = "pc-i440fx-7.2", "q35"


class Turns(threading.Event):
    """What happens between two looks, in place of waiting; after the last one it is told to stop."""

    def __init__(self, *turns: Callable[[], object]) -> None:
        super().__init__()
        self._turns = list(turns)

    def wait(self, timeout: float | None = None) -> bool:
        """Go on with the next turn."""
        if self._turns and not self.is_set():
            self._turns.pop(0)()
        else:
            self.set()
        return self.is_set()


Watch = Callable[..., Said]


@pytest.fixture
def watching(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Run the service: one look before and one after each turn."""

    def run(*turns: Callable[[], object], options: Sequence[str] = ()) -> Said:
        monkeypatch.setattr(threading, "Event", lambda: Turns(*turns))
        return controller.sync("--watch", *options)

    return run


@pytest.fixture
def specs_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The UUIDs whose request specs are read."""
    found: list[str] = []
    of_cell = requestspecs.of_cell

    def note(connection: Any, cell: str, uuids: list[str]) -> Any:
        found.extend(uuids)
        return of_cell(connection, cell, uuids)

    monkeypatch.setattr(requestspecs, "of_cell", note)
    return found


def test_a_new_instance_is_seen_at_the_next_look(controller: Controller, watching: Watch) -> None:
    """And one that was there; what is done is logged."""
    uuids = [controller.add(PC)]

    said = watching(lambda: uuids.append(controller.add(PC, Q35, cell="cell2")))

    assert [controller.specified(one) for one in uuids] == [PC, PC]
    assert said.code == 0
    assert [line.partition(": ")[0] for line in said.err.splitlines()] == ["mthook-sync"] * 2


def test_the_last_line_counts_the_instances_that_it_looked_at(
    controller: Controller, watching: Watch
) -> None:
    """One that it need not look at again counts once."""
    controller.add(PC, PC)

    said = watching(lambda: controller.add(PC, Q35), lambda: None, options=["-v"])

    assert said.err.splitlines()[-1].startswith("mthook-sync: guests: 2, specified: 1, ")


def test_an_instance_is_left_until_nova_is_done_with_it(
    controller: Controller, watching: Watch
) -> None:
    """Then it has changed again."""
    uuid = controller.add(PC, task_state="spawning")

    watching(
        lambda: (
            controller.specified(uuid) is None
            and controller.change(uuid, task_state=None, updated_at=utcnow())
        )
    )

    assert controller.specified(uuid) == PC


def test_one_whose_host_records_its_machine_type_later_is_seen(
    controller: Controller, watching: Watch
) -> None:
    """Although that doesn't change its row."""
    uuid = controller.add(None)

    watching(lambda: put(controller.databases["cell1"], uuid, PC))

    assert controller.specified(uuid) == PC


def test_what_is_done_is_not_looked_at_again(
    controller: Controller, watching: Watch, specs_read: list[str]
) -> None:
    """Until it changes."""
    quiet, busy = controller.add(PC), controller.add(PC)

    watching(
        lambda: None, lambda: controller.change(busy, updated_at=utcnow() + timedelta(seconds=1))
    )

    assert (specs_read.count(quiet), specs_read.count(busy)) == (1, 2)


def test_what_was_changed_long_ago_is_left_to_the_timer(
    controller: Controller, watching: Watch
) -> None:
    """The watch looks at what changes."""
    old = controller.add(PC, updated_at=utcnow() - timedelta(hours=1))
    controller.add(PC)

    watching()

    assert controller.specified(old) is None


@pytest.mark.parametrize("fast", [-1, 1])
def test_a_clock_that_is_an_hour_wrong_hides_nothing(
    controller: Controller, watching: Watch, fast: int
) -> None:
    """Neither this machine's, nor a host's beside which others change something."""
    wrong = controller.add(PC, updated_at=utcnow() + timedelta(hours=fast))
    uuids = []

    watching(lambda: uuids.append(controller.add(PC)))

    assert [controller.specified(one) for one in (wrong, *uuids)] == [PC, PC]


def test_an_outage_is_told_once_and_made_up_for(
    controller: Controller, watching: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was changed meanwhile is seen afterwards."""
    controller.add(PC)
    works, uuids = reading.newest_change, []

    def fail(*_: object) -> None:
        raise NovaError("Nova's cell cell1: gone")

    def begin() -> None:
        monkeypatch.setattr(reading, "newest_change", fail)
        uuids.append(controller.add(PC))

    def end() -> None:
        monkeypatch.setattr(reading, "newest_change", works)

    said = watching(begin, lambda: None, end, lambda: None)

    assert controller.specified(uuids[0]) == PC
    assert said.err.count("gone") == 1
    assert said.code == 0


def test_a_cell_that_fails_does_not_keep_the_others_from_it(
    controller: Controller, watching: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are looked at all the same."""
    uuid = controller.add(PC, cell="cell2")
    changed = reading.changed

    def fail_first(connection: Any, *arguments: Any) -> Any:
        if connection.engine is controller.databases["cell1"]:
            raise NovaError("Nova's cell cell1: gone")
        return changed(connection, *arguments)

    controller.add(PC)
    monkeypatch.setattr(reading, "changed", fail_first)

    watching()

    assert controller.specified(uuid) == PC


def test_many_changed_in_one_second_are_all_seen(
    controller: Controller, watching: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, also where all have the same time."""
    monkeypatch.setattr(reading, "_BATCH", 3)
    at = utcnow()
    uuids = [controller.add(PC, updated_at=at) for _ in range(10)]

    watching()

    assert {controller.specified(one) for one in uuids} == {PC}


def test_what_is_remembered_is_bounded(
    controller: Controller,
    watching: Watch,
    specs_read: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest is looked at again."""
    monkeypatch.setattr(watch, "_REMEMBERED", 2)
    for _ in range(5):
        controller.add(PC)

    watching(lambda: None)

    assert len(specs_read) == 5 + 3


def test_a_signal_ends_it_well(controller: Controller, watching: Watch) -> None:
    """As systemd sends it: exit code 0."""
    uuid = controller.add(PC)
    before = signal.getsignal(signal.SIGTERM)

    said = watching(lambda: os.kill(os.getpid(), signal.SIGTERM), lambda: pytest.fail("it goes on"))

    assert (said.code, controller.specified(uuid)) == (0, PC)
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_watch_at_a_time_beside_the_timers_runs(
    controller: Controller, watching: Watch
) -> None:
    """Each has a lock of its own."""
    watching()
    directory = os.path.dirname(controller.path)

    with only_one(directory, "cloud.lock"):
        assert watching().code == 0
    with only_one(directory, "watch.lock"):
        assert watching().code == 3


def test_a_cloud_without_instances_is_watched(watching: Watch) -> None:
    """There is nothing to see yet."""
    assert watching() == (0, "", "")
