# SPDX-License-Identifier: Apache-2.0
"""``plan``, ``apply`` and ``undo`` on a host: pins, definitions, and plans that are none."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from mthook.catalog.store import Catalog
from mthook.operations.plans import journal, workers
from mthook.operations.plans.journal import Journal
from mthook.text import now

from .cloud import Cloud
from .conftest import DB, WEB, Run, defined, events, guest, pin, xml

OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"


class Desk:
    """Where plans are made and applied.

    :ivar path: the plan.
    """

    def __init__(self, run: Run, path: Path) -> None:
        self.run, self.path = run, path

    def plan(self, *words: str) -> dict[str, Any]:
        """Make a plan, and keep it."""
        said = self.run("plan", *words)
        assert said.code == 0, said.err
        self.path.write_text(said.out)
        return dict(json.loads(said.out))

    def apply(self, *words: str) -> Any:
        """Apply it."""
        return self.run("apply", str(self.path), *words)


@pytest.fixture
def desk(run: Run, tmp_path: Path) -> Desk:
    """An operator's."""
    return Desk(run, tmp_path / "plan.json")


def whole(driver: libvirt.virConnect, uuid: str = WEB) -> str:
    """Return a definition with its passwords, without mthook's own note."""
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    text: str = driver.lookupByUUIDString(uuid).XMLDesc(flags)
    head, _, rest = text.partition("  <metadata>")
    return head + rest.partition("</metadata>\n")[2] if rest else text


def but_for_its_time(catalog: Catalog, uuid: str = WEB) -> dict[str, Any] | None:
    """Return a pin's row without the time of its change."""
    found = catalog.get_pin(uuid)
    return {**vars(found), "updated_at": None} if found else None


def test_pin_and_definition_are_changed_and_taken_back(
    desk: Desk, catalog: Catalog, both: libvirt.virConnect
) -> None:
    """All of the row, and the definition with its password."""
    before = but_for_its_time(catalog), whole(both)

    plan = desk.plan("set", "--to", NEW, "--machine", "pc-i440fx-6.*", "--reason", "QEMU 12")

    assert [(one["name"], one["old"], one["new"]) for one in plan["guests"]] == [
        ("db-1", OLD, NEW),
        ("web-1", OLD, NEW),
    ]
    assert (but_for_its_time(catalog), whole(both)) == before
    said = desk.apply()
    assert (said.code, "2 changed" in said.err) == (0, True), said.err
    assert [defined(both, uuid) for uuid in (WEB, DB)] == [NEW, NEW]
    assert desk.run("get", WEB).out == f"{NEW}\n"
    assert catalog.history(WEB)[-2].reason == "QEMU 12"
    assert desk.run("undo", "--last").code == 0
    assert (but_for_its_time(catalog), whole(both)) == before
    assert events(catalog)[-2:] == [("changed", NEW, OLD), ("realigned", NEW, OLD)]


def test_the_table_of_a_plan_fits_80_columns(
    run: Run, driver: libvirt.virConnect, catalog: Catalog
) -> None:
    """Whatever guests are called; the plan itself has all of it."""
    name = "größe-und-maß-für-die-bücherei-in-köln"
    driver.defineXML(xml(OLD, name=name))
    catalog.see_guests([guest(WEB, name)], now())
    pin(catalog, WEB, OLD)

    heading, row, total = run("plan", "set", "--to", NEW).err.splitlines()

    assert heading.split() == ["Name", "From", "To", "Remarks"]
    assert row == f"größe-und-…i-in-köln  {OLD}       {NEW}"
    assert total == "1 to set, 0 refused, 0 with nothing to do"


def test_one_guest_of_a_change_is_taken_back(
    desk: Desk, catalog: Catalog, both: libvirt.virConnect
) -> None:
    """The others keep it, and can be taken back later."""
    desk.plan("set", "--to", NEW)
    change = desk.apply().err.split("undo ")[-1].strip()

    assert desk.run("undo", f"{change}/{DB}").code == 0
    assert [defined(both, uuid) for uuid in (WEB, DB)] == [NEW, OLD]
    said = desk.run("undo", f"{change}/{DB}")
    assert (said.code, "nothing of" in said.err) == (2, True)
    assert desk.run("undo", change).code == 0
    assert defined(both) == OLD
    assert desk.run("undo", "--last").code == 2


def test_a_running_guest_stays_as_it_is(
    desk: Desk, catalog: Catalog, domain: libvirt.virDomain
) -> None:
    """It is refused in the plan; where it is allowed, what runs doesn't change."""
    domain.create()
    live = domain.XMLDesc(0).split("machine='")[1].split("'")[0]

    (refused,) = desk.plan("set", "--to", NEW)["guests"]
    assert refused["refused"]["reason"] == "running"
    assert desk.apply().err.startswith("nothing to do")
    (allowed,) = desk.plan("set", "--to", NEW, "--allow", "running")["guests"]
    assert (allowed["refused"], allowed["warnings"][0][0]) == (None, "forced")
    assert desk.apply().code == 0
    assert domain.XMLDesc(0).split("machine='")[1].split("'")[0] == live
    assert desk.run("undo", "--last").code == 0
    assert domain.XMLDesc(0).split("machine='")[1].split("'")[0] == live


def test_what_they_run_is_accepted_and_taken_back(
    desk: Desk, catalog: Catalog, both: libvirt.virConnect
) -> None:
    """A pin that wasn't there is gone again."""
    for other in both.listAllDomains():
        if other.name() == "test":  # the driver's own, which no sync has seen either
            other.destroy()
            other.undefine()
    catalog.forget(DB, actor="x", reason=None)
    catalog.see_guests([guest(), guest(DB, "db-1")], now())

    (one,) = desk.plan("accept", "--unset")["guests"]
    assert (one["name"], one["new"], one["why"]) == ("db-1", OLD, "defined")
    assert desk.apply().code == 0
    assert desk.run("get", DB).out == f"{OLD}\n"
    assert desk.run("undo", "--last").code == 0
    assert catalog.get_pin(DB) is None


def test_aliases_are_frozen_and_taken_back(
    desk: Desk, catalog: Catalog, both: libvirt.virConnect
) -> None:
    """Versioned pins aren't in the plan."""
    pin(catalog, WEB, "pc", seen=OLD)
    before = but_for_its_time(catalog)

    (one,) = desk.plan("freeze")["guests"]
    assert (one["name"], one["old"], one["new"]) == ("web-1", "pc", OLD)
    assert desk.apply().code == 0
    assert desk.run("get", WEB).out == f"{OLD}\n"
    assert desk.run("undo", "--last").code == 0
    assert but_for_its_time(catalog) == before


def test_pins_are_released_and_taken_back(
    desk: Desk, catalog: Catalog, both: libvirt.virConnect
) -> None:
    """With their source and what was seen."""
    before = but_for_its_time(catalog)

    assert {one["new"] for one in desk.plan("unset")["guests"]} == {None}
    assert desk.apply().code == 0
    assert desk.run("get", WEB).code == 3
    assert desk.run("undo", "--last").code == 0
    assert but_for_its_time(catalog) == before


def test_definitions_are_realigned_and_taken_back(
    desk: Desk, catalog: Catalog, both: libvirt.virConnect
) -> None:
    """The pin itself stays untouched, its row included."""
    both.defineXML(xml(NEW))
    before = catalog.get_pin(WEB), whole(both)

    (one,) = desk.plan("realign")["guests"]
    assert (one["old"], one["new"], one["why"]) == (NEW, OLD, "drift")
    assert desk.apply().code == 0
    assert (defined(both), catalog.get_pin(WEB)) == (OLD, before[0])
    assert desk.run("undo", "--last").code == 0
    assert (catalog.get_pin(WEB), whole(both)) == before


def _undefine(driver: libvirt.virConnect, catalog: Catalog) -> None:
    driver.lookupByUUIDString(WEB).undefine()
    catalog.forget(WEB, actor="x", reason=None)


CHANGES: dict[str, Callable[[libvirt.virConnect, Catalog], object]] = {
    "pin": lambda driver, catalog: pin(catalog, WEB, "pc-i440fx-2.0"),
    "definition": lambda driver, catalog: driver.defineXML(xml().replace("8192", "16384")),
    "gone": _undefine,
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_guest_that_has_changed_is_left_alone(
    desk: Desk, catalog: Catalog, both: libvirt.virConnect, what: str
) -> None:
    """The plan saw something else; the other guest is changed."""
    desk.plan("set", "--to", NEW)
    CHANGES[what](both, catalog)
    before = catalog.get_pin(WEB)

    said = desk.apply()

    assert said.code == 1
    assert f"{what}" in said.err
    assert "1 changed," in said.err
    assert (catalog.get_pin(WEB), defined(both, DB)) == (before, NEW)


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_changed_since_isnt_taken_back(
    desk: Desk, catalog: Catalog, both: libvirt.virConnect, what: str
) -> None:
    """It says so, and takes the others back."""
    desk.plan("set", "--to", NEW)
    assert desk.apply().code == 0
    CHANGES[what](both, catalog)
    before = catalog.get_pin(WEB)

    said = desk.run("undo", "--last")

    assert (said.code, "left alone" in said.err, "1 put back" in said.err) == (1, True, True)
    assert (catalog.get_pin(WEB), defined(both, DB)) == (before, OLD)


def test_so_many_at_most_and_the_rest_with_the_next_run(
    desk: Desk, both: libvirt.virConnect
) -> None:
    """No guest counts twice."""
    desk.plan("set", "--to", NEW)

    assert "1 changed" in desk.apply("--max", "1").err
    assert [defined(both, uuid) for uuid in (DB, WEB)] == [NEW, OLD]
    assert "1 changed" in desk.apply("--max", "1").err
    assert [defined(both, uuid) for uuid in (DB, WEB)] == [NEW, NEW]
    assert "nothing to do" in desk.apply().err


def test_a_terminal_sees_how_far_it_is(
    desk: Desk, both: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Applied and taken back; a log has no bar in it."""
    desk.plan("set", "--to", NEW)
    assert "/2" not in desk.apply("--max", "1").err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)

    assert "1/1" in desk.apply().err
    assert "2/2" in desk.run("undo", "--last").err


def test_a_dry_run_changes_nothing(desk: Desk, both: libvirt.virConnect, path: str) -> None:
    """No journal either."""
    desk.plan("set", "--to", NEW)

    said = desk.apply("--dry-run")

    assert (said.code, "2 would be changed" in said.err) == (0, True)
    assert defined(both) == OLD
    assert not os.path.exists(os.path.join(os.path.dirname(path), journal.DIRECTORY))


def test_it_stops_after_so_many_failures(
    desk: Desk, catalog: Catalog, both: libvirt.virConnect
) -> None:
    """The guest after that isn't touched."""
    desk.plan("set", "--to", NEW)
    both.lookupByUUIDString(DB).create()

    said = desk.apply("--pause-after-errors", "1")

    assert said.code == 1
    assert "stopped after that many failures" in said.err
    assert defined(both) == OLD


def test_a_process_changes_no_further_guest_once_the_one_that_started_it_was_killed(
    desk: Desk, both: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it has looked at already; the same command goes on."""
    desk.plan("set", "--to", NEW)
    parents = iter([7, 7])  # before the batch it is still there
    with monkeypatch.context() as patch:
        patch.setattr(workers, "run", lambda application, _: application.run(0, 2))
        patch.setattr("mthook.operations.plans.applying.os.getppid", lambda: next(parents, 1))
        desk.apply("--parallel", "2")
    assert [defined(both, uuid) for uuid in (DB, WEB)] == [OLD, OLD]

    assert "2 changed" in desk.apply().err


class Killed(BaseException):
    """What ends a process."""


@pytest.mark.parametrize("step", ["make_known", "_write", "realign"])
def test_who_is_killed_half_way_goes_on(
    desk: Desk,
    catalog: Catalog,
    both: libvirt.virConnect,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """Before the pin was written, before the definition followed; and it is taken back as ever."""
    before = but_for_its_time(catalog, DB), whole(both, DB)
    desk.plan("set", "--to", NEW)

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        where = "mthook.host.realign" if step == "realign" else "mthook.operations.change"
        patch.setattr(importlib.import_module(where), step, kill)
        with pytest.raises(Killed):
            desk.apply()

    assert desk.apply().code == 0
    assert [defined(both, uuid) for uuid in (WEB, DB)] == [NEW, NEW]
    assert [one for one in events(catalog, DB) if one[0] == "changed"] == [("changed", OLD, NEW)]
    assert desk.run("undo", "--last").code == 0
    assert (but_for_its_time(catalog, DB), whole(both, DB)) == before


def test_a_guest_done_before_that_was_noted_isnt_done_again(
    desk: Desk, catalog: Catalog, both: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal ends in half a line, as after a full disk."""
    desk.plan("set", "--to", NEW)

    def kill(self: Journal, **_: object) -> None:
        os.write(self._descriptor, b'{"done": "3f2c')
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "note", kill)
        with pytest.raises(Killed):
            desk.apply()

    assert desk.apply().code == 0
    assert [one for one in events(catalog, DB) if one[0] == "changed"] == [("changed", OLD, NEW)]
    assert desk.run("undo", "--last").code == 0
    assert [defined(both, uuid) for uuid in (WEB, DB)] == [OLD, OLD]


def test_ctrl_c_ends_it_and_it_goes_on(
    desk: Desk, both: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest at work is finished; how to take back what was done is said."""
    desk.plan("set", "--to", NEW)
    write = Catalog.touch_defined

    def interrupted(self: Catalog, *about: str) -> None:
        write(self, *about)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "touch_defined", interrupted)
        said = desk.apply()

    assert (said.code, "mthook-admin undo" in said.err) == (130, True)
    assert sorted(defined(both, uuid) for uuid in (WEB, DB)) == [OLD, NEW]
    assert desk.apply().code == 0
    assert [defined(both, uuid) for uuid in (WEB, DB)] == [NEW, NEW]


def test_two_at_once_are_one_too_many(desk: Desk, both: libvirt.virConnect, path: str) -> None:
    """The second one says who is at it."""
    desk.plan("set", "--to", NEW)

    with journal.locked(path):
        for words in (["apply", str(desk.path)], ["undo", "--last"]):
            said = desk.run(*words)
            assert said.code == 1
            assert f"is running: PID {os.getpid()}" in said.err
    assert defined(both) == OLD


def _edit(text: str) -> str:
    return text.replace("pc-i440fx-7.2", "pc-i440fx-2.0")


BAD: dict[str, tuple[Callable[[str], str], str]] = {
    "edited": (_edit, "was edited"),
    "newer": (lambda text: text.replace("mthook-plan-1", "mthook-plan-2"), "mthook-plan-2"),
    "cut": (lambda text: text[: len(text) // 2], "isn't a whole plan"),
    "formatted": (lambda text: json.dumps(json.loads(text), indent=2), "don't reformat it"),
    "empty": (lambda text: "", "isn't a plan"),
    "another file": (lambda text: '{"format": "mthook-pin-1"}\n', "isn't a plan"),
    "deep": (lambda text: "[" * 100_000, "isn't a plan"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_plan_that_is_none_is_refused(desk: Desk, both: libvirt.virConnect, fault: str) -> None:
    """In one line that names the file; nothing is changed."""
    desk.plan("set", "--to", NEW)
    spoil, complaint = BAD[fault]
    desk.path.write_text(spoil(desk.path.read_text()))

    said = desk.apply()

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert str(desk.path) in said.err
    assert complaint in said.err
    assert defined(both) == OLD


def test_a_plan_that_isnt_there_is_said_to_be_missing(desk: Desk) -> None:
    """With its name."""
    said = desk.apply()

    assert said.code == 1
    assert said.err == f"mthook-admin: {desk.path}: No such file or directory\n"


def test_a_plan_from_a_pipe_is_refused(desk: Desk) -> None:
    """As from a shell's ``<(...)``: it is read once to be verified, and again for its guests."""
    os.mkfifo(desk.path)
    with subprocess.Popen(["sh", "-c", 'echo "{}" >"$0"', desk.path]):
        said = desk.apply()

    assert said.code == 1
    assert said.err == (
        f"mthook-admin: {desk.path} can't be read twice: save the plan to a file, and apply that\n"
    )


def test_another_hosts_plan_is_refused(desk: Desk, both: libvirt.virConnect, config: Path) -> None:
    """Its guests are there."""
    desk.plan("set", "--to", NEW)
    config.write_text(f"[DEFAULT]\nhost = elsewhere\n{config.read_text()}")

    said = desk.apply()

    assert (said.code, "it was made on" in said.err) == (1, True)
    assert defined(both) == OLD


def test_a_change_that_was_taken_back_isnt_applied_again(
    desk: Desk, both: libvirt.virConnect
) -> None:
    """Who wants that makes a new plan."""
    desk.plan("set", "--to", NEW)
    desk.apply()
    desk.run("undo", "--last")

    said = desk.apply()

    assert (said.code, "was taken back: make a new plan" in said.err) == (1, True)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(mount)], check=True
    )
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_full_disk_stops_it_and_it_goes_on_later(
    desk: Desk, both: libvirt.virConnect, path: str, full_disk: Path
) -> None:
    """One line; what was done is known."""
    changes = full_disk / journal.DIRECTORY
    changes.mkdir(mode=0o700)
    desk.plan("set", "--to", NEW)
    with journal.locked(path) as directory:
        subprocess.run(["mount", "--bind", str(changes), directory], check=True)
    try:
        with pytest.raises(OSError, match="No space left"):
            (full_disk / "filler").write_bytes(bytes(1 << 22))

        said = desk.apply()

        assert said.code == 1
        assert "No space left on device: nothing is lost" in said.err.splitlines()[-1]
        assert defined(both) == OLD
        (full_disk / "filler").unlink()
        assert desk.apply().code == 0
        assert defined(both) == NEW
    finally:
        subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["plan", "set", "--to", NEW, "--all-hosts"], "--all-hosts needs"),
        (["plan", "accept", "--state", "halted"], "no state 'halted'"),
        (["undo", "..passwd"], "no change is called"),
        (["undo", f"{'0' * 12}"], "no change is called"),
        (["undo", f"{'0' * 12}/web"], "is no UUID"),
        (["undo", "--last"], "no change is there"),
    ],
)
def test_what_cant_be_meant_is_refused(
    run: Run, catalog: Catalog, words: list[str], complaint: str
) -> None:
    """In one line, with the code of a wrong command line or of what isn't there."""
    said = run(*words)

    assert (said.code, said.out) == (2, "")
    assert complaint in said.err


def test_a_nova_instance_of_this_host_is_changed_there_first(
    desk: Desk,
    catalog: Catalog,
    domain: libvirt.virDomain,
    cloud: Cloud,
    driver: libvirt.virConnect,
) -> None:
    """Nova, pin and definition; all three come back."""
    catalog.see_guests([guest(nova=True)], now())
    cloud.add(WEB, machine=OLD)
    before = but_for_its_time(catalog), whole(driver)

    (one,) = desk.plan("set", "--to", NEW)["guests"]
    assert (one["kind"], one["host"], one["saw"]["nova"][0]) == ("nova", "here", OLD)
    assert desk.apply().code == 0
    assert (cloud.machine(WEB), defined(driver)) == (NEW, NEW)
    assert desk.run("undo", "--last").code == 0
    assert (cloud.machine(WEB), but_for_its_time(catalog), whole(driver)) == (OLD, *before)


def test_an_instance_that_moved_is_left_alone(
    desk: Desk, catalog: Catalog, domain: libvirt.virDomain, cloud: Cloud
) -> None:
    """It runs elsewhere now."""
    catalog.see_guests([guest(nova=True)], now())
    cloud.add(WEB, machine=OLD)
    desk.plan("set", "--to", NEW)
    cloud.add(WEB, machine=OLD, host="beta")

    said = desk.apply()

    assert (said.code, "it is on beta now" in said.err) == (1, True)
    assert cloud.machine(WEB) == OLD


def test_what_changes_nothing_offers_no_way_back(desk: Desk, both: libvirt.virConnect) -> None:
    """There is none: 'undo' would say so."""
    desk.plan("set", "--to", "pc-i440fx-2.0")

    assert desk.apply().err == "nothing to do\n"
