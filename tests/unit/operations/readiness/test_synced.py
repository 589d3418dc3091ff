# SPDX-License-Identifier: Apache-2.0
"""Whether mthook-sync ran a while ago and went well."""

from __future__ import annotations

import time

from mthook.catalog.store import Catalog
from mthook.text import now

from .conftest import Answer, Desk

TITLE = "Last sync"


def test_a_sync_a_moment_ago_is_well(desk: Desk) -> None:
    """When, to the second."""
    with desk.catalog() as catalog:
        at = now(time.time() - 3500)
        catalog.set_last_sync(at, ok=True)

    assert desk.check(TITLE) == Answer(
        0, f"The last mthook-sync ended at {at[:19]}Z, without errors."
    )


def test_a_sync_of_yore_is_a_warning(desk: Desk) -> None:
    """Somebody switched cron off."""
    with desk.catalog() as catalog:
        at = now(time.time() - 3700)
        catalog.set_last_sync(at, ok=True)

    assert desk.check(TITLE) == Answer(
        1,
        f"The last mthook-sync ended at {at[:19]}Z, more than an hour ago:"
        " look after its cron job or systemd timer.",
    )


def test_a_sync_with_errors_is_a_warning(desk: Desk) -> None:
    """It told them to cron."""
    with desk.catalog() as catalog:
        at = now()
        catalog.set_last_sync(at, ok=False)

    assert desk.check(TITLE) == Answer(
        1,
        f"The last mthook-sync ended at {at[:19]}Z with errors: 'mthook-sync -v' tells them.",
    )


def test_as_data_it_is_when_the_sync_ended(desk: Desk) -> None:
    """One finding for each fault, each with the command that shows more."""
    with desk.catalog() as catalog:
        catalog.set_last_sync("2026-01-01T00:00:00.000000Z", ok=False)

    found = desk.findings("last_sync")

    assert [(one["kind"], one["remedy"]) for one in found] == [
        ("too_old", None),
        ("had_errors", "mthook-sync -v"),
    ]
    assert [one["facts"] for one in found] == [{"ended_at": "2026-01-01T00:00:00.000000Z"}] * 2


def test_no_sync_at_all_is_a_failure(desk: Desk) -> None:
    """Guests that were there before the hook have no pin."""
    path = desk.config.with_name("other") / "catalog.sqlite"
    Catalog.open(str(path)).close()
    desk.configure(f"[catalog]\npath = {path}\n")

    assert desk.check(TITLE) == Answer(
        2,
        "No mthook-sync has run to its end on this host: run 'mthook-sync -v', then let cron or"
        " systemd run it every few minutes.",
    )
