# SPDX-License-Identifier: Apache-2.0
"""``unset``: the next start records a new pin."""

from __future__ import annotations

import libvirt
import pytest

from mthook.catalog.records import Guest
from mthook.catalog.store import Catalog
from tests.programs import Said

from .conftest import NOBODY, WEB, Run, events, xml


def test_a_pin_is_released_with_a_reason(
    run: Run, catalog: Catalog, web: Guest, driver: libvirt.virConnect
) -> None:
    """The row stays, without a machine type; the history says who and why."""
    driver.defineXML(xml())

    said = run("unset", "web-1", "--reason", "rebuilt by hand")

    assert said == Said(
        0, "", f"web-1 ({WEB}): pc-i440fx-6.2 → none, its next start records a new one\n"
    )
    last = catalog.history(WEB)[-1]
    assert (last.event, last.old, last.new, last.reason, last.actor) == (
        "unset",
        "pc-i440fx-6.2",
        None,
        "rebuilt by hand",
        "operator alice",
    )
    assert run("get", "web-1").code == 3


def test_no_pin_is_a_success_without_a_write(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """What is asked for is so already."""
    driver.defineXML(xml())

    assert run("unset", "web-1") == Said(0, "", f"web-1 ({WEB}): no pin\n")
    assert events(catalog) == []


def test_an_unknown_instance_is_code_2(
    run: Run, catalog: Catalog, driver: libvirt.virConnect
) -> None:
    """Neither the catalog nor libvirt knows it."""
    assert run("unset", NOBODY).code == 2


def test_a_running_guest_is_code_3(
    run: Run, catalog: Catalog, web: Guest, driver: libvirt.virConnect
) -> None:
    """Its machine type would be recorded again at once."""
    driver.defineXML(xml()).create()

    said = run("unset", "web-1")

    assert said == Said(
        3,
        "",
        f"mthook-admin: web-1 ({WEB}) is running: 'virsh shutdown web-1' first, or --allow running to release it"
        " all the same\n",
    )
    assert len(events(catalog)) == 1


def test_a_running_guest_can_be_forced(
    run: Run, catalog: Catalog, web: Guest, driver: libvirt.virConnect
) -> None:
    """With a warning."""
    driver.defineXML(xml()).create()

    said = run("unset", "--force", "web-1")

    assert said.code == 0
    assert said.err.startswith("mthook-admin: warning: the guest isn't shut off")
    assert run("get", "web-1").code == 3


@pytest.mark.usefixtures("unreachable")
def test_without_libvirt_it_takes_force(run: Run, catalog: Catalog, web: Guest) -> None:
    """The state is unknown: code 1 without, the catalog alone with it."""
    assert run("unset", "web-1").code == 1
    assert run("get", "web-1").code == 0

    assert run("unset", "--force", "web-1").code == 0
    assert run("get", "web-1").code == 3


def test_a_dry_run_releases_nothing(run: Run, catalog: Catalog, domain: libvirt.virDomain) -> None:
    """It says what would be, and refuses what would be refused."""
    assert run("unset", "--dry-run", "web-1") == Said(
        0,
        "",
        f"web-1 ({WEB}): would change pc-i440fx-6.2 → none, its next start records a new one\n",
    )
    assert run("get", "web-1").out == "pc-i440fx-6.2\n"
    domain.create()
    assert run("unset", "--dry-run", "web-1").code == 3
    assert run("unset", "--dry-run", "--allow", "running", "web-1").code == 0


def test_several_are_released(run: Run, catalog: Catalog, domain: libvirt.virDomain) -> None:
    """Those that are there."""
    said = run("unset", "nobody", "web-1")

    assert (said.code, run("get", "web-1").code) == (2, 3)
