# SPDX-License-Identifier: Apache-2.0
"""Whether mthook-sync ran a while ago and went well."""

from __future__ import annotations

import json
import time

from mthook.catalog.store import Catalog
from mthook.errors import Error
from mthook.operations.acts import Failure
from mthook.operations.sync.reported import for_catalog
from mthook.text import now

from .conftest import WEB, Answer, Desk

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
        " check its cron job or systemd timer; 'mthook-admin doctor' looks for them.",
    )


def met(desk: Desk, *failures: Failure) -> str:
    """Let the last sync have met errors; return when."""
    with desk.catalog() as catalog:
        text = for_catalog(failures)
        catalog.set_sync_errors(text)
    return str(json.loads(text or "")["at"])


def test_the_errors_of_the_last_sync_are_told(desk: Desk) -> None:
    """It told them to cron, once."""
    many = [Failure(Error("no luck"), WEB, f"web-{number}") for number in range(30)]
    at = met(desk, Failure(Error("Nova's database: no luck")), *many)

    assert desk.check(TITLE) == Answer(
        1,
        f"The mthook-sync at {at[:19]}Z met 31 errors, which 'mthook-sync -v' tells in full:"
        f" Nova's database: no luck; web-0 ({WEB}): no luck; web-1 ({WEB}): no luck; and more.",
    )


def test_as_data_errors_have_their_guests(desk: Desk) -> None:
    """One finding for each fault, each with the command that shows more."""
    with desk.catalog() as catalog:
        catalog.set_last_sync("2026-01-01T00:00:00.000000Z", ok=False)
    at = met(desk, Failure(Error("no database")), Failure(Error("no luck"), WEB, "web-1"))

    old, errors = desk.findings("last_sync")

    assert (old["kind"], old["facts"]) == ("too_old", {"ended_at": "2026-01-01T00:00:00.000000Z"})
    message = f"web-1 ({WEB}): no luck"
    assert errors == {
        "kind": "had_errors",
        "severity": "warning",
        "subjects": [
            {"uuid": WEB, "name": "web-1", "facts": {"message": message}, "display_name": None}
        ],
        "facts": {"failed_at": at, "number": 2, "messages": ["no database", message]},
        "remedy": "mthook-sync -v",
    }


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
