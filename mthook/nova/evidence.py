# SPDX-License-Identifier: Apache-2.0
"""What Nova's database reveals about how an instance's machine type came to be recorded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from mthook import reconcile
from mthook.nova.instance import WORKING_STATES

#: Rows, oldest first, by key of the property, name of the action or type of the migration.
Rows = Mapping[str, "list[sa.engine.Row[Any]]"]

#: The actions that reveal something.
ACTION_NAMES = tuple(
    name
    for name in (*reconcile.OVERWRITING, *reconcile.FILLING_IN, *reconcile.TELLING)
    if name != reconcile.REFUSED
)
#: The migrations in which the new host makes a guest anew.
MOVES = ("migration", "resize", "evacuation")
#: A migration's ``status`` once the new host is done with it.
_ENDED = (
    "finished",
    "confirming",
    "confirmed",
    "reverting",
    "reverted",
    "done",
    "completed",
    "error",
    "failed",
)
#: What Nova writes about an action that failed.
_FAILED = "Error"


def refused(instance: sa.engine.Row[Any], image: str | None, actions: Rows) -> set[int]:
    """Return the rows of an instance's last rebuilds if they were refused before anything was done.

    The new image's properties are recorded by then. If the scheduler finds no host for them, nova-conductor restores
    the old image but not its properties (``rebuild_instance`` in nova/conductor/manager.py). A rebuild that fails
    later leaves the new image in both places.

    :param image: the one that the properties belong to.
    """
    found: set[int] = set()
    if not instance.image_ref or image in (None, instance.image_ref):
        return found
    for row in reversed(actions.get("rebuild", [])):
        if row.message != _FAILED:
            break
        found.add(row.id)
    return found


def author(
    instance: sa.engine.Row[Any],
    record: sa.engine.Row[Any],
    refusals: set[int],
    actions: Rows,
    moves: Rows,
) -> str:
    """Return who wrote an instance's machine type; see :func:`mthook.reconcile.author`."""
    last = max((rows[-1].id for rows in actions.values()), default=0)
    goes_on = instance.task_state in WORKING_STATES
    done = []
    for name, rows in actions.items():
        for row in rows:
            if row.start_time is not None:
                began, ended = seconds(row.start_time), seconds(row.updated_at or row.start_time)
                what = reconcile.REFUSED if row.id in refusals else name
                done.append((what, began, None if goes_on and row.id == last else ended))
    written = record.updated_at or record.created_at
    return reconcile.author(
        None if written is None else seconds(written),
        renewed=record.updated_at is not None,
        actions=done,
        moves=[
            (
                seconds(row.created_at),
                seconds(row.updated_at or row.created_at) if row.status in _ENDED else None,
            )
            for rows in moves.values()
            for row in rows
            if row.created_at is not None
        ],
    )


def seconds(stored: datetime) -> float:
    """Return a time from Nova, which is UTC without saying so, as seconds since the epoch."""
    return stored.replace(tzinfo=timezone.utc).timestamp()
