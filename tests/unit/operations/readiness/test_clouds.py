# SPDX-License-Identifier: Apache-2.0
"""What is asked of Nova's databases on a controller: request specs, and entries that Nova ignores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mthook.nova.instance import NovaInstance

from .clouds import Cell, Nova
from .conftest import DATABASE, DB, NEW, OLD, WEB, Answer, Desk

SPECS, DEFAULTS = "Request specs", "Nova's default machine types"
API = DATABASE + DATABASE.replace("[database]", "[api_database]").replace("/nova\n", "/nova_api\n")
ONE = NovaInstance(WEB, "web-1", "alpha", "active", None, machine=OLD)
TWO = NovaInstance(DB, "db-1", "alpha", "stopped", None, machine=OLD)


@pytest.fixture
def controller(desk: Desk, nova: Nova) -> Desk:
    """A place with the API database."""
    desk.configure(API)
    return desk


def test_without_the_api_database_there_are_none_to_look_at(desk: Desk, nova: Nova) -> None:
    """As on every compute host: that is no complaint."""
    nova.cells.append(Cell([ONE]))

    code, details = desk.check(SPECS)

    assert (code, "which isn't configured here" in details) == (0, True)


def test_specs_that_agree_are_well(controller: Desk, nova: Nova) -> None:
    """Those of instances without one too: nothing changes them."""
    nova.cells += [Cell([ONE]), Cell([TWO])]
    nova.specs = {WEB: OLD}

    assert controller.check(SPECS) == Answer(
        0, "In 2 cells of Nova's they have the machine types that are recorded."
    )


@pytest.mark.parametrize("spec", [None, NEW])
def test_what_the_next_cold_migration_changes_is_a_failure(
    controller: Desk, nova: Nova, spec: str | None
) -> None:
    """Whether the request spec lacks the record or contradicts it; each is told."""
    nova.cells.append(Cell([ONE, TWO]))
    nova.specs = {WEB: OLD, DB: spec}

    assert controller.check(SPECS) == Answer(
        2,
        "The next cold migration or resize changes 1 instance: the request spec lacks the machine"
        " type that is recorded, or has another one. mthook-sync --cloud, on a controller, writes it"
        " there.",
    )
    (found,) = controller.findings("request_specs")
    facts = {"host": "alpha", "recorded": OLD, "request_spec": spec}
    assert found["subjects"] == [{"uuid": DB, "name": "db-1", "facts": facts}]
    assert found["facts"] == {"cells": 1}


def test_specs_of_what_is_no_guest_do_not_count(controller: Desk, nova: Nova) -> None:
    """Ironic's instances have no machine type to lose."""
    nova.cells.append(Cell([replace(ONE, ironic=True)]))
    nova.specs = {WEB: None}

    assert controller.check(SPECS).code == 0


def test_specs_of_one_host_are_those_of_its_cells(controller: Desk, nova: Nova) -> None:
    """A host that isn't there is a failure."""
    nova.cells += [Cell([ONE], host="alpha"), Cell([TWO], host="beta")]
    nova.specs = {WEB: OLD, DB: None}

    assert controller.check(SPECS, "--host", "alpha") == Answer(
        0, "Those of the instances that Nova has on alpha have the machine types that are recorded."
    )
    assert controller.check(SPECS, "--host", "beta").code == 2
    assert controller.check(SPECS, "--host", "gamma") == Answer(
        2, "Nova has no compute host gamma."
    )


def test_a_cell_that_fails_is_named(controller: Desk, nova: Nova) -> None:
    """What the others have is told all the same."""
    nova.cells += [Cell(error="Nova's cell cell1: no luck"), Cell([TWO])]
    nova.specs = {DB: NEW}

    code, details = controller.check(SPECS)

    assert code == 2
    assert details.startswith("Nova's cell cell1: no luck. The next cold migration or resize")


def test_on_a_controller_nova_alone_is_looked_at(controller: Desk, nova: Nova) -> None:
    """There is no hook and no catalog, so that without this nothing could be well."""
    nova.cells.append(Cell([ONE]))
    nova.specs = {WEB: OLD}
    controller.configure(
        API.replace("[database]", "[catalog]\npath = /nonexistent/c\n[database]", 1)
    )

    said = controller.status("--cloud", "--json")

    assert said.code == 1  # what snapshots inherit, nova.conf has to tell
    assert '"machine_types_in_snapshots"' in said.out
    assert '"hook"' not in said.out
    assert controller.check("Machine types recorded", "--cloud") == Answer(
        0, "In 1 cell of Nova's every instance has one."
    )
    controller.configure(API + "[pin]\nstyle = alias\n")
    assert controller.status("--cloud").code == 0


@pytest.mark.parametrize("option", [("--cloud",), ("--host", "alpha")])
def test_without_a_database_there_is_nothing_to_ask(desk: Desk, option: tuple[str, ...]) -> None:
    """Both options are about Nova's."""
    said = desk.status(*option)

    assert (said.code, said.err) == (
        255,
        "mthook-status: --cloud and --host need [api_database] or [database] connection\n",
    )


@pytest.mark.parametrize(
    ("entries", "ignored"),
    [
        ("x86_64=q35,aarch64=virt-6.2", ""),
        (" x86_64=q35 , aarch64=virt", ""),
        ("x86_64 = q35", "x86_64 = q35"),
        ("q35", "q35"),
        ("x86_64=", "x86_64="),
        ("x86_64= q35", "x86_64= q35"),
        ("amd64=q35,X86_64=q35", "amd64=q35, X86_64=q35"),
        ("x86_64=q35,x86_64=pc", "x86_64=pc"),
        ("x86-64=q35,x86_64=pc", "x86-64=q35"),
    ],
)
def test_entries_that_nova_ignores_are_named(desk: Desk, entries: str, ignored: str) -> None:
    """It reads them literally, and says so in nova-compute's log at best."""
    desk.configure(f"hw_machine_type = {entries}\n")

    code, details = desk.check(DEFAULTS)

    assert (code, details.partition(": ")[0].startswith("Nova doesn't take")) == (
        (1, True) if ignored else (0, False)
    )
    assert f": {ignored}. It reads" in details or not ignored


def test_without_entries_nova_takes_its_own(desk: Desk) -> None:
    """Nothing is wrong with that."""
    assert desk.check(DEFAULTS) == Answer(
        0, "[libvirt] hw_machine_type isn't set here: Nova takes its own."
    )
