# SPDX-License-Identifier: Apache-2.0
"""What happened to pins."""

from __future__ import annotations

from mthook.catalog.rows import Rows
from mthook.text import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mthook.catalog.records import HistoryEntry


class History(Rows):
    """The part of the catalog that only grows."""

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
        self._add("history", {"uuid": uuid, "at": at or now(), "actor": actor, **what})

    def history(self, uuid: str) -> list[HistoryEntry]:
        """Return what happened to an instance's pin, oldest first."""
        from mthook.catalog.records import HistoryEntry

        rows = self._rows("SELECT * FROM history WHERE uuid = ? ORDER BY id", uuid)
        return [HistoryEntry(**row) for row in rows]

    def record_rewrite(
        self, uuid: str, old: str | None, new: str, *, actor: str, call: str, at: str
    ) -> None:
        """Record that a definition was rewritten on its way to libvirtd.

        :param old: the machine type that the client asked for; None: it left that open.
        :param actor: for whom it was.
        :param call: libvirt's name of what the client did.
        """
        self.add_history(uuid, "rewritten", actor=actor, old=old, new=new, reason=call, at=at)

    def last_rewrite(self) -> str | None:
        """Return when the gate last rewrote a domain; None: never."""
        at: str | None = self._value("SELECT max(at) FROM history WHERE event = 'rewritten'")
        return at
