# SPDX-License-Identifier: Apache-2.0
"""What other hosts know of the guests of one: a guest that was moved by hand leaves its pin where it was."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from mthook.fleet.tables import GUESTS, HOSTS

#: What ``list`` calls the state of a pin whose guest has gone.
GONE = "gone"
#: How many UUIDs a query names.
_MANY = 500


@dataclass(frozen=True)
class Claim:
    """A guest as another host has it.

    :ivar host: that host's name, untrusted text.
    :ivar pushed_at: when that host wrote last, by the server's clock.
    """

    host: str
    uuid: str
    state: str
    running: str | None
    pin: str | None
    seen: str | None
    pinned_at: str | None
    pushed_at: str

    @property
    def present(self) -> bool:
        """Whether the guest is there."""
        return self.state != GONE


@dataclass(frozen=True)
class Before:
    """What a host wrote last.

    :ivar pushed_at: when, by the server's clock; '': never.
    :ivar running: the UUIDs of the guests that ran then.
    """

    pushed_at: str
    running: Collection[str]


def others(connection: sa.engine.Connection, key: str, uuids: Collection[str]) -> list[Claim]:
    """Return what hosts other than one know of guests, the latest pin first.

    :param key: of that host.
    """
    fields = ("uuid", "state", "running", "pin", "seen", "pinned_at")
    columns = [HOSTS.c.host, *(GUESTS.c[name] for name in fields), HOSTS.c.pushed_at]
    query = sa.select(*columns).join_from(GUESTS, HOSTS).where(GUESTS.c.host_id != key)
    found = [
        Claim(*row)
        for some in _batches(sorted(uuids))
        for row in connection.execute(query.where(GUESTS.c.uuid.in_(some)))
    ]
    return sorted(found, key=lambda one: one.pinned_at or "", reverse=True)


def before(connection: sa.engine.Connection, key: str) -> Before:
    """Return what a host wrote last."""
    at = connection.execute(sa.select(HOSTS.c.pushed_at).where(HOSTS.c.id == key)).scalar()
    running = (GUESTS.c.host_id == key) & GUESTS.c.running.is_not(None)
    found = connection.execute(sa.select(GUESTS.c.uuid).where(running)).scalars()
    return Before(at or "", frozenset(found))


def _batches(uuids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(uuids), _MANY):
        yield uuids[start : start + _MANY]
