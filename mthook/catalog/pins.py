# SPDX-License-Identifier: Apache-2.0
"""Pins. One never changes without a history row in the same transaction."""

from __future__ import annotations

from mthook.catalog import lookup
from mthook.catalog.starts import HOOK, Starts
from mthook.errors import CatalogConflict
from mthook.text import after, now, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Literal

    from mthook.catalog.records import Compared, Pin
    from mthook.xmlrewrite.summary import Summary

#: For ``expect``: accept whatever the pin is now.
ANY = object()
#: How many pins are read at once.
_BATCH = 1000
#: The tables that know an instance, all but the history.
_TABLES = (
    "pins",
    "guests",
    "repairs",
    "arrivals",
    "compared",
    "originals",
    "definitions",
    "instances",
)


class Pins(Starts):
    """The part of the catalog that keeps pins."""

    def get_pin(self, uuid: str) -> Pin | None:
        """Return an instance's row, which may be a released pin; None without one."""
        from mthook.catalog.records import Pin

        row = self._pin(uuid)
        return Pin(**row) if row else None

    def expect(self, uuid: str, since: object, compared: object = ANY) -> None:
        """Make sure, in a transaction, that nobody has changed an instance's pin since it was read.

        :param since: when it was last changed, a time that no two changes share; None: there was no row.
        :param compared: what Nova's database had said; None: it was never compared.
        :raises CatalogConflict: somebody has.
        """
        current = self._value("SELECT updated_at FROM pins WHERE uuid = ?", uuid)
        if since not in (ANY, current) or compared not in (
            ANY,
            lookup.compared(self.connection, uuid),
        ):
            raise self._conflict(uuid)

    def pins(self) -> Iterator[Pin]:
        """Yield all rows by UUID, released ones too. The catalog may be changed meanwhile."""
        from mthook.catalog.records import Pin

        query = f"SELECT * FROM pins WHERE uuid > ? ORDER BY uuid LIMIT {_BATCH}"
        rows = self._rows(query, "")
        while rows:
            for row in rows:
                yield Pin(**row)
            rows = self._rows(query, rows[-1]["uuid"])

    def add_pin(self, pin: Pin) -> bool:
        """Record a pin if the instance has no row; return False if it has one, which stays."""
        with self.transaction():
            if self._pin(pin.uuid):
                return False
            self._write("pinned", None, vars(pin))
        return True

    def record_pin(
        self,
        guest: Summary,
        machine: str,
        *,
        source: str,
        at: str,
        since: str = "",
        actor: str = HOOK,
        seen: str | None = None,
        reason: str | None = None,
        running: str | None = None,
        replace: bool = False,
        images: str | None = None,
    ) -> bool:
        """Record a guest's pin if it has none or a released one.

        :param guest: a summary of its domain's XML.
        :param since: since when the pin holds, if it comes from elsewhere; '': since now, ``at``.
        :param seen: the versioned name that it runs with.
        :param running: the machine type that it was found to run with; None when it does not run yet.
        :param images: the images its root disk was seen with; None: the one that its XML names.
        :param replace: also replace a pin (after a rebuild, or if the guest has lived elsewhere since).
        :return: False when it has a pin already, which then stays.
        """
        assert guest.uuid is not None
        pin = {"uuid": guest.uuid, "machine": machine, "source": source, "actor": actor}
        more = {"seen": seen, "reason": reason, "root_image": images or guest.root_image}
        with self.transaction():
            if running is not None:
                self._see_running(guest, running, at)
            old = self._pin(guest.uuid)
            if old and old["machine"] is not None and not replace:
                return False
            self._renew(old, {**pin, **more, "arch": guest.arch}, since or at)
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
        at: str | None = None,
    ) -> Pin:
        """Give an instance a pin, whatever it had. An identical pin is not written again.

        :param seen: the versioned name that it runs with; None keeps the one known where the pin
            stays the same.
        :param expect: the machine type its pin must have now; None: it must have none.
        :param at: since when the pin holds; None: now. In any case it is later than the one it replaces.
        :return: the pin it now has.
        :raises CatalogConflict: its pin isn't the expected one.
        """
        from mthook.catalog.records import Pin

        with self.transaction():
            old = self._pin(uuid)
            machine_now = old["machine"] if old else None
            if expect not in (ANY, machine_now):
                raise CatalogConflict(
                    f"the pin of {printable(uuid)} is {printable(machine_now or 'unset')} now, not "
                    f"{printable(expect or 'unset')}: somebody else changed it, look again",
                    self.path,
                )
            if seen is None and old and machine == machine_now:
                seen = old["seen"]
            if old and (machine_now, old["source"], old["seen"]) == (machine, source, seen):
                return Pin(**old)
            of_guest = "SELECT arch FROM guests WHERE uuid = ?"
            arch = old["arch"] if old else self._value(of_guest, uuid) or ""
            pin = {"uuid": uuid, "machine": machine, "source": source, "actor": actor}
            more = {"seen": seen, "reason": reason, "arch": arch}
            self._call_off_repair(uuid)
            return Pin(**self._renew(old, {**pin, **more}, at or now()))

    def unset_pin(
        self, uuid: str, *, actor: str, reason: str | None = None, at: str | None = None
    ) -> bool:
        """Release a pin: the next boot records anew. Return False when there is none to release.

        :param at: when; None: now.
        """
        with self.transaction():
            old = self._pin(uuid)
            if old is None or old["machine"] is None:
                return False
            released = {**old, "machine": None, "seen": None, "actor": actor, "reason": reason}
            self._call_off_repair(uuid)
            at = after(old["updated_at"], at or now())
            self._write("unset", old["machine"], {**released, "updated_at": at})
        return True

    def forget(
        self,
        uuid: str,
        *,
        actor: str,
        reason: str | None,
        since: object = ANY,
        gone_since: str | None = None,
    ) -> bool:
        """Remove everything about an instance but its history; return False if there was no row.

        :param since: when its pin must have been changed last; None: it must have none.
        :param gone_since: only if the guest has been gone since exactly then, and hasn't come back.
        :raises CatalogConflict: the pin was changed meanwhile.
        """
        still = "SELECT gone_since FROM guests WHERE uuid = ?"
        with self.transaction():
            self.expect(uuid, since)
            if gone_since is not None and self._value(still, uuid) != gone_since:
                return False
            old = self._pin(uuid)
            for table in _TABLES:
                self._change(f"DELETE FROM {table} WHERE uuid = ?", uuid)
            if old is None:
                return False
            self.add_history(uuid, "pruned", actor=actor, old=old["machine"], reason=reason)
        return True

    def merge_pin(self, pin: Pin, *, actor: str) -> Literal["added", "changed", "unchanged"]:
        """Take over a pin from elsewhere unless the one here is as new or newer.

        :param actor: who or what brings it; the pin itself keeps its own actor.
        :return: ``added``, ``changed`` or ``unchanged``.
        """
        with self.transaction():
            old = self._pin(pin.uuid)
            if old and old["updated_at"] >= pin.updated_at:
                return "unchanged"
            # This host recognises the guest by its images, whatever is known elsewhere.
            images = pin.root_image or (old["root_image"] if old else None)
            self._put("pins", {**vars(pin), "root_image": images})
            machine = old["machine"] if old else None
            self.add_history(
                pin.uuid, "imported", actor=actor, old=machine, new=pin.machine, source="import"
            )
        return "changed" if old else "added"

    def put_back(
        self, uuid: str, pin: Pin | None, *, since: object, actor: str, reason: str
    ) -> Pin | None:
        """Give an instance back the row that it had; that counts as a change made now.

        :param pin: the row; None: it had none.
        :param since: when the row that it has now was changed; None: it has none.
        :return: the row as written.
        :raises CatalogConflict: somebody else has changed it since.
        """
        from mthook.catalog.records import Pin

        with self.transaction():
            self.expect(uuid, since)
            old = self._pin(uuid)
            was, at = old["machine"] if old else None, now()
            at = after(old["updated_at"], at) if old else at
            self._call_off_repair(uuid)
            if pin is None:
                self._change("DELETE FROM pins WHERE uuid = ?", uuid)
            else:
                pin = Pin(**{**vars(pin), "updated_at": at})
                self._put("pins", vars(pin))
            machine = pin.machine if pin else None
            event = "unset" if machine is None else "changed" if was else "pinned"
            source = pin.source if pin and machine else None
            about = {"old": was, "new": machine, "source": source, "reason": reason, "at": at}
            self.add_history(uuid, event, actor=actor, **about)
        return pin

    def compared(self) -> dict[str, Compared]:
        """Return what Nova's database said when pins were last compared with it, by UUID."""
        from mthook.catalog.records import Compared

        return {row["uuid"]: Compared(**row) for row in self._rows("SELECT * FROM compared")}

    def set_compared(self, compared: Compared, *, expect: object = ANY) -> None:
        """Keep what Nova's database says about an instance; the same again is not written.

        :param expect: what must be kept now: machine type, row and rebuild; None: nothing.
        :raises CatalogConflict: something else is kept.
        """
        new = tuple(vars(compared).values())[1:]
        if expect is not ANY and expect == new:
            return
        with self.transaction():
            old = lookup.compared(self.connection, compared.uuid)
            if expect not in (ANY, old):
                raise self._conflict(compared.uuid)
            if old != new:
                self._put("compared", vars(compared))

    def _conflict(self, uuid: str) -> CatalogConflict:
        return CatalogConflict(
            f"the pin of {printable(uuid)} was changed meanwhile: look again", self.path
        )

    def _pin(self, uuid: str) -> dict[str, Any] | None:
        return self._row("SELECT * FROM pins WHERE uuid = ?", uuid)

    def _renew(self, old: dict[str, Any] | None, pin: dict[str, Any], at: str) -> dict[str, Any]:
        """Write a pin over the old row; return the whole new row.

        A change is always later than the one it replaces, even if the clock was once ahead.
        """
        if old:
            at = after(old["updated_at"], at)
        host = self._row("SELECT qemu_version, libvirt_version FROM host") or {}
        versions = {name: host.get(name) for name in ("qemu_version", "libvirt_version")}
        row = {"created_at": at, **(old or {}), **pin, **versions, "updated_at": at}
        machine = old["machine"] if old else None
        self._write("pinned" if machine is None else "changed", machine, row)
        return row

    def _write(self, event: str, old: str | None, pin: dict[str, Any]) -> None:
        """Write a row, and what happened to it."""
        self._put("pins", pin)
        self.add_history(
            pin["uuid"],
            event,
            actor=pin["actor"],
            old=old,
            new=pin["machine"],
            # A released pin has no source.
            source=pin["source"] if pin["machine"] else None,
            reason=pin["reason"],
            at=pin["updated_at"],
        )
