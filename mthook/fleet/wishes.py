# SPDX-License-Identifier: Apache-2.0
"""Changes that an administrator asks of guests' hosts; each host sees to its own with its next sync."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from mthook.fleet.connection import Record
from mthook.fleet.rows import Wish
from mthook.fleet.tables import WISHES


def pending(record: Record, key: str) -> list[Wish]:
    """Return what a host hasn't seen to yet, the oldest first.

    :param key: of the host.
    """
    columns = [WISHES.c[name] for name in Wish.__annotations__]
    which = (WISHES.c.host_id == key) & WISHES.c.outcome.is_(None)
    query = sa.select(*columns).where(which).order_by(WISHES.c.made_at, WISHES.c.uuid)
    return record.transact(lambda connection: [Wish(*row) for row in connection.execute(query)])


def make(record: Record, wishes: Mapping[str, Wish]) -> None:
    """Ask hosts for changes of one guest, each in place of the one before; all of them or none.

    :param wishes: by the key of the host.
    """

    def work(connection: sa.engine.Connection) -> None:
        for key, wish in wishes.items():
            which = (WISHES.c.host_id == key) & (WISHES.c.uuid == wish.uuid)
            connection.execute(sa.delete(WISHES).where(which))
            connection.execute(sa.insert(WISHES), [{**vars(wish), "host_id": key}])

    record.transact(work)
