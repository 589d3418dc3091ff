# SPDX-License-Identifier: Apache-2.0
"""What the catalog knows about this host: capabilities, the compiled settings, the last sync, and its guests."""

from __future__ import annotations

from mthook.catalog import lookup
from mthook.catalog.rows import Rows
from mthook.settings import Settings
from mthook.text import may_begin_uuid, now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mthook.catalog.records import Capability, Guest, HostFacts
    from mthook.xmlrewrite.target import Kept, Original


#: What a Nova name, or the beginning of a UUID, may mean: among guests, and among UUIDs without a guest here.
_LIKE = "SELECT uuid, gone_since IS NULL AS present FROM guests WHERE display = ?1 OR uuid GLOB ?2"
_NAMED = (
    "SELECT uuid FROM instances WHERE name = ?1 OR uuid GLOB ?2"
    " UNION SELECT uuid FROM pins WHERE uuid GLOB ?2"
)


class Hosts(Rows):
    """The part of the catalog that covers this host and the guests on it."""

    def replace_capabilities(self, capabilities: Sequence[Capability], facts: HostFacts) -> None:
        """Replace what is known of the host's emulators and of its versions."""
        with self.transaction():
            self._change("DELETE FROM capabilities")
            self._add("capabilities", *map(vars, capabilities))
            self._set_host(
                hostname=facts.hostname,
                qemu_version=facts.qemu_version,
                libvirt_version=facts.libvirt_version,
                seen_at=facts.seen_at or now(),
            )

    def capabilities(self, arch: str | None = None) -> list[Capability]:
        """Return the machine types of all emulators, or of those for one architecture.

        Nothing is known of an architecture once the file of one of its emulators has changed, until the next sync.
        """
        from mthook.catalog.records import Capability

        query = (
            "SELECT * FROM capabilities WHERE ?1 IS NULL OR arch = ?1"
            " ORDER BY emulator, arch, virt_type, machine"
        )
        changed = self.changed_archs()
        found = [Capability(**row) for row in self._rows(query, arch)]
        return [one for one in found if one.arch not in changed]

    def changed_archs(self) -> set[str]:
        """Return the architectures of emulators whose files have changed since they were asked."""
        rows = self._rows("SELECT DISTINCT arch, emulator, stamp FROM capabilities")
        changed = lookup.has_changed
        return {row["arch"] for row in rows if changed(row["emulator"], row["stamp"])}

    def aliases(
        self, emulator: str | None, arch: str | None, virt_type: str | None
    ) -> dict[str, str]:
        """Return what aliases resolve to; see :func:`.lookup.aliases`."""
        return lookup.aliases(self.connection, emulator, arch, virt_type)

    def compile_settings(self, settings: Settings, at: str | None = None) -> None:
        """Keep what the hook needs from the configuration; write only what has changed.

        :param at: when it was read; None: now.
        """
        with self.transaction():
            old = self.settings()
            if not old or old.values()[:-1] != settings.values()[:-1]:
                row = {**vars(settings), "compiled_at": at or now()}
                self._put("settings", {"id": 1, **row}, key="id")

    def settings(self) -> Settings | None:
        """Return what was compiled last, None before the first time."""
        row = self._row("SELECT * FROM settings")
        return Settings(**row) if row else None

    def host(self) -> HostFacts:
        """Return what is known of this host; everything is None before the first sync."""
        from mthook.catalog.records import HostFacts

        return HostFacts(**self._row("SELECT * FROM host") or {})

    def set_daemons(self, daemons: str | None) -> None:
        """Keep when the hook was installed, and which daemons were told to look for it (JSON text)."""
        self._set_host(daemons=daemons)

    def set_last_sync(self, at: str, ok: bool, errors: str | None = None) -> None:
        """Keep when the last sync ended, whether it went well, and what it failed with (JSON text)."""
        self._set_host(last_sync_at=at, last_sync_ok=ok, last_sync_errors=errors)

    def set_sync_errors(self, errors: str | None) -> None:
        """Keep the errors of a sync that broke off (JSON text)."""
        self._set_host(last_sync_errors=errors)

    def set_run(self, at: str, errors: int) -> None:
        """Keep when a whole sync ended, even if it broke off, and how many errors it met."""
        success = {} if errors else {"succeeded_at": at}
        self._set_host(ran_at=at, ran_errors=errors, **success)

    def set_steady(self, since: str) -> None:
        """Keep since when syncs have followed each other without a gap; see :class:`.HostFacts`."""
        self._set_host(steady_since=since)

    def see_guests(self, guests: Iterable[Guest], at: str) -> None:
        """Keep all guests of this host as they are now; any others count as gone from then on.

        Anything that a hook has recorded since stays: that guest has just been started.

        :param guests: all guests on this host.
        :param at: when listing them began.
        """
        gone = (
            "UPDATE guests SET gone_since = ?1, running = NULL"
            " WHERE gone_since IS NULL AND seen_at NOT BETWEEN ?1 AND ?2"
        )
        with self.transaction():
            self._see(guests, at)
            self._change(gone, at, now())

    def see_guest(self, guest: Guest, at: str) -> None:
        """Keep one guest as it is now; leave the others alone. Otherwise like :meth:`see_guests`.

        :param at: when looking at it began.
        """
        self._see([guest], at)

    def touch_defined(self, uuid: str, machine: str) -> None:
        """Keep the machine type that a guest's definition was just given."""
        self._change("UPDATE guests SET defined = ? WHERE uuid = ?", machine, uuid)

    def guests(self) -> list[Guest]:
        """Return all guests by name, including those that are gone."""
        return self._guests("ORDER BY name, uuid")

    def find(self, name_or_uuid: str) -> list[Guest]:
        """Return the guests with that UUID or name, present ones first: names get reused."""
        which = "WHERE uuid = ? OR name = ? ORDER BY gone_since NOT NULL, uuid"
        return self._guests(which, name_or_uuid.lower(), name_or_uuid)

    def find_like(self, text: str) -> list[tuple[str, bool]]:
        """Return the UUIDs that a text may mean, as Nova's name or as the beginning of a UUID.

        :return: each with whether its guest is present; those of pins without a guest count as gone.
        """
        if not text:
            return []
        like = f"{text.lower()}*" if may_begin_uuid(text) else ""
        found = {row["uuid"]: False for row in self._rows(_NAMED, text, like)}
        for row in self._rows(_LIKE, text, like):
            found[row["uuid"]] = bool(row["present"])
        return sorted(found.items())

    def see_instances(self, names: Mapping[str, tuple[str, str]]) -> None:
        """Replace the names and states that are kept of Nova's instances on this host, by UUID."""
        if self.instances() != names:
            rows = [{"uuid": uuid, "name": one[0], "state": one[1]} for uuid, one in names.items()]
            with self.transaction():
                self._change("DELETE FROM instances")
                self._add("instances", *rows)

    def instances(self) -> dict[str, tuple[str, str]]:
        """Return names and states of Nova's instances here, by UUID, as the last sync saw them."""
        rows = self._rows("SELECT * FROM instances")
        return {row["uuid"]: (row["name"], row["state"]) for row in rows}

    def original(self, uuid: str) -> Original | None:
        """Return the original kept of a guest; None: none is."""
        from mthook.xmlrewrite.target import Original

        row = self._row("SELECT * FROM originals WHERE uuid = ?", uuid)
        return Original(row["before"].encode(), row["after"].encode(), row["at"]) if row else None

    def keep_original(self, uuid: str, original: Original | None) -> None:
        """Keep this original of a guest in place of the last one; None: keep none.

        :param original: as :func:`mthook.xmlrewrite.secrets.without_secrets` leaves it.
        """
        if original is None:
            self._change("DELETE FROM originals WHERE uuid = ?", uuid)
        else:
            xml = {"before": original.before.decode(), "after": original.after.decode()}
            self._put("originals", {"uuid": uuid, "at": original.at, **xml})

    def keep(self, *kept: Kept) -> None:
        """Keep definitions that satisfy their pins, each in place of its guest's last one."""
        self._put("definitions", *[{**vars(one), "xml": one.xml.decode()} for one in kept])

    def kept(self, uuid: str) -> Kept | None:
        """Return the last definition of a guest that satisfied its pin, None if none is kept."""
        from mthook.xmlrewrite.target import Kept

        row = self._row("SELECT * FROM definitions WHERE uuid = ?", uuid)
        return Kept(**{**row, "xml": row["xml"].encode()}) if row else None

    def checksums(self) -> dict[str, int]:
        """Return the checksums of all definitions that are kept, by UUID."""
        rows = self._rows("SELECT uuid, checksum FROM definitions")
        return {row["uuid"]: row["checksum"] for row in rows}

    def _guests(self, which: str, *values: object) -> list[Guest]:
        from mthook.catalog.records import Guest

        return [Guest(**row) for row in self._rows(f"SELECT * FROM guests {which}", *values)]

    def _see(self, guests: Iterable[Guest], at: str) -> None:
        rows = [{**vars(guest), "seen_at": at, "gone_since": None} for guest in guests]
        # A time in the future comes from a clock that was ahead.
        older = f"guests.seen_at <= excluded.seen_at OR guests.seen_at > '{now()}'"
        self._put("guests", *rows, where=older)

    def _set_host(self, **values: object) -> None:
        self._put("host", {"id": 1, **values}, key="id")
