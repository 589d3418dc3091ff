# SPDX-License-Identifier: Apache-2.0
"""``undo`` after ``set``, ``accept``, ``unset`` and ``freeze``, which are taken back like a plan."""

from __future__ import annotations

import importlib
import json
import subprocess
from pathlib import Path
from typing import Any

import libvirt
import pytest

from mthook.catalog.store import Catalog
from mthook.errors import HostError
from mthook.operations.plans import journal
from mthook.operations.plans.journal import Journal
from mthook.text import now

from .cloud import Cloud
from .conftest import DB, WEB, Run, defined, guest, pin, xml
from .test_plans import NEW, OLD, but_for_its_time, whole

Q35 = "pc-q35-7.2"
CHANGES: dict[str, tuple[str, ...]] = {
    "version": ("set", "web-1", NEW, "--reason", "QEMU 12"),
    "family": ("set", "web-1", Q35, "--allow", "family"),
    "accept": ("accept", "web-1"),
    "unset": ("unset", "web-1"),
    "freeze": ("freeze", "web-1"),
}


def last_change(run: Run) -> str:
    """Return what the history calls the last change of web-1."""
    return str(json.loads(run("history", WEB, "-f", "json").out)[-1]["change"])


@pytest.mark.parametrize("what", CHANGES)
def test_one_change_is_taken_back(
    run: Run, catalog: Catalog, both: libvirt.virConnect, what: str
) -> None:
    """By the name that the history gives it: all of the pin's row, and the definition with its password."""
    if what == "accept":
        both.defineXML(xml(NEW))
    if what == "freeze":
        pin(catalog, WEB, "pc", seen=OLD)
    before = but_for_its_time(catalog), whole(both)

    assert run(*CHANGES[what]).code == 0
    after = catalog.get_pin(WEB), whole(both), catalog.history(WEB)
    foreseen = run("undo", "--last", "--dry-run")
    assert (foreseen.code, "would change" in foreseen.err) == (0, True), foreseen.err
    assert (catalog.get_pin(WEB), whole(both), catalog.history(WEB)) == after
    said = run("undo", last_change(run))

    assert (said.code, "1 put back" in said.err) == (0, True), said.err
    assert (but_for_its_time(catalog), whole(both)) == before
    assert run("undo", "--last").code == 2


def test_a_definition_that_was_brought_to_its_pin_is_as_it_was(
    run: Run, catalog: Catalog, both: libvirt.virConnect
) -> None:
    """And so is the pin, which has become the operator's."""
    both.defineXML(xml(NEW))
    before = but_for_its_time(catalog), whole(both)

    assert run("set", "web-1", OLD).code == 0
    assert defined(both) == OLD
    said = run("undo", "--last")

    assert (said.code, f"{OLD} → {NEW}" in said.err) == (0, True), said.err
    assert (but_for_its_time(catalog), whole(both)) == before


@pytest.mark.usefixtures("both")
def test_what_fails_at_once_isnt_called_nothing_to_do(
    run: Run, request: pytest.FixtureRequest
) -> None:
    """libvirt is down: the change waits, and only the error is told of it."""
    assert run("set", "web-1", NEW).code == 0
    change = last_change(run)
    request.getfixturevalue("unreachable")

    said = run("undo", change)

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "can't be reached" in said.err


def test_what_a_command_does_to_several_guests_is_one_change(
    run: Run, both: libvirt.virConnect
) -> None:
    """One of them can be taken back alone, the others later."""
    assert run("set", "web-1", "db-1", NEW).code == 0
    change = last_change(run)

    assert run("undo", f"{change}/{DB}").code == 0
    assert [defined(both, uuid) for uuid in (WEB, DB)] == [NEW, OLD]
    assert run("undo", "--last").code == 0
    assert defined(both) == OLD


def test_the_last_change_comes_first(run: Run, catalog: Catalog, both: libvirt.virConnect) -> None:
    """It is said which one that is; the one before follows."""
    run("set", "web-1", NEW)
    run("unset", "web-1")

    said = run("undo", "--last")
    assert ": unset by operator alice" in said.err.splitlines()[0]
    assert run("get", "web-1").out == f"{NEW}\n"
    said = run("undo", "--last")
    assert ": set by operator alice" in said.err.splitlines()[0]
    assert run("get", "web-1").out == f"{OLD}\n"


def test_a_dry_run_and_what_is_so_already_are_no_change(
    run: Run, both: libvirt.virConnect, path: str
) -> None:
    """Nothing is written beside the catalog."""
    run("set", "web-1", NEW, "--dry-run")
    run("set", "web-1", OLD)
    run("unset", "web-1", "--dry-run")
    run("freeze", "web-1")

    assert not Path(path).with_name(journal.DIRECTORY).exists()


def test_what_was_changed_since_stays(run: Run, catalog: Catalog, both: libvirt.virConnect) -> None:
    """By a later command; that one first, and then it goes."""
    run("set", "web-1", NEW)
    first = last_change(run)
    run("set", "web-1", "pc-i440fx-2.0", "--force")

    said = run("undo", first)
    assert (said.code, "left alone: changed since: its pin" in said.err) == (1, True)
    assert defined(both) == "pc-i440fx-2.0"
    assert run("undo", "--last").code == 0
    assert run("undo", first).code == 0
    assert defined(both) == OLD


class Killed(BaseException):
    """What ends a process."""


@pytest.mark.parametrize("step", ["make_known", "_write", "realign", "note"])
def test_what_was_killed_half_way_is_taken_back(
    run: Run,
    catalog: Catalog,
    both: libvirt.virConnect,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """Before the pin was written, before the definition followed, before that was noted."""
    before = but_for_its_time(catalog), whole(both)
    place = {"realign": "mthook.host.realign", "note": "mthook.operations.plans.journal"}
    module: Any = importlib.import_module(place.get(step, "mthook.operations.change"))

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module.Journal if step == "note" else module, step, kill)
        with pytest.raises(Killed):
            run("set", "web-1", NEW)

    said = run("undo", "--last")
    assert (but_for_its_time(catalog), whole(both)) == before
    # Before the pin was written there was nothing to take back, and no change before that.
    assert said.code == (0 if step in ("realign", "note") else 2)


def test_the_last_change_is_the_last_that_changed_anything(
    run: Run, both: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that libvirt refused is passed over."""
    run("set", "web-1", NEW)

    def refuse(*_: object, **__: object) -> None:
        raise HostError("libvirt: no")

    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("mthook.host.realign"), "realign", refuse)
        assert run("set", "db-1", NEW).code == 1

    assert run("undo", "--last").code == 0
    assert [defined(both, uuid) for uuid in (WEB, DB)] == [OLD, OLD]


def test_a_change_that_is_still_being_made_isnt_taken_back(
    run: Run, both: libvirt.virConnect, path: str
) -> None:
    """Its own command has the journal."""
    run("set", "web-1", NEW)
    change = last_change(run)
    directory = journal.directory(path)

    with Journal(journal.path_of(directory, change), held=True):
        said = run("undo", "--last")

    assert (said.code, f"change {change} is still being made" in said.err) == (1, True)
    assert defined(both) == NEW


def test_where_it_cant_be_noted_the_change_is_made_and_that_is_said(
    run: Run, both: libvirt.virConnect, path: str
) -> None:
    """A full disk: one warning a guest, which says why; what is noted later on is whole."""
    directory = journal.directory(path)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k,mode=0700", "tmpfs", directory], check=True
    )
    try:
        (Path(directory) / "filler").write_bytes(bytes(4096))
        said = run("set", "web-1", "db-1", NEW)
    finally:
        subprocess.run(["umount", directory], check=True)

    assert said.code == 0
    assert said.err.count("'mthook-admin undo' can't take this back") == 2
    assert "No space left on device" in said.err
    assert [defined(both, uuid) for uuid in (WEB, DB)] == [NEW, NEW]


@pytest.mark.parametrize("words", [("set", "web-1", NEW), ("unset", "web-1")])
def test_a_nova_instance_is_as_it_was_on_both_sides(
    run: Run,
    catalog: Catalog,
    domain: libvirt.virDomain,
    driver: libvirt.virConnect,
    cloud: Cloud,
    words: tuple[str, ...],
) -> None:
    """Nova, pin and definition."""
    catalog.see_guests([guest(nova=True)], now())
    cloud.add(WEB, machine=OLD)
    before = but_for_its_time(catalog), whole(driver)

    assert run(*words).code == 0
    assert cloud.machine(WEB) != OLD
    assert run("undo", last_change(run)).code == 0

    assert cloud.machine(WEB) == OLD
    assert (but_for_its_time(catalog), whole(driver)) == before


def test_a_definition_isnt_left_behind_where_libvirt_cant_be_asked(
    run: Run,
    catalog: Catalog,
    domain: libvirt.virDomain,
    driver: libvirt.virConnect,
    cloud: Cloud,
    config: Path,
) -> None:
    """Nor where definitions may no longer follow: nothing is put back until both can be."""
    catalog.see_guests([guest(nova=True)], now())
    cloud.add(WEB, machine=OLD)
    assert run("set", "web-1", NEW).code == 0
    works = config.read_text()

    for fault, why in (
        (works.replace("test:///default", "test:///nonexistent"), "nonexistent"),
        (f"{works}[sync]\nrealign = false\n", "realign = false: its definition stays"),
    ):
        config.write_text(fault)
        said = run("undo", "--last")
        assert (said.code, why in said.err) == (1, True), said.err
        assert cloud.machine(WEB) == NEW

    config.write_text(works)
    assert run("undo", "--last").code == 0
    assert (cloud.machine(WEB), defined(driver)) == (OLD, OLD)


def test_a_shelved_image_is_told_of(run: Run, catalog: Catalog, cloud: Cloud) -> None:
    """Unshelving takes its machine type from there, which neither command has changed."""
    cloud.add(WEB, machine=OLD, vm_state="shelved_offloaded", host=None, shelved_image="1f0c")
    assert run("set", WEB, NEW).code == 0

    said = run("undo", "--last")

    assert (said.code, cloud.machine(WEB)) == (0, OLD)
    assert "1f0c" in said.err
    assert f"hw_machine_type={OLD}" in said.err
