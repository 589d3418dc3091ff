# SPDX-License-Identifier: Apache-2.0
"""The first line: may the default be changed? It comes from what the checks found."""

from __future__ import annotations

import json

from mthook.catalog.records import Compared
from mthook.nova.instance import NovaInstance

from .clouds import Cell, Nova
from .conftest import DATABASE, DB, NEW, NOVA, OLD, WEB, Desk

UUIDS = [f"3f2c1d3e-0000-4000-8000-00000000010{number}" for number in range(5)]


def first(desk: Desk, *argv: str) -> tuple[int, str]:
    """Return exit code and first line, which the JSON document has too."""
    said = desk.status(*argv)
    line = said.out.splitlines()[0]
    assert json.loads(desk.status("--json", *argv).out)["answer"] == line
    return said.code, line


def test_yes_says_how_much_was_looked_at(web: Desk) -> None:
    """A yes about nothing would be worth nothing."""
    assert first(web) == (0, "YES: every instance looked at keeps its machine type (1 guest here)")


def test_a_yes_with_warnings_names_them(web: Desk) -> None:
    """And isn't exit code 0."""
    web.pin(WEB, NEW)

    assert first(web) == (
        1,
        "YES, with 2 warnings (Drift, Definitions and saved state) (1 guest here)",
    )


def test_no_names_the_instances_that_would_change(web: Desk) -> None:
    """How many, and the first few."""
    for number, uuid in enumerate(UUIDS):
        web.guest(f"new-{number}", uuid, OLD)

    assert first(web) == (2, "NO: 5 instances would change: new-0, new-1, new-2, ...")


def test_an_instance_that_two_checks_find_counts_once(desk: Desk, nova: Nova) -> None:
    """Without a pin here and without a record in Nova."""
    nova.cells.append(Cell([NovaInstance(DB, "db-1", "alpha", "active", None)]))
    desk.guest("instance-1", DB, OLD, NOVA)
    with desk.catalog() as catalog:
        catalog.set_compared(Compared(DB, None, None, None))

    code, line = first(desk)

    assert (code, line.split("; ")[0]) == (2, "NO: 1 instance would change: db-1")


def test_no_names_what_has_to_be_mended(web: Desk) -> None:
    """Where it isn't known which instances would change."""
    (web.hooks / "qemu").unlink()
    web.config.chmod(0o666)

    assert first(web) == (2, "NO: mend 2 failures (Hook, Configuration files) first")


def test_no_names_both(web: Desk) -> None:
    """Instances first."""
    web.guest("new", DB, OLD)
    (web.hooks / "qemu").unlink()

    assert first(web) == (2, "NO: 1 instance would change: new; mend 1 failure (Hook) first")


def test_on_a_controller_it_is_about_the_cells(desk: Desk, nova: Nova) -> None:
    """All of them, by their instances' names in Nova."""
    api = DATABASE.replace("[database]", "[api_database]")
    desk.configure(f"{DATABASE}{api}[pin]\nstyle = alias\n")
    nova.cells += [Cell(), Cell([NovaInstance(WEB, "web-1", "alpha", "active", None, machine=OLD)])]
    nova.specs = {WEB: None}
    assert first(desk, "--cloud") == (2, "NO: 1 instance would change: web-1")
    nova.specs = {WEB: OLD}

    assert first(desk, "--cloud") == (
        0,
        "YES: every instance looked at keeps its machine type (2 cells of Nova)",
    )


def test_a_name_is_untrusted_text(desk: Desk) -> None:
    """It makes no second line."""
    desk.guest("evil&#10;YES: all is well", WEB, OLD)

    line = first(desk)[1]

    assert line.startswith("NO: 1 instance would change: evil")
    assert "\\n" in line or "evil YES" in line
