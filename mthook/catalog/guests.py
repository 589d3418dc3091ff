# SPDX-License-Identifier: Apache-2.0
"""Guests as last seen on this host."""

from __future__ import annotations

from mthook.catalog.rows import Rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mthook.catalog.records import Guest


class Guests(Rows):
    """The part of the catalog about guests."""

    def see_guests(self, guests: Iterable[Guest], at: str) -> None:
        """Keep all guests of this host as they are now; those not among them are gone since then.

        What a hook has recorded since stays: the guest has just been started.

        :param guests: all guests there are.
        :param at: when listing them began.
        """
        gone = (
            "UPDATE guests SET gone_since = ?1, running = NULL"
            " WHERE seen_at < ?1 AND gone_since IS NULL"
        )
        with self.transaction():
            self._see(guests, at)
            self._change(gone, at)

    def see_guest(self, guest: Guest, at: str) -> None:
        """Keep one guest as it is now; of the others nothing is known. As in :meth:`see_guests`.

        :param at: when looking at it began.
        """
        self._see([guest], at)

    def touch_defined(self, uuid: str, machine: str) -> None:
        """Keep the machine type that a guest's definition was just given."""
        self._change("UPDATE guests SET defined = ? WHERE uuid = ?", machine, uuid)

    def guests(self) -> list[Guest]:
        """Return all guests by name, those that are gone too."""
        return self._guests("ORDER BY name, uuid")

    def find(self, name_or_uuid: str) -> list[Guest]:
        """Return the guests of that UUID or name; present ones first: names are used again."""
        which = "WHERE uuid = ? OR name = ? ORDER BY gone_since NOT NULL, uuid"
        return self._guests(which, name_or_uuid.lower(), name_or_uuid)

    def _guests(self, which: str, *values: object) -> list[Guest]:
        from mthook.catalog.records import Guest

        return [Guest(**row) for row in self._rows(f"SELECT * FROM guests {which}", *values)]

    def _see(self, guests: Iterable[Guest], at: str) -> None:
        rows = [{**vars(guest), "seen_at": at, "gone_since": None} for guest in guests]
        self._put("guests", *rows, where="guests.seen_at <= excluded.seen_at")
