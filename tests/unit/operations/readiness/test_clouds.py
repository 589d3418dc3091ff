# SPDX-License-Identifier: Apache-2.0
"""What is asked of Nova's databases on a controller: request specs, and entries that Nova ignores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mthook.nova.instance import NovaInstance

from .clouds import Cell, Nova
from .conftest import DATABASE, DB, NEW, NOVA, OLD, WEB, Answer, Desk

SPECS, DEFAULTS = "Request specs", "Nova's default machine types"
SPECS_ID = "request_specs"
API = DATABASE + DATABASE.replace("[database]", "[api_database]").replace("/nova\n", "/nova_api\n")
ONE = NovaInstance(WEB, "web-1", "alpha", "active", None, machine=OLD)
TWO = NovaInstance(DB, "db-1", "alpha", "stopped", None, machine=OLD)


@pytest.fixture
def controller(desk: Desk, nova: Nova) -> Desk:
    """A place with the API database."""
    desk.configure(API)
    return desk


def test_without_the_api_database_nobody_knows_what_a_cold_migration_brings(
    desk: Desk, nova: Nova
) -> None:
    """A warning that says who can look, as on every compute host; on a controller there is nobody else."""
    nova.cells.append(Cell([ONE]))

    (found,) = desk.findings(SPECS_ID)

    assert (found["kind"], found["severity"]) == ("no_api_database", "warning")
    assert found["remedy"] == "mthook-status upgrade check --cloud"
    assert desk.check(SPECS, "--cloud").code == 2


def test_a_gate_in_use_gives_what_arrives_its_pin(desk: Desk, nova: Nova) -> None:
    """In mode enforce; in audit it only watches."""
    nova.cells.append(Cell([ONE]))
    with desk.catalog() as catalog:
        catalog.add_history(WEB, "rewritten", actor="gate uid 42", old=NEW, new=OLD)

    assert desk.findings(SPECS_ID)[0]["kind"] == "gated"
    desk.configure(f"{DATABASE}[hook]\nmode = audit\n")
    assert desk.findings(SPECS_ID)[0]["severity"] == "warning"


def test_a_host_without_nova_has_no_request_specs(web: Desk) -> None:
    """Neither a database nor a guest of Nova's."""
    assert web.check(SPECS) == Answer(0, "This host has no guests of Nova.")


def test_a_guest_of_novas_makes_it_novas_host(web: Desk) -> None:
    """Though nothing is configured."""
    web.guest("db-1", DB, OLD, NOVA)

    assert web.check(SPECS).code == 1


def test_no_cell_at_all_is_a_failure(
    controller: Desk, nova: Nova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was looked at."""
    monkeypatch.setattr(nova, "all", lambda: [])

    for title in (SPECS, "Machine types recorded"):
        code, details = controller.check(title, "--cloud")
        assert (code, details) == (
            2,
            "Nova's API database names no cell that could have instances.",
        )


def test_specs_that_agree_are_well(controller: Desk, nova: Nova) -> None:
    """Those of instances without one too: nothing changes them."""
    nova.cells += [Cell([ONE]), Cell([TWO])]
    nova.specs = {WEB: OLD}

    assert controller.check(SPECS) == Answer(
        0, "Request specs in 2 cells of Nova match what is recorded."
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
        "The next cold migration or resize changes 1 instance: the request spec lacks the recorded"
        " machine type, or has another one. 'mthook-sync --cloud' on a controller writes it there;"
        " with -v it names those that it leaves alone, and why.",
    )
    (found,) = controller.findings("request_specs")
    facts = {"host": "alpha", "recorded": OLD, "request_spec": spec}
    assert found["subjects"] == [
        {"uuid": DB, "name": "db-1", "facts": facts, "display_name": "db-1"}
    ]
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
        0, "Request specs of the instances that Nova has on alpha match what is recorded."
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
        0, "Every instance in 1 cell of Nova has a recorded machine type."
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
        0, "[libvirt] hw_machine_type isn't set here: Nova takes its built-in default."
    )
