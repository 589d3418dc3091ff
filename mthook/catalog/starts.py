# SPDX-License-Identifier: Apache-2.0
"""What happens to guests: their history, and what the hook finds out when they start.

``at`` is UTC text as :func:`mthook.text.now` makes it; ``guest`` is a summary of a domain's XML.
"""

from __future__ import annotations

from mthook.catalog.rows import Rows
from mthook.text import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mthook.catalog.records import EventCount, HistoryEntry, Repair
    from mthook.xmlrewrite.summary import Summary

#: The actor that the history names for everything recorded here.
HOOK = "hook"
#: What a domain's XML says about a guest.
_FACTS = ("uuid", "name", "arch", "virt_type", "emulator", "nova", "windows")


class Starts(Rows):
    """The part of the catalog for guest starts, the repairs of stopped ones, and the history.

    :ivar change: what ``mthook-admin undo`` calls the change that is being made; None: none that it takes back.
    """

    change: str | None = None

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
        """Add a history row; see :class:`.HistoryEntry`. ``at`` None: now."""
        what = {"event": event, "old": old, "new": new, "source": source, "reason": reason}
        row = {"uuid": uuid, "at": at or now(), "actor": actor, "change": self.change, **what}
        self._add("history", row)

    def history(self, uuid: str | None = None, since: str = "") -> list[HistoryEntry]:
        """Return what happened to an instance's pin since a moment, oldest first; ``None``: to all of them."""
        from mthook.catalog.records import HistoryEntry

        which = "at >= ?1" if uuid is None else "at >= ?1 AND uuid = ?2"
        values = (since,) if uuid is None else (since, uuid)
        rows = self._rows(f"SELECT * FROM history WHERE {which} ORDER BY id", *values)
        return [HistoryEntry(**row) for row in rows]

    def history_after(self, number: int, at: str, most: int) -> list[dict[str, Any]]:
        """Return the rows after one, oldest first, each with its ``number``.

        :param number: of that row, and ``at`` its time. Where another row has that number by now, as in a catalog that
            was made anew, the later ones count; 0: all.
        :param most: how many.
        """
        same = number == 0 or self._value("SELECT at FROM history WHERE id = ?", number) == at
        which = "id > ?1" if same else "at > ?2"
        query = f"SELECT id AS number, * FROM history WHERE {which} ORDER BY id LIMIT ?3"
        return self._rows(query, number, at, most)

    def event_counts(self) -> list[EventCount]:
        """Count all events ever, by kind; history rows are never removed, so no count falls."""
        from mthook.catalog.records import EventCount

        query = """
            SELECT event, actor = ? AS by_hook, count(*) AS number, max(at) AS last_at,
                CASE WHEN event IN ('stopped', 'drift') THEN reason END AS operation
            FROM history GROUP BY event, by_hook, operation
        """
        return [EventCount(**row) for row in self._rows(query, HOOK)]

    def last_rewrite(self) -> str | None:
        """Return when the gate last rewrote a domain; None: never."""
        at: str | None = self._value("SELECT max(at) FROM history WHERE event = 'rewritten'")
        return at

    def last_call(self) -> str | None:
        """Return when the hook last wrote to a guest's history; None: never."""
        at: str | None = self._value("SELECT max(at) FROM history WHERE actor = ?", HOOK)
        return at

    def record_running(self, guest: Summary, found: str, at: str) -> None:
        """Record what a guest runs with; write only what is new.

        A running guest no longer waits for a repair; an image that its pin doesn't know yet is added.
        """
        if self.is_run_new(guest, found):
            self._see_running(guest, found, at)

    def is_run_new(self, guest: Summary, found: str) -> bool:
        """Tell whether :meth:`record_running` has anything to write."""
        news = """
            SELECT 1 FROM repairs WHERE uuid = ?1
            UNION ALL SELECT 1 FROM pins WHERE uuid = ?1 AND root_image IS NULL AND ?2 NOT NULL
        """
        seen = self._is_seen_running(guest, found)
        return not seen or self._value(news, guest.uuid, guest.root_image) is not None

    def record_drift(self, guest: Summary, pin: str, found: str, operation: str, at: str) -> None:
        """Record that a guest runs unlike its pin; the same twice in a row is recorded once."""
        if not self.is_drift_new(guest, pin, found):
            return
        with self.transaction():
            self._see_running(guest, found, at)
            if not self._is_known_drift(guest, pin, found):
                self._note(guest, "drift", pin, found, operation, at)

    def is_drift_new(self, guest: Summary, pin: str, found: str) -> bool:
        """Tell whether :meth:`record_drift` has anything to write."""
        known = self._is_known_drift(guest, pin, found) and self._is_seen_running(guest, found)
        return not known

    def record_stop(self, guest: Summary, pin: str, found: str, operation: str, at: str) -> None:
        """Record that a guest was stopped; at ``prepare`` also that its definition needs a repair.

        A guest that arrives by ``migrate`` or ``restore`` has no definition here that could be at
        fault. We don't restart a Nova guest: Nova does, with a definition made anew.
        """
        wanted = {"at": at, "pin": pin, "found": found, "restart": not guest.nova}
        facts = {name: getattr(guest, name) for name in ("uuid", "name", "nova")}
        with self.transaction():
            if operation == "prepare":
                self._change("UPDATE guests SET defined = ? WHERE uuid = ?", found, guest.uuid)
                self._put("repairs", {**facts, **wanted})
            self._note(guest, "stopped", pin, found, operation, at)

    def repairs(self) -> list[Repair]:
        """Return the guests that wait for a repair, the longest-waiting first."""
        from mthook.catalog.records import Repair

        return [Repair(**row) for row in self._rows("SELECT * FROM repairs ORDER BY at, uuid")]

    def leave_stopped(self, repair: Repair) -> None:
        """Don't restart a guest if its start was stopped once more since this repair."""
        again = "UPDATE repairs SET restart = 0 WHERE uuid = ? AND at != ?"
        self._change(again, repair.uuid, repair.at)

    def finish_repair(self, repair: Repair, *, event: str, reason: str | None, actor: str) -> None:
        """Record in a guest's history how its repair ended, and remove it from the repairs.

        If its start was stopped once more meanwhile, it stays there for that.
        """
        old, new = repair.found, repair.pin
        with self.transaction():
            self._change("DELETE FROM repairs WHERE uuid = ? AND at = ?", repair.uuid, repair.at)
            self.add_history(repair.uuid, event, actor=actor, old=old, new=new, reason=reason)

    def record_arrival(self, uuid: str, machine: str, at: str) -> None:
        """Record that ``migrate`` or ``restore`` let a guest in, for the ``prepare`` that follows."""
        self._put("arrivals", {"uuid": uuid, "at": at, "machine": machine})

    def take_arrival(self, uuid: str) -> str | None:
        """Forget that a guest was let in; return the machine type it came with, None if it wasn't.

        Without anything to forget, nothing is written.
        """
        query = "SELECT machine FROM arrivals WHERE uuid = ?"
        if self._value(query, uuid) is None:
            return None
        with self.transaction():
            machine: str | None = self._value(query, uuid)
            self._change("DELETE FROM arrivals WHERE uuid = ?", uuid)
        return machine

    def _see_running(self, guest: Summary, found: str, at: str) -> None:
        row = {name: getattr(guest, name) for name in _FACTS}
        row.update(display=guest.display or None, running=found, state="running")
        row.update(seen_at=at, gone_since=None)
        unknown = {"managed_save": False, "snapshots": 0}
        image = "UPDATE pins SET root_image = ? WHERE uuid = ? AND root_image IS NULL"
        # No two guests on a host share a name: the one that had it is gone.
        renewed = (
            "UPDATE guests SET gone_since = ?1, running = NULL"
            " WHERE name = ?2 AND uuid != ?3 AND gone_since IS NULL"
        )
        with self.transaction():
            self._change(renewed, at, guest.name, guest.uuid)
            self._put("guests", {**row, **unknown}, keep=tuple(unknown))
            self._call_off_repair(row["uuid"])
            self._change(image, guest.root_image, guest.uuid)

    def _is_seen_running(self, guest: Summary, found: str) -> bool:
        query = "SELECT 1 FROM guests WHERE uuid = ? AND name = ? AND running = ? AND gone_since IS NULL"
        return self._value(query, guest.uuid, guest.name, found) is not None

    def _is_known_drift(self, guest: Summary, pin: str, found: str) -> bool:
        """Tell whether this drift is the last thing that happened to the guest."""
        query = "SELECT event, old, new FROM history WHERE uuid = ? ORDER BY id DESC LIMIT 1"
        return self._row(query, guest.uuid) == {"event": "drift", "old": pin, "new": found}

    def _note(
        self, guest: Summary, event: str, pin: str, found: str, operation: str, at: str
    ) -> None:
        assert guest.uuid is not None
        self.add_history(guest.uuid, event, actor=HOOK, old=pin, new=found, reason=operation, at=at)

    def _call_off_repair(self, uuid: str) -> None:
        self._change("DELETE FROM repairs WHERE uuid = ?", uuid)
