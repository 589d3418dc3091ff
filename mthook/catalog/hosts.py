# SPDX-License-Identifier: Apache-2.0
"""What the catalog knows about this host: capabilities, the compiled hook policy, the last sync."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from mthook.catalog import fastsql
from mthook.catalog.records import Capability, HostFacts
from mthook.catalog.schema import CAPABILITIES, HOST, POLICY
from mthook.catalog.session import Session
from mthook.settings import FIELDS, Settings
from mthook.text import now


class Hosts(Session):
    """The part of the catalog about this host."""

    def replace_capabilities(self, capabilities: Sequence[Capability], facts: HostFacts) -> None:
        """Replace what is known of the host's emulators and of its versions."""
        with self.transaction() as connection:
            connection.execute(sa.delete(CAPABILITIES))
            if capabilities:
                connection.execute(sa.insert(CAPABILITIES), [asdict(one) for one in capabilities])
            self._set_host(
                hostname=facts.hostname,
                qemu_version=facts.qemu_version,
                libvirt_version=facts.libvirt_version,
                seen_at=facts.seen_at or now(),
            )

    def capabilities(self, arch: str | None = None) -> list[Capability]:
        """Return the machine types of all emulators, or of those for one architecture."""
        query = sa.select(CAPABILITIES).order_by(*CAPABILITIES.primary_key)
        if arch is not None:
            query = query.where(CAPABILITIES.c.arch == arch)
        with self.reading() as connection:
            return [Capability(**row._mapping) for row in connection.execute(query)]

    def aliases(
        self, emulator: str | None, arch: str | None, virt_type: str | None
    ) -> dict[str, str]:
        """Return what aliases resolve to; see :func:`.fastsql.aliases`."""
        return fastsql.aliases(self._raw, emulator, arch, virt_type)

    def machines(self, arch: str | None = None) -> list[str]:
        """Return the names of all machine types, aliases too, or of those for one architecture."""
        return sorted({one.machine for one in self.capabilities(arch)})

    def compile_settings(self, settings: Settings) -> None:
        """Keep what the hook needs of the configuration; what is kept already is not written."""
        with self.transaction() as connection:
            old = self.settings()
            if old and old.values()[:-1] == settings.values()[:-1]:
                return
            values = {**dict(zip(FIELDS, settings.values())), "compiled_at": now()}
            connection.execute(
                insert(POLICY)
                .values(id=1, **values)
                .on_conflict_do_update([POLICY.c.id], set_=values)
            )

    def settings(self) -> Settings | None:
        """Return what was compiled last, None before the first time."""
        columns = [column for column in POLICY.c if column is not POLICY.c.id]
        with self.reading() as connection:
            row = connection.execute(sa.select(*columns)).first()
        return Settings(**row._mapping) if row else None

    def host(self) -> HostFacts:
        """Return what is known of this host; everything is None before the first sync."""
        columns = [column for column in HOST.c if column is not HOST.c.id]
        with self.reading() as connection:
            row = connection.execute(sa.select(*columns)).first()
        return HostFacts(**row._mapping) if row else HostFacts()

    def set_daemons(self, daemons: str | None) -> None:
        """Keep which daemons were told to look for the hook again (JSON text)."""
        self._set_host(daemons=daemons)

    def set_last_sync(self, at: str, ok: bool) -> None:
        """Keep when the last sync ended, and whether it went well."""
        self._set_host(last_sync_at=at, last_sync_ok=ok)

    def _set_host(self, **values: object) -> None:
        statement = (
            insert(HOST).values(id=1, **values).on_conflict_do_update([HOST.c.id], set_=values)
        )
        with self.transaction() as connection:
            connection.execute(statement)
