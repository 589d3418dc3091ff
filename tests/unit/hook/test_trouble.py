# SPDX-License-Identifier: Apache-2.0
"""The hook where its catalog can be read but not written, hangs, or is written by others at the same time."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mthook import text
from mthook.catalog import lookup
from mthook.catalog.records import Compared, Pin
from mthook.hook import answer, fast, slow
from mthook.nova.question import Recorded
from mthook.reconcile import SOMEBODY
from tests.unit.hook.conftest import IMAGE, UUID, Hooked, domain, travelling

OLD, NEW, NEWEST = "pc-i440fx-6.2", "pc-i440fx-7.2", "pc-i440fx-8.2"
OTHER_IMAGE = "00000000-7081-4293-a4b5-c6d7e8f90a1b"
ROOT = Path(fast.__file__).parents[2]
WRONG = domain(OLD)
STOP = f"mthook: start of guest web-1 ({UUID}) stopped: its machine type is pinned to {NEW}, "


def on_a_disk(case: str, kept: str, on_error: str, directory: Path, *operations: str) -> Any:
    """Call an installed hook whose catalog's disk goes wrong; see ``disks.py``."""
    argv = ["unshare", "-m", sys.executable, "-m", "tests.unit.hook.disks", case, kept, on_error]
    done = subprocess.run(
        [*argv, str(directory), *operations], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("kept", ["open", "closed"])
@pytest.mark.parametrize("case", ["full", "no_inodes", "read_only", "write_errors"])
def test_a_catalog_that_can_only_be_read_stops_a_wrong_start(
    tmp_path: Path, case: str, kept: str
) -> None:
    """The verdict is known, and holds whatever on_error says: only its record fails."""
    (answered,) = on_a_disk(case, kept, "allow", tmp_path, "prepare")

    assert answered[0] == 1
    assert answered[1].startswith(STOP)


def test_a_disk_that_hangs_holds_a_start_no_longer_than_the_time_limit(tmp_path: Path) -> None:
    """The configuration can't be read from such a catalog: the default of five seconds counts."""
    answered = on_a_disk("hangs", "open", "allow", tmp_path, "prepare", "started", "reconnect")

    assert [(code, errors) for code, errors, _ in answered] == [(0, "")] * 3
    assert all(5 < took < 15 for _, _, took in answered)


def test_a_disk_that_hangs_is_a_broken_catalog(tmp_path: Path) -> None:
    """on_error = deny stops the start, and says why."""
    ((code, errors, _),) = on_a_disk("hangs", "open", "deny", tmp_path, "prepare")

    why = f"the catalog {tmp_path}/disk/catalog.sqlite doesn't answer: its disk hangs"
    assert (code, errors) == (
        1,
        f"mthook: start of guest 'web-1' stopped ([hook] on_error = deny): {why}\n",
    )


def test_a_record_that_hangs_changes_no_verdict(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk may take what is read from it and hang at what is written."""
    hooked.configure("[hook]\ntimeout = 1\n")
    hooked.pin(NEW)
    monkeypatch.setattr(answer, "_write", lambda *_: time.sleep(60))
    begun = time.monotonic()

    answered = hooked.call("prepare", WRONG)

    assert answered.code == fast.STOPPED
    assert answered.errors.startswith(STOP)
    assert "what it found isn't recorded: no answer within 1.0 s" in answered.log[0]
    assert time.monotonic() - begun < 4


class Unread:
    """A standard error that nobody reads."""

    def write(self, _: str) -> None:
        """As a pipe does whose other end is closed."""
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("errors", [Unread(), None])
@pytest.mark.parametrize("known", [True, False])
def test_a_stop_is_one_whose_message_cant_be_written(
    hooked: Hooked, errors: Any, known: bool
) -> None:
    """A wrong start, and one that on_error stops."""
    hooked.configure("[hook]\non_error = deny\n")
    hooked.pin(NEW)
    if not known:
        hooked.path.write_bytes(b"no catalog at all" * 1000)
    argv = [str(hooked.path), str(hooked.config), str(hooked.cleared), "web-1", "prepare"]
    call = fast.HookCall(argv, None, errors)  # type: ignore[arg-type]

    assert fast.answer(call, io.BytesIO(WRONG)) == fast.STOPPED


def at_the_next_look(
    monkeypatch: pytest.MonkeyPatch, function: str, happens: Callable[[], None]
) -> None:
    """Have something happen once, right after the hook has read from the catalog."""
    before, left = getattr(lookup, function), [happens]

    def looking(*args: Any) -> Any:
        found = before(*args)
        while left:
            left.pop()()
        return found

    monkeypatch.setattr(lookup, function, looking)


def imported(hooked: Hooked, machine: str) -> Callable[[], None]:
    """An import of a pin that is newer than the one here."""

    def take_over() -> None:
        at = text.now(time.time() + 60)
        with hooked.catalog() as catalog:
            merged = catalog.merge_pin(
                Pin(UUID, machine, "x86_64", "operator", "root", at, at, root_image=OTHER_IMAGE),
                actor="root",
            )
        assert merged in ("changed", "added")

    return take_over


def test_a_pin_that_is_imported_after_the_look_isnt_overwritten(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebuild would have replaced the pin that was read; the guest is judged anew by the new one."""
    hooked.call("started", domain(NEW, image=IMAGE))
    at_the_next_look(monkeypatch, "aliases", imported(hooked, NEWEST))

    hooked.call("started", domain(OLD, image=OTHER_IMAGE))

    assert hooked.pinned() == NEWEST
    assert hooked.events()[-1] == ("drift", NEWEST, OLD)


def test_a_start_that_is_right_by_now_isnt_stopped(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator accepts the change between look and verdict."""
    hooked.pin(NEW)
    at_the_next_look(monkeypatch, "aliases", lambda: hooked.pin(OLD))

    assert hooked.call("prepare", WRONG).code == fast.ALLOWED
    assert hooked.events()[-1] == ("changed", NEW, OLD)


@pytest.mark.parametrize("what", ["import", "compared"])
def test_what_happens_while_nova_is_asked_isnt_overwritten(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Nova's word is seconds old by then: a pin that came meanwhile, or was written to Nova meanwhile, is newer."""
    hooked.configure("[database]\nconnection = mysql+pymysql://nova@localhost/nova\n")
    hooked.pin(NEW)
    asked = []

    def ask(*_: Any) -> Recorded:
        asked.append(what)
        if len(asked) > 1:
            return Recorded(NEW, 8, SOMEBODY, None, "", False, False, None, "start", None, {})
        if what == "import":
            imported(hooked, NEWEST)()
        else:
            with hooked.catalog() as catalog:
                catalog.set_compared(Compared(UUID, NEW, 8, None))
        return Recorded(OLD, 7, SOMEBODY, None, "", False, False, None, "start", None, {})

    with hooked.catalog() as catalog:
        catalog.set_compared(Compared(UUID, NEW, 6, None))
    monkeypatch.setattr(slow, "ask_nova", ask)

    answered = hooked.call("prepare", domain(OLD, image=IMAGE))

    assert len(asked) == 2
    assert answered.code == fast.STOPPED
    with hooked.catalog() as catalog:
        machines = [entry.new for entry in catalog.history(UUID)]
    assert machines == ([NEW, NEWEST, OLD] if what == "import" else [NEW, OLD])


def test_a_pin_that_is_changed_all_the_time_is_a_broken_catalog(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three looks are enough."""
    hooked.pin(NEW)
    before, machines = lookup.aliases, iter(["pc-i440fx-5.1", "pc-i440fx-5.2", "pc-i440fx-6.0"])

    def looking(*args: Any) -> Any:
        hooked.pin(next(machines))
        return before(*args)

    monkeypatch.setattr(lookup, "aliases", looking)

    answered = hooked.call("prepare", WRONG)

    assert answered.code == fast.ALLOWED
    assert "its pin keeps changing" in answered.log[-1]


def test_a_set_after_a_clock_was_ahead_once_is_later_all_the_same(hooked: Hooked) -> None:
    """Metadata of the future mustn't take back what an operator has set since."""
    ahead = text.now(time.time() + 7 * 86400)
    with hooked.catalog() as catalog:
        catalog.add_pin(Pin(UUID, OLD, "x86_64", "first boot", "hook", ahead, ahead))

    hooked.pin(NEW)

    with hooked.catalog() as catalog:
        pin = catalog.get_pin(UUID)
    assert pin is not None and pin.updated_at == text.after(ahead, "")
    assert hooked.call("migrate", domain(NEW, metadata=travelling(OLD, ahead))).code == fast.ALLOWED
    assert hooked.pinned() == NEW


@pytest.mark.parametrize(("days", "counts"), [(0.05, True), (7, False), (3000 * 365, False)])
def test_the_future_is_not_believed_beyond_what_clocks_differ_by(
    hooked: Hooked, days: float, counts: bool
) -> None:
    """A host whose clock is an hour ahead is one; a week is a clock that was wrong, and tells no age."""
    hooked.pin(NEW)
    since = text.now(time.time() + days * 86400) if days < 3000 else "4999-01-01T00:00:00.000000Z"

    hooked.call("migrate", domain(OLD, metadata=travelling(OLD, since)))

    assert hooked.pinned() == (OLD if counts else NEW)


def test_a_pin_that_came_from_a_clock_ahead_can_be_set_at_once(hooked: Hooked) -> None:
    """Its time is kept, so that what is set a moment later is later than what the guest carries, here and elsewhere."""
    since = text.now(time.time() + 3600)
    carried = travelling(OLD, since)
    hooked.call("migrate", domain(OLD, metadata=carried))

    hooked.pin(NEW)

    with hooked.catalog() as catalog:
        pin = catalog.get_pin(UUID)
    assert pin is not None and pin.updated_at > since
    hooked.call("migrate", domain(OLD, metadata=carried))
    assert hooked.pinned() == NEW


def test_a_guest_that_returns_with_a_time_that_is_none_has_its_own_pin(hooked: Hooked) -> None:
    """It has lived elsewhere since; only when its pin was set there isn't known."""
    hooked.pin(NEW)
    hooked.call("started", domain(NEW))
    with hooked.catalog() as catalog:
        catalog.see_guests([], text.now(time.time() + 1))

    hooked.call("migrate", domain(OLD, metadata=travelling(OLD, "9999-12-31T00:00:00.000000Z")))

    with hooked.catalog() as catalog:
        pin = catalog.get_pin(UUID)
    assert pin is not None
    assert (pin.machine, pin.source) == (OLD, "guest metadata")
    assert pin.updated_at < text.now(time.time() + 60)
