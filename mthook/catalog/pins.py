# SPDX-License-Identifier: Apache-2.0
"""Pins and their history. A pin never changes without a history row in the same transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from mthook.catalog.records import Compared, HistoryEntry, Pin
from mthook.catalog.schema import (
    ARRIVALS,
    COMPARED,
    GUESTS,
    HISTORY,
    HOST,
    ORIGINALS,
    PINS,
    REPAIRS,
)
from mthook.catalog.session import Session
from mthook.errors import CatalogConflict
from mthook.text import now, printable

#: For ``expect``: whatever the pin is now.
ANY = object()
#: How many pins are read at once.
_BATCH = 1000


class Pins(Session):
    """The part of the catalog that keeps pins."""

    def get_pin(self, uuid: str) -> Pin | None:
        """Return an instance's row, which may be a released pin; None without one."""
        with self.reading() as connection:
            row = connection.execute(sa.select(PINS).where(PINS.c.uuid == uuid)).first()
        return Pin(**row._mapping) if row else None

    def pins(self) -> Iterator[Pin]:
        """Yield all rows by UUID, released ones too. The catalog may be changed meanwhile."""
        query = sa.select(PINS).order_by(PINS.c.uuid).limit(_BATCH)
        last = ""
        while True:
            with self.reading() as connection:
                rows = connection.execute(query.where(PINS.c.uuid > last)).all()
            if not rows:
                return
            yield from (Pin(**row._mapping) for row in rows)
            last = rows[-1].uuid

    def record_pin(self, pin: Pin) -> bool:
        """Record a pin where the instance has no row; return False where it has one: it stays."""
        with self.transaction() as connection:
            added = connection.execute(insert(PINS).values(**asdict(pin)).on_conflict_do_nothing())
            if not added.rowcount:
                return False
            self._note(pin, "pinned", None)
        return True

    def set_pin(
        self,
        uuid: str,
        machine: str,
        *,
        source: str,
        actor: str,
        reason: str | None = None,
        seen: str | None = None,
        expect: object = ANY,
    ) -> Pin:
        """Give an instance a pin, whatever it had. A pin that is just so already is not written.

        :param seen: the versioned name that it runs with; None keeps the one known where the pin
            stays the same.
        :param expect: the machine type its pin must have now, None: it must have none.
        :return: the pin it now has.
        :raises CatalogConflict: its pin is another than expected.
        """
        with self.transaction() as connection:
            old = self.get_pin(uuid)
            machine_now = old.machine if old else None
            if expect is not ANY and expect != machine_now:
                raise self._conflict(uuid, expect, machine_now)
            if seen is None and old and machine == machine_now:
                seen = old.seen
            if old and (old.machine, old.source, old.seen) == (machine, source, seen):
                return old
            at = now()
            host = connection.execute(
                sa.select(HOST.c.qemu_version, HOST.c.libvirt_version)
            ).first() or (None, None)
            pin = Pin(
                uuid=uuid,
                machine=machine,
                arch=old.arch if old else self._arch(uuid),
                source=source,
                actor=actor,
                created_at=old.created_at if old else at,
                updated_at=at,
                seen=seen,
                reason=reason,
                root_image=old.root_image if old else None,
                qemu_version=host[0],
                libvirt_version=host[1],
            )
            self._put(pin)
            self._call_off_repair(uuid)
            self._note(pin, "pinned" if machine_now is None else "changed", machine_now)
        return pin

    def unset_pin(self, uuid: str, *, actor: str, reason: str | None = None) -> bool:
        """Release a pin: the next boot records anew. Return False when there is none to release."""
        with self.transaction():
            old = self.get_pin(uuid)
            if old is None or old.machine is None:
                return False
            pin = replace(
                old, machine=None, seen=None, actor=actor, reason=reason, updated_at=now()
            )
            self._put(pin)
            self._call_off_repair(uuid)
            self._note(pin, "unset", old.machine)
        return True

    def forget(
        self, uuid: str, *, actor: str, reason: str | None, gone_since: str | None = None
    ) -> bool:
        """Remove all of an instance but its history; return False where there was no row.

        :param gone_since: only if the guest is gone since just then, and didn't come back.
        """
        with self.transaction() as connection:
            still = sa.select(GUESTS.c.gone_since).where(GUESTS.c.uuid == uuid)
            if gone_since is not None and connection.execute(still).scalar() != gone_since:
                return False
            old = self.get_pin(uuid)
            for table in (PINS, GUESTS, REPAIRS, ARRIVALS, COMPARED, ORIGINALS):
                connection.execute(sa.delete(table).where(table.c.uuid == uuid))
            if old is None:
                return False
            self.add_history(uuid, "pruned", actor=actor, old=old.machine, reason=reason)
        return True

    def merge_pin(self, pin: Pin, *, actor: str) -> str:
        """Take over a pin from elsewhere unless the one here is as new or newer.

        :param actor: what or who brings it; the pin itself keeps its own.
        :return: ``added``, ``changed`` or ``unchanged``.
        """
        with self.transaction():
            old = self.get_pin(pin.uuid)
            if old and old.updated_at >= pin.updated_at:
                return "unchanged"
            self._put(pin)
            machine = old.machine if old else None
            self.add_history(
                pin.uuid, "imported", actor=actor, old=machine, new=pin.machine, source="import"
            )
        return "changed" if old else "added"

    def add_history(
        self,
        uuid: str,
        event: str,
        *,
        actor: str,
        old: str | None = None,
        new: str | None = None,
        source: str | None = None,
        reason: str | None = None,
        at: str | None = None,
    ) -> None:
        """Add a history row; see :class:`HistoryEntry`. ``at`` None: now."""
        entry = HistoryEntry(uuid, at or now(), event, actor, old, new, source, reason)
        with self.transaction() as connection:
            connection.execute(sa.insert(HISTORY).values(**asdict(entry)))

    def history(self, uuid: str) -> list[HistoryEntry]:
        """Return what happened to an instance's pin, oldest first."""
        columns = [column for column in HISTORY.c if column is not HISTORY.c.id]
        query = sa.select(*columns).where(HISTORY.c.uuid == uuid).order_by(HISTORY.c.id)
        with self.reading() as connection:
            return [HistoryEntry(**row._mapping) for row in connection.execute(query)]

    def last_rewrite(self) -> str | None:
        """Return when the gate last rewrote a domain; None: never."""
        query = sa.select(sa.func.max(HISTORY.c.at)).where(HISTORY.c.event == "rewritten")
        with self.reading() as connection:
            at: str | None = connection.execute(query).scalar()
            return at

    def compared(self) -> dict[str, Compared]:
        """Return what Nova's database said when pins were last compared with it, by UUID."""
        with self.reading() as connection:
            rows = connection.execute(sa.select(COMPARED))
            return {row.uuid: Compared(**row._mapping) for row in rows}

    def set_compared(self, said: Compared) -> None:
        """Keep what Nova's database says of an instance; what is kept already is not written."""
        this = COMPARED.c.uuid == said.uuid
        values = asdict(said)
        with self.reading() as connection:
            row = connection.execute(sa.select(COMPARED).where(this)).first()
        if row is None or Compared(**row._mapping) != said:
            with self.transaction() as connection:
                connection.execute(
                    insert(COMPARED)
                    .values(**values)
                    .on_conflict_do_update([COMPARED.c.uuid], set_=values)
                )

    def _call_off_repair(self, uuid: str) -> None:
        """A repair was asked for by a pin that is no longer: what it would start nobody waits for."""
        with self.transaction() as connection:
            connection.execute(sa.delete(REPAIRS).where(REPAIRS.c.uuid == uuid))

    def _put(self, pin: Pin) -> None:
        values = asdict(pin)
        with self.transaction() as connection:
            connection.execute(
                insert(PINS).values(**values).on_conflict_do_update([PINS.c.uuid], set_=values)
            )

    def _note(self, pin: Pin, event: str, old: str | None) -> None:
        self.add_history(
            pin.uuid,
            event,
            actor=pin.actor,
            old=old,
            new=pin.machine,
            source=pin.source,
            reason=pin.reason,
            at=pin.updated_at,
        )

    def _arch(self, uuid: str) -> str:
        with self.reading() as connection:
            return (
                connection.execute(sa.select(GUESTS.c.arch).where(GUESTS.c.uuid == uuid)).scalar()
                or ""
            )

    def _conflict(self, uuid: str, expected: object, found: str | None) -> CatalogConflict:
        return CatalogConflict(
            f"the pin of {printable(uuid)} is {printable(found or 'unset')} now, not "
            f"{printable(expected or 'unset')}: somebody else changed it, look again",
            self.path,
        )
