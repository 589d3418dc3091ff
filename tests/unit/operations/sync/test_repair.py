# SPDX-License-Identifier: Apache-2.0
"""Guests whose start was stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from mthook.catalog.records import Repair
from mthook.catalog.store import Catalog
from mthook.text import now
from mthook.xmlrewrite import summary
from tests.unit.host.fakes import (
    UUID,
    FakeDomain,
    domain_xml,
    failure,
)
from tests.unit.operations.sync.setting import Setting, repairs, wait_for_repair


@pytest.mark.parametrize(
    ("age", "nova", "restart", "started", "how"),
    [
        (60, False, True, 1, "started again"),
        (580, False, True, 1, "started again"),
        (620, False, True, 0, "not to be started any more"),
        (-3600, False, True, 0, "not to be started any more"),
        (60, False, False, 0, "not to be started any more"),
        (60, True, False, 0, "Nova starts it"),
    ],
)
def test_a_repair_mends_and_starts_again_what_is_waited_for(
    setting: Setting, age: float, nova: bool, restart: bool, started: int, how: str
) -> None:
    """A start that was stopped long ago, or one of Nova's, is mended but not started."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    setting.libvirt.domains = [domain]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")
    wait_for_repair(setting, age, nova, restart)
    (Path(setting.path).parent / "repair-wanted").touch()

    assert setting.sync("--only", "repair", "--start") == (0, "", "")
    assert (domain.started, len(setting.libvirt.defined)) == (started, 1)
    assert setting.events()[2:] == [
        ("realigned", "pc-i440fx-7.2", "pc-i440fx-6.2", None),
        ("repaired", "pc-i440fx-7.2", "pc-i440fx-6.2", how),
    ]
    assert not (Path(setting.path).parent / "repair-wanted").exists()
    assert repairs(setting) == []


@pytest.mark.parametrize("only", [(), ("--only", "repair")])
def test_what_runs_by_itself_mends_but_starts_nothing(
    setting: Setting, only: tuple[str, ...]
) -> None:
    """Whoever wanted the guest may have started it elsewhere; whoever asks for it by hand may know."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    setting.libvirt.domains = [domain]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")
    wait_for_repair(setting)

    assert setting.sync(*only) == (0, "", "")
    assert (domain.started, len(setting.libvirt.defined)) == (0, 1)
    assert [repair.uuid for repair in repairs(setting)] == [UUID]
    assert setting.sync("--only", "repair", "--start") == (0, "", "")
    assert domain.started == 1


def test_a_repair_starts_guests_where_that_is_asked_for_once_for_all(setting: Setting) -> None:
    """By the one that systemd runs after a stop; a periodic run starts none even so."""
    setting.configure("[repair]\nstart = true\n")
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    setting.libvirt.domains = [domain]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")
    wait_for_repair(setting)

    assert setting.sync() == (0, "", "")
    assert domain.started == 0
    assert setting.sync("--only", "repair") == (0, "", "")
    assert domain.started == 1


@pytest.mark.parametrize(
    "watching", ["[hook]\nmode = audit\n", "[hook]\nmode = off\n", "[sync]\nrealign = false\n"]
)
def test_who_only_watches_gets_nothing_mended(setting: Setting, watching: str) -> None:
    """Unless the repair is asked for."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    setting.libvirt.domains = [domain]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")
    wait_for_repair(setting)
    setting.configure(watching)

    assert setting.sync() == (0, "", "")
    assert (domain.started, setting.libvirt.defined) == (0, [])
    assert setting.sync("--only", "repair", "--start") == (0, "", "")
    assert (domain.started, len(setting.libvirt.defined)) == (1, 1)


def test_the_hook_may_have_taken_a_guest_off_the_list_when_it_started(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history has the repair all the same."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    setting.libvirt.domains = [domain]
    with setting.catalog():
        wait_for_repair(setting)

    def start() -> None:
        guest = summary.read(domain_xml("pc-i440fx-7.2").encode())
        with Catalog.open(setting.path) as catalog:
            catalog.record_running(guest, "pc-i440fx-7.2", now())

    monkeypatch.setattr(domain, "create", start)

    assert setting.sync("--only", "repair", "--start") == (0, "", "")
    assert setting.events()[-1][0] == "repaired"
    assert repairs(setting) == []


@pytest.mark.parametrize(
    ("domains", "how"),
    [([FakeDomain(running=domain_xml())], "it runs"), ([], "no such guest")],
)
def test_a_repair_that_nobody_needs_is_taken_off_the_list(
    setting: Setting, domains: list[FakeDomain], how: str
) -> None:
    """A guest that runs by now, or is gone."""
    with setting.catalog():
        wait_for_repair(setting)
    setting.libvirt.domains = domains

    assert setting.sync("--only", "repair", "--start") == (0, "", "")
    assert setting.events()[-1] == ("repaired", "pc-i440fx-7.2", "pc-i440fx-6.2", how)
    assert repairs(setting) == []


def test_a_start_stopped_during_a_repair_asks_for_another(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that asks for a repair is gone before the list is read, so that none is lost."""
    wanted = Path(setting.path).parent / "repair-wanted"
    read = Catalog.repairs
    there = []

    def stop_another(catalog: Catalog) -> list[Repair]:
        there.append(wanted.exists())
        found = read(catalog)
        wanted.touch()
        return found

    with setting.catalog():
        wanted.touch()
    monkeypatch.setattr(Catalog, "repairs", stop_another)

    assert setting.sync() == (0, "", "")
    assert (there[0], wanted.exists()) == (False, True)


def test_a_guest_without_a_pin_is_just_started_again(setting: Setting) -> None:
    """An operator who unset the pin since the stop wants the guest as it is defined."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    setting.libvirt.domains = [domain]
    with setting.catalog():
        wait_for_repair(setting)

    assert setting.sync("--only", "repair", "--start") == (0, "", "")
    assert (domain.started, setting.libvirt.defined) == (1, [])
    assert setting.guests()[UUID].state == "running"


def test_a_guest_that_does_not_start_stays_on_the_list(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says why; its definition is right by then, and the next run tries again."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    setting.libvirt.domains = [domain]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")
    wait_for_repair(setting)
    monkeypatch.setattr(domain, "create", lambda: (_ for _ in ()).throw(failure(1, "no memory")))

    assert setting.sync("--only", "repair", "--start") == (
        1,
        "",
        f"mthook-sync: web-1 ({UUID}): can't be started: no memory\n",
    )
    assert [repair.uuid for repair in repairs(setting)] == [UUID]


def test_a_guest_that_the_hook_stops_even_now_is_not_started_for_ever(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own attempt would ask for the next repair; an operator has to look."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    setting.libvirt.domains = [domain]
    with setting.catalog():
        wait_for_repair(setting)
    wanted = Path(setting.path).parent / "repair-wanted"

    def stopped_by_the_hook() -> None:
        wait_for_repair(setting, age=0)
        wanted.touch()
        raise failure(1, "the hook says no")

    monkeypatch.setattr(domain, "create", stopped_by_the_hook)

    assert setting.sync("--only", "repair", "--start")[0] == 1
    assert [repair.restart for repair in repairs(setting)] == [False]
    assert not wanted.exists()
    assert setting.sync("--only", "repair", "--start")[0] == 0
    assert repairs(setting) == []


def test_a_guest_that_cant_be_mended_stays_on_the_list_as_it_is(setting: Setting) -> None:
    """A saved image is left alone: in a repair that is an error, for the guest stays down."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"), saved=domain_xml("pc-i440fx-7.2"))
    setting.libvirt.domains = [domain]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")
    wait_for_repair(setting)

    assert setting.sync() == (
        1,
        "",
        (
            f"mthook-sync: web-1 ({UUID}): left alone: it has a managed-save image, which holds "
            "its own machine type\n"
        ),
    )
    assert (domain.started, setting.libvirt.defined) == (0, [])
    assert [repair.uuid for repair in repairs(setting)] == [UUID]
