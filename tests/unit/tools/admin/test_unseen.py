# SPDX-License-Identifier: Apache-2.0
"""Guests that libvirt has and that no sync or hook has seen yet."""

from __future__ import annotations

import json

import libvirt
import pytest

from mthook.catalog.store import Catalog
from mthook.text import now
from tests.programs import Said

from .conftest import NOBODY, WEB, Run, events, guest, pin, xml


@pytest.fixture
def newbie(catalog: Catalog, driver: libvirt.virConnect) -> libvirt.virDomain:
    """A guest that was defined a moment ago."""
    return driver.defineXML(xml(name="newbie"))


def known(catalog: Catalog) -> list[tuple[str, str | None, str, bool]]:
    """Return name, definition and state of the guests that the catalog knows, and if still there."""
    return [(one.name, one.defined, one.state, one.gone_since is None) for one in catalog.guests()]


def test_what_is_set_is_known_by_name(
    run: Run, catalog: Catalog, newbie: libvirt.virDomain
) -> None:
    """Also when libvirt has forgotten it: its row keeps the name and what it is defined as."""
    assert run("set", "newbie", "pc-i440fx-7.2").code == 0
    assert known(catalog) == [("newbie", "pc-i440fx-7.2", "shut off", True)]

    newbie.undefine()

    assert run("history", "newbie", "-f", "value", "-c", "Event") == Said(
        0, "pinned\nrealigned\n", ""
    )


def test_what_is_unset_is_known_by_name(
    run: Run, catalog: Catalog, newbie: libvirt.virDomain
) -> None:
    """Its pin came by import, say."""
    pin(catalog, WEB, "pc-i440fx-6.2")

    assert run("unset", "newbie").code == 0
    assert known(catalog) == [("newbie", "pc-i440fx-6.2", "shut off", True)]


def test_what_is_frozen_is_known_by_name(
    run: Run, catalog: Catalog, newbie: libvirt.virDomain
) -> None:
    """The same."""
    pin(catalog, WEB, "pc")

    assert run("freeze", "--all").code == 0
    assert known(catalog) == [("newbie", "pc-i440fx-6.2", "shut off", True)]


@pytest.mark.parametrize("command", [["set", "--dry-run"], ["get"], ["history"]])
def test_who_only_looks_changes_nothing(
    run: Run, catalog: Catalog, newbie: libvirt.virDomain, command: list[str]
) -> None:
    """Not even what guests there are."""
    run(*command, "newbie", *(["pc-i440fx-7.2"] if command[0] == "set" else []))

    assert (known(catalog), events(catalog)) == ([], [])


def test_a_refused_change_leaves_no_trace(
    run: Run, catalog: Catalog, newbie: libvirt.virDomain
) -> None:
    """No guest, no history."""
    assert run("set", "newbie", "pc-i440fx-9.9").code == 5
    assert (known(catalog), events(catalog)) == ([], [])


def test_others_are_not_gone_for_it(run: Run, catalog: Catalog, newbie: libvirt.virDomain) -> None:
    """Only a sync looks at all of them."""
    catalog.see_guests([guest(NOBODY, "other")], "2026-11-22T13:00:00.000000Z")

    run("set", "newbie", "pc-i440fx-7.2")

    assert [row[0] for row in known(catalog) if row[3]] == ["newbie", "other"]


def test_its_history_is_empty(run: Run, catalog: Catalog, newbie: libvirt.virDomain) -> None:
    """It is there, so that is no error; libvirt knows its name."""
    assert run("history", "newbie", "-f", "json") == Said(0, "[]\n", "")


@pytest.mark.parametrize("text", [NOBODY, "nobody"])
def test_the_history_of_what_libvirt_does_not_know_either_is_code_2(
    run: Run, catalog: Catalog, driver: libvirt.virConnect, text: str
) -> None:
    """By UUID or name."""
    said = run("history", text)

    assert said == Said(2, "", f"mthook-admin: no instance has the UUID or name '{text}'\n")


def test_unset_lists_it_and_says_why_it_has_no_pin(
    run: Run, catalog: Catalog, newbie: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """With all that is known of a guest, by name among the others; one that was gone is back."""
    catalog.see_guests([guest(NOBODY, "zoe")], "2026-11-22T13:00:00.000000Z")
    catalog.see_guests([], "2026-11-22T13:00:01.000000Z")
    driver.defineXML(xml(uuid=NOBODY, name="zoe"))

    said = run("list", "--unset", "-f", "json", "-c", "Name", "-c", "State", "-c", "Defined")

    shut_off = {"state": "shut off", "defined": "pc-i440fx-6.2"}
    assert said.code == 3
    # libvirt's test driver brings a guest of its own, which lasts until some test removes it.
    names = sorted(domain.name() for domain in driver.listAllDomains())
    assert {"newbie", "zoe"} <= set(names)
    assert said.err == f"no sync has seen {', '.join(names)} yet\n"
    assert [row for row in json.loads(said.out) if row["name"] != "test"] == [
        {"name": "newbie", **shut_off},
        {"name": "zoe", **shut_off},
    ]


def test_only_unset_asks_libvirt(run: Run, catalog: Catalog, newbie: libvirt.virDomain) -> None:
    """Other lists are what the catalog knows."""
    assert run("list", "-f", "json") == Said(0, "[]\n", "")


@pytest.mark.needs(libvirt.getVersion() > 7_000_000, "a libvirt whose test driver has statistics")
def test_states_are_those_of_now(run: Run, catalog: Catalog, domain: libvirt.virDomain) -> None:
    """What the last sync saw run is shut off, saved or gone by now; what it runs no longer counts then."""
    catalog.see_guests([guest(running="pc-i440fx-7.2", state="running")], now())
    pin(catalog, WEB, "pc-i440fx-6.2")

    def shown() -> tuple[str, ...]:
        (row,) = json.loads(run("list", "-f", "json").out)
        return row["state"], row["running"], row["drift"]

    assert shown() == ("shut off", None, [])
    domain.create()
    assert shown() == ("running", "pc-i440fx-7.2", ["running"])
    domain.managedSave()
    assert shown() == ("saved", None, [])
    domain.managedSaveRemove()
    domain.undefine()
    assert shown() == ("gone", "pc-i440fx-7.2", [])


def test_without_libvirt_states_are_those_of_the_last_sync(
    run: Run, catalog: Catalog, unreachable: None
) -> None:
    """And the last line says so."""
    catalog.see_guests([guest(state="paused")], now())
    catalog.set_last_sync(now(), ok=True)

    code, out, err = run("list")

    assert (code, "paused" in out) == (0, True)
    assert (
        err
        == "1 instance, 1 unpinned; last sync 0 s ago, states as of then: libvirt can't be reached\n"
    )
