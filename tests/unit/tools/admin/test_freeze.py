# SPDX-License-Identifier: Apache-2.0
"""``freeze``: in place of an alias, the versioned name that the guest really runs."""

from __future__ import annotations

import libvirt
import pytest

from mthook.catalog.records import Capability, Guest, HostFacts
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError
from mthook.operations import change
from mthook.text import now
from tests.programs import Said

from .conftest import DB, NOBODY, WEB, Run, defined, events, guest, pin, xml


@pytest.fixture
def aliased(catalog: Catalog) -> Catalog:
    """The guest is pinned to ``pc``; when that was recorded it ran pc-i440fx-2.0."""
    catalog.see_guests([guest()], now())
    pin(catalog, WEB, "pc", seen="pc-i440fx-2.0")
    return catalog


def test_a_running_guest_keeps_what_it_runs(
    run: Run, aliased: Catalog, driver: libvirt.virConnect
) -> None:
    """Its live XML counts, though it is defined as, and was seen with, something else."""
    driver.defineXML(xml("pc-i440fx-6.2")).create()
    driver.defineXML(xml("pc-i440fx-7.2"))

    said = run("freeze", "web-1")

    assert said == Said(0, "", f"web-1 ({WEB}): pc → pc-i440fx-6.2\n")
    frozen = aliased.get_pin(WEB)
    assert frozen is not None
    assert (frozen.machine, frozen.seen, frozen.reason) == (
        "pc-i440fx-6.2",
        "pc-i440fx-6.2",
        "frozen",
    )
    assert defined(driver) == "pc-i440fx-6.2"


def test_a_guest_that_is_shut_off_keeps_what_it_was_seen_with(
    run: Run, aliased: Catalog, driver: libvirt.virConnect
) -> None:
    """What it ran comes before what it is defined as, which follows."""
    driver.defineXML(xml("pc-i440fx-7.2"))

    assert run("freeze", WEB).err == f"web-1 ({WEB}): pc → pc-i440fx-2.0\n"
    assert defined(driver) == "pc-i440fx-2.0"


def test_a_guest_that_never_ran_keeps_what_it_is_defined_as(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """Nothing better is known."""
    driver.defineXML(xml("pc-i440fx-6.2"))
    pin(catalog, WEB, "pc")

    assert run("freeze", "web-1").err == f"web-1 ({WEB}): pc → pc-i440fx-6.2\n"


def test_all_means_every_alias_and_nothing_else(
    run: Run, aliased: Catalog, driver: libvirt.virConnect
) -> None:
    """A versioned pin and a released one are left alone, in silence."""
    driver.defineXML(xml("pc-i440fx-2.0"))
    pin(aliased, DB, "pc-q35-7.2")
    pin(aliased, NOBODY, "q35")
    aliased.unset_pin(NOBODY, actor="operator alice")

    assert run("freeze", "--all") == Said(0, "", f"web-1 ({WEB}): pc → pc-i440fx-2.0\n")
    assert run("freeze", "--all") == Said(0, "", "no instance is pinned to an alias\n")


@pytest.mark.parametrize("machine", ["isapc", "microvm"])
def test_a_machine_type_without_versions_is_no_alias(
    run: Run, aliased: Catalog, driver: libvirt.virConnect, machine: str
) -> None:
    """QEMU has it in one form: there is nothing to freeze, and nothing that --all would have to do."""
    offered = [Capability("", "x86_64", "test", name) for name in (machine, "pc-i440fx-2.0")]
    aliased.replace_capabilities(offered, HostFacts("here", "7.2.22", "9.0.0"))
    driver.defineXML(xml("pc-i440fx-2.0"))
    driver.defineXML(xml(machine, uuid=DB, name="db"))
    pin(aliased, DB, machine)

    assert run("freeze", "--all") == Said(0, "", f"web-1 ({WEB}): pc → pc-i440fx-2.0\n")
    assert run("freeze", "db") == Said(
        0, "", f"db ({DB}): {machine} has no versions, there is nothing to freeze\n"
    )


def test_all_leaves_alone_what_is_not_on_this_host(
    run: Run, aliased: Catalog, driver: libvirt.virConnect
) -> None:
    """Its pin is kept for a while; nothing here can be changed, and nothing is wrong."""
    pin(aliased, DB, "q35", seen="pc-q35-7.2")
    driver.defineXML(xml("pc-i440fx-2.0"))

    assert run("freeze", "--all") == Said(
        0,
        "",
        f"web-1 ({WEB}): pc → pc-i440fx-2.0\n{DB}: not on this host any more, left alone\n",
    )
    assert run("get", DB).out == "q35\n"


def test_one_that_cannot_be_frozen_does_not_keep_the_others_from_it(
    run: Run, aliased: Catalog, driver: libvirt.virConnect
) -> None:
    """Each is reported; the exit code is 2, for one doesn't exist."""
    driver.defineXML(xml("pc-i440fx-2.0"))
    pin(aliased, DB, "q35")

    said = run("freeze", NOBODY, DB, WEB)

    assert said == Said(
        2,
        "",
        f"mthook-admin: no instance has the UUID or name '{NOBODY}'\n"
        f"mthook-admin: {DB}: which version of q35 it runs isn't known: start it once\n"
        f"web-1 ({WEB}): pc → pc-i440fx-2.0\n",
    )


@pytest.mark.parametrize("which", ["web-1", "--all"])
def test_a_dry_run_freezes_nothing(
    run: Run, aliased: Catalog, driver: libvirt.virConnect, which: str
) -> None:
    """It says what the pin would be."""
    driver.defineXML(xml("pc-i440fx-7.2"))

    assert run("freeze", "--dry-run", which) == Said(
        0, "", f"web-1 ({WEB}): would change pc → pc-i440fx-2.0\n"
    )
    assert (run("get", WEB).out, defined(driver), len(events(aliased))) == (
        "pc\n",
        "pc-i440fx-7.2",
        1,
    )


def test_a_versioned_pin_is_frozen_already(
    run: Run, catalog: Catalog, web: Guest, driver: libvirt.virConnect
) -> None:
    """Asked for by name, it is a success that says so."""
    driver.defineXML(xml())

    said = run("freeze", "web-1")

    assert said == Said(0, "", f"web-1 ({WEB}): pc-i440fx-6.2 is a versioned name already\n")


def test_no_pin_cannot_be_frozen(run: Run, catalog: Catalog, driver: libvirt.virConnect) -> None:
    """There is nothing to freeze."""
    driver.defineXML(xml())

    assert run("freeze", "web-1") == Said(1, "", f"mthook-admin: web-1 ({WEB}): no pin\n")


def test_a_guest_that_runs_something_else_is_not_frozen_to_that(
    run: Run, aliased: Catalog, driver: libvirt.virConnect
) -> None:
    """Drift is for an operator to judge."""
    driver.defineXML(xml("pc-q35-7.2")).create()

    said = run("freeze", "web-1")

    assert said == Said(
        1, "", f"mthook-admin: web-1 ({WEB}): runs pc-q35-7.2, which its pin pc doesn't stand for\n"
    )
    assert len(events(aliased)) == 1


def test_a_definition_that_may_not_follow_keeps_the_pin(
    run: Run, aliased: Catalog, driver: libvirt.virConnect
) -> None:
    """With snapshots the definition is left alone, so the alias stays too."""
    domain = driver.defineXML(xml("pc-i440fx-7.2"))
    domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>")

    said = run("freeze", "web-1")

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "snapshot" in said.err
    assert run("get", "web-1").out == "pc\n"


def test_a_catalog_that_fails_ends_it(
    run: Run, aliased: Catalog, driver: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fail for every other instance, too."""
    driver.defineXML(xml("pc-i440fx-2.0"))

    def fail(*_: object) -> None:
        raise CatalogError("the catalog is on a full disk: make room there", "catalog.sqlite")

    monkeypatch.setattr(change, "apply", fail)

    said = run("freeze", WEB, WEB)

    assert said == Said(1, "", "mthook-admin: the catalog is on a full disk: make room there\n")


@pytest.mark.parametrize("arguments", [[], ["--all", WEB]])
def test_instances_or_all_and_not_both(run: Run, catalog: Catalog, arguments: list[str]) -> None:
    """Freezing everything must be asked for."""
    said = run("freeze", *arguments)

    assert (said.code, said.err.count("\n")) == (2, 1)
    assert said.err.endswith("; see 'mthook-admin freeze --help'\n")
