# SPDX-License-Identifier: Apache-2.0
"""Whether a start of Nova's can be stopped that nothing would have put right."""

from __future__ import annotations

from .conftest import DATABASE, DB, NOVA, OLD, WEB, Answer, Desk

TITLE = "Stopped starts of Nova instances"


def test_a_host_without_nova_is_well(web: Desk) -> None:
    """A repair mends its guests."""
    assert web.check(TITLE) == Answer(0, "This host has no guests of Nova's.")


def test_nova_guests_without_a_database_are_a_warning(web: Desk) -> None:
    """A stopped start would leave them in ERROR."""
    web.guest("db-1", DB, OLD, NOVA)

    assert web.check(TITLE) == Answer(
        1,
        "Nova defines 1 guest (db-1) anew at each start and doesn't know their pins: a start that"
        " the hook stops leaves the instance in ERROR. Configure [database] connection, use the"
        " gate, or stay in [hook] mode = audit. The gate isn't in use.",
    )


def test_in_audit_nothing_is_stopped(desk: Desk) -> None:
    """As the warning advises."""
    desk.guest("web-1", WEB, OLD, NOVA)
    desk.configure("[hook]\nmode = audit\n")

    assert desk.check(TITLE) == Answer(
        0, "[hook] mode = audit: the hook stops no start. The gate isn't in use."
    )


def test_with_a_database_nova_knows_the_pins(desk: Desk) -> None:
    """It defines its guests by them."""
    desk.guest("web-1", WEB, OLD, NOVA)
    desk.configure(DATABASE)

    assert desk.check(TITLE) == Answer(
        0,
        "mthook-sync writes the pins to Nova's database: Nova defines its guests by them."
        " The gate isn't in use.",
    )


def test_a_database_that_gets_no_pins_is_none(desk: Desk) -> None:
    """The same warning with another remedy."""
    desk.guest("web-1", WEB, OLD, NOVA)
    desk.configure(f"{DATABASE}[sync]\nwrite_back = false\n")

    assert desk.check(TITLE) == Answer(
        1,
        "Nova doesn't get the pins of 1 guest (web-1): a start that the hook stops leaves the"
        " instance in ERROR. Set [sync] write_back = true, use the gate, or stay in [hook] mode = audit."
        " The gate isn't in use.",
    )
