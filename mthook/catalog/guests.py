# SPDX-License-Identifier: Apache-2.0
"""Guests as last seen on this host, and those that wait for a repair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from mthook.catalog.pins import Pins
from mthook.catalog.records import Guest, Repair
from mthook.catalog.schema import GUESTS, REPAIRS

_INSERT = insert(GUESTS)
#: Keeps a guest as it was seen, unless somebody has seen it later.
_UPSERT = _INSERT.on_conflict_do_update(
    [GUESTS.c.uuid],
    set_={one.name: _INSERT.excluded[one.name] for one in GUESTS.c if not one.primary_key},
    where=GUESTS.c.seen_at <= _INSERT.excluded.seen_at,
)


class Guests(Pins):
    """The part of the catalog about guests."""

    def see_guests(self, guests: Iterable[Guest], at: str) -> None:
        """Keep all guests of this host as they are now; those not among them are gone since then.

        What a hook has recorded since stays: the guest has just been started.

        :param guests: all guests there are.
        :param at: when listing them began.
        """
        rows = [asdict(replace(guest, seen_at=at, gone_since=None)) for guest in guests]
        gone = sa.and_(GUESTS.c.seen_at < at, GUESTS.c.gone_since.is_(None))
        with self.transaction() as connection:
            if rows:
                connection.execute(_UPSERT, rows)
            connection.execute(sa.update(GUESTS).where(gone).values(gone_since=at, running=None))

    def see_guest(self, guest: Guest, at: str) -> None:
        """Keep one guest as it is now; of the others nothing is known. As in :meth:`see_guests`.

        :param at: when looking at it began.
        """
        with self.transaction() as connection:
            connection.execute(_UPSERT, asdict(replace(guest, seen_at=at, gone_since=None)))

    def touch_defined(self, uuid: str, machine: str) -> None:
        """Keep the machine type that a guest's definition was just given."""
        with self.transaction() as connection:
            this = sa.update(GUESTS).where(GUESTS.c.uuid == uuid)
            connection.execute(this.values(defined=machine))

    def guests(self) -> list[Guest]:
        """Return all guests by name, those that are gone too."""
        with self.reading() as connection:
            rows = connection.execute(sa.select(GUESTS).order_by(GUESTS.c.name, GUESTS.c.uuid))
            return [Guest(**row._mapping) for row in rows]

    def find(self, name_or_uuid: str) -> list[Guest]:
        """Return the guests of that UUID or name; present ones first: names are used again."""
        wanted = sa.or_(GUESTS.c.uuid == name_or_uuid.lower(), GUESTS.c.name == name_or_uuid)
        query = (
            sa.select(GUESTS).where(wanted).order_by(GUESTS.c.gone_since.isnot(None), GUESTS.c.uuid)
        )
        with self.reading() as connection:
            return [Guest(**row._mapping) for row in connection.execute(query)]

    def repairs(self) -> list[Repair]:
        """Return the guests that wait for a repair, those that wait longest first."""
        query = sa.select(REPAIRS).order_by(REPAIRS.c.at, REPAIRS.c.uuid)
        with self.reading() as connection:
            return [Repair(**row._mapping) for row in connection.execute(query)]

    def leave_stopped(self, repair: Repair) -> None:
        """Don't start a guest again whose start was stopped once more since this repair."""
        again = sa.and_(REPAIRS.c.uuid == repair.uuid, REPAIRS.c.at > repair.at)
        with self.transaction() as connection:
            connection.execute(sa.update(REPAIRS).where(again).values(restart=False))

    def finish_repair(self, uuid: str, *, event: str, reason: str | None, actor: str) -> bool:
        """Take a guest off the repairs and say in its history how that ended.

        :return: False when it is not there.
        """
        with self.transaction() as connection:
            row = connection.execute(sa.select(REPAIRS).where(REPAIRS.c.uuid == uuid)).first()
            if row is None:
                return False
            connection.execute(sa.delete(REPAIRS).where(REPAIRS.c.uuid == uuid))
            self.add_history(uuid, event, actor=actor, old=row.found, new=row.pin, reason=reason)
        return True
