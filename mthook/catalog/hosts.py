# SPDX-License-Identifier: Apache-2.0
"""What the catalog knows about this host: capabilities, the compiled settings, the last sync."""

from __future__ import annotations

from mthook.catalog import lookup
from mthook.catalog.rows import Rows
from mthook.settings import FIELDS, Settings
from mthook.text import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mthook.catalog.records import Capability, HostFacts


class Hosts(Rows):
    """The part of the catalog about this host."""

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
        """Return the machine types of all emulators, or of those for one architecture."""
        from mthook.catalog.records import Capability

        query = (
            "SELECT * FROM capabilities WHERE ?1 IS NULL OR arch = ?1"
            " ORDER BY emulator, arch, virt_type, machine"
        )
        return [Capability(**row) for row in self._rows(query, arch)]

    def aliases(
        self, emulator: str | None, arch: str | None, virt_type: str | None
    ) -> dict[str, str]:
        """Return what aliases resolve to; see :func:`.lookup.aliases`."""
        return lookup.aliases(self.connection, emulator, arch, virt_type)

    def compile_settings(self, settings: Settings, at: str | None = None) -> None:
        """Keep what the hook needs of the configuration; what is kept already is not written.

        :param at: when it was read; None: now.
        """
        with self.transaction():
            old = self.settings()
            if not old or old.values()[:-1] != settings.values()[:-1]:
                row = {**dict(zip(FIELDS, settings.values())), "compiled_at": at or now()}
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
        """Keep which daemons were told to look for the hook again (JSON text)."""
        self._set_host(daemons=daemons)

    def set_last_sync(self, at: str, ok: bool) -> None:
        """Keep when the last sync ended, and whether it went well."""
        self._set_host(last_sync_at=at, last_sync_ok=ok)

    def _set_host(self, **values: object) -> None:
        self._put("host", {"id": 1, **values}, key="id")
