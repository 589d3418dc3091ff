# SPDX-License-Identifier: Apache-2.0
"""``accept``: what a guest is becomes its pin."""

from __future__ import annotations

import libvirt
import pytest

from mthook.catalog.store import Catalog
from mthook.text import now
from tests.programs import Said

from .cloud import Cloud
from .conftest import DB, WEB, Run, defined, events, guest, pin, xml


def test_a_running_guest_is_pinned_to_what_it_runs(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """Whatever the rules say of such a change: another family, older, not shut off."""
    driver.defineXML(xml("pc-q35-7.2")).create()
    driver.defineXML(xml("pc-i440fx-6.2"))

    said = run("accept", "web-1", "--reason", "it was converted by hand")

    assert (said.code, said.err.splitlines()[-1]) == (
        0,
        f"web-1 ({WEB}): pc-i440fx-6.2 → pc-q35-7.2",
    )
    assert "warning" not in said.err
    accepted = catalog.get_pin(WEB)
    assert accepted is not None
    assert (accepted.machine, accepted.seen, accepted.source) == (
        "pc-q35-7.2",
        "pc-q35-7.2",
        "operator",
    )
    assert catalog.history(WEB)[1].reason == "it was converted by hand"


def test_one_that_is_shut_off_is_pinned_to_what_it_is_defined_as(
    run: Run, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """Also to an older one that this QEMU deprecates, without a word about that."""
    driver.defineXML(xml("pc-i440fx-2.0"))

    assert run("accept", WEB) == Said(0, "", f"web-1 ({WEB}): pc-i440fx-6.2 → pc-i440fx-2.0\n")
    assert defined(driver) == "pc-i440fx-2.0"


def test_a_type_that_no_known_qemu_has_is_accepted(
    run: Run, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """It is there: nothing to check."""
    driver.defineXML(xml("pc-i440fx-4.2"))

    assert run("accept", "web-1").code == 0
    assert run("get", "web-1").out == "pc-i440fx-4.2\n"


def test_an_alias_is_accepted_as_what_it_stands_for(
    run: Run, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """The pin means the same after an upgrade of QEMU."""
    driver.defineXML(xml("pc"))

    run("accept", "web-1")

    assert run("get", "web-1").out == "pc-i440fx-7.2\n"


def test_what_is_pinned_so_already_is_a_success(run: Run, domain: libvirt.virDomain) -> None:
    """Nothing changes."""
    assert run("accept", "web-1") == Said(
        0, "", f"web-1 ({WEB}): already pinned to pc-i440fx-6.2\n"
    )


def test_a_dry_run_changes_nothing(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """It says what the pin would be."""
    driver.defineXML(xml("pc-q35-7.2"))

    assert run("accept", "--dry-run", "web-1") == Said(
        0, "", f"web-1 ({WEB}): would change pc-i440fx-6.2 → pc-q35-7.2\n"
    )
    assert len(events(catalog)) == 1


def test_several_are_accepted_one_by_one(
    run: Run, catalog: Catalog, domain: libvirt.virDomain, driver: libvirt.virConnect
) -> None:
    """One that libvirt hasn't, and of which nothing is known, keeps no other from it."""
    driver.defineXML(xml("pc-i440fx-7.2"))
    pin(catalog, DB, "q35")

    said = run("accept", DB, "web-1")

    assert said == Said(
        1,
        "",
        f"mthook-admin: {DB}: what it runs or is defined as isn't known: start it once\n"
        f"web-1 ({WEB}): pc-i440fx-6.2 → pc-i440fx-7.2\n",
    )


@pytest.fixture
def nova(cloud: Cloud, catalog: Catalog, driver: libvirt.virConnect) -> Cloud:
    """One of Nova's, which has q35 recorded and runs pc-i440fx-7.2."""
    catalog.see_guests([guest(nova=True)], now())
    pin(catalog, WEB, "q35")
    cloud.add(WEB, machine="q35", vm_state="active")
    driver.defineXML(xml("pc-i440fx-7.2")).create()
    return cloud


def test_nova_has_what_is_accepted_first(run: Run, nova: Cloud) -> None:
    """Though it runs, and is of another family."""
    said = run("accept", WEB)

    assert (said.code, said.err) == (0, f"web (web-1, {WEB}): q35 → pc-i440fx-7.2\n")
    assert (nova.machine(WEB), run("get", WEB).out) == ("pc-i440fx-7.2", "pc-i440fx-7.2\n")


def test_where_nova_has_that_the_pin_follows(run: Run, nova: Cloud, catalog: Catalog) -> None:
    """Only the two of this host differ."""
    nova.add(WEB, machine="pc-i440fx-7.2", vm_state="active")

    assert run("accept", WEB) == Said(0, "", f"web-1 ({WEB}): q35 → pc-i440fx-7.2\n")


def test_another_hosts_instance_is_not_known_well_enough(run: Run, nova: Cloud) -> None:
    """Only its own host knows what it runs."""
    nova.add(WEB, machine="q35", vm_state="active", host="beta")

    assert run("accept", WEB) == Said(
        1,
        "",
        f"mthook-admin: web ({WEB}): it is on beta, which alone knows what it runs\n",
    )
