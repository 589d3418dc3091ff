# SPDX-License-Identifier: Apache-2.0
"""What a host writes: its own rows, as far as they have changed, in one transaction."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from mthook.errors import FleetError
from mthook.fleet.connection import Record, earlier
from mthook.fleet.rows import Guest, Host, Machine, Outcome
from mthook.fleet.tables import GUESTS, HISTORY, HOSTS, KEY, MACHINES, OFFERS, WISHES
from mthook.text import now, printable

#: What sets a host's key apart from what others make of the same machine-id (machine-id(5) asks for that).
_PURPOSE = b"mthook fleet"
#: A host with the name of another one, which hasn't written for so many seconds, has replaced it.
_REPLACED = 3600
#: How many rows a statement names.
_MANY = 500
#: How many rows of history a push writes at most; the next one writes the next.
MOST_HISTORY = 1000

#: Who a server takes the writer for.
_USER = {
    "mysql": sa.text("SELECT SUBSTRING_INDEX(USER(), '@', 1)"),
    "postgresql": sa.text("SELECT session_user"),
    "sqlite": sa.text("SELECT ''"),
}


def key_of(machine_id: str, host: str) -> str:
    """Return the key of a host: another one after it was installed anew, and on another machine of its name.

    :param machine_id: what /etc/machine-id says.
    """
    return hmac.new(_PURPOSE, f"{machine_id}\n{host}".encode(), hashlib.sha256).hexdigest()[:KEY]


@dataclass(frozen=True)
class Mark:
    """Up to where a host's history is in the record.

    :ivar number: the number of the last row in the host's catalog, and ``at`` its time; 0 and '': there is none.
    """

    number: int
    at: str


@dataclass(frozen=True)
class Entry:
    """A row of history, with its number in the host's catalog; see :class:`mthook.catalog.records.HistoryEntry`."""

    number: int
    uuid: str
    at: str
    event: str
    actor: str
    old: str | None = None
    new: str | None = None
    source: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Push:
    """What a host has to say.

    :ivar offer: what its QEMU offers, as text; ``host.offer`` is its digest.
    :ivar outcomes: of the wishes that it has seen to.
    :ivar history: what has happened since the moment of ``mark``, in order.
    """

    host: Host
    offer: str | None
    guests: Sequence[Guest]
    machines: Sequence[Machine]
    outcomes: Sequence[Outcome] = ()
    history: Sequence[Entry] = ()
    mark: Mark = Mark(0, "")


def digest_of(document: str) -> str:
    """Return the key of an offer."""
    return hashlib.sha256(document.encode()).hexdigest()


def mark(connection: sa.engine.Connection, key: str) -> Mark:
    """Return up to where a host's history is in the record."""
    query = sa.select(HOSTS.c.history_id, HOSTS.c.history_at).where(HOSTS.c.id == key)
    row = connection.execute(query).first()
    return Mark(*row) if row else Mark(0, "")


def push(record: Record, said: Push) -> list[str]:
    """Write what a host has to say; if this returns, all of it is in the record.

    :return: the keys of other hosts that write under its name.
    :raises FleetError: nothing was written.
    """
    return record.transact(lambda connection: _Writer(record, connection, said).write())


class _Writer:
    """Writes in one transaction."""

    def __init__(self, record: Record, connection: sa.engine.Connection, said: Push) -> None:
        self.record, self.connection, self.said = record, connection, said
        self.host = said.host

    def write(self) -> list[str]:
        at = self.record.time(self.connection)
        before = self._make_known(at)
        twins = self._twins(before, at)
        self._offer()
        self._guests()
        self._machines()
        self._outcomes()
        self._history()
        self._update(HOSTS, "id", self.host.id, {**vars(self.host), "pushed_at": at})
        return twins

    def _make_known(self, at: str) -> str | None:
        """See to it that the host has a row; return when it wrote last."""
        query = sa.select(HOSTS.c.pushed_at, HOSTS.c.owner).where(HOSTS.c.id == self.host.id)
        found = self.connection.execute(query).first()
        owner = self.connection.execute(_USER[self.record.dialect]).scalar()
        if found is None:
            more = {"owner": owner, "pushed_at": at, "history_id": 0, "history_at": ""}
            self._add(HOSTS, [{**vars(self.host), **more}])
            return None
        if found.owner != owner:
            raise FleetError(
                f"the fleet's record: the rows of this host belong to the database user {printable(found.owner)}:"
                f" 'mthook-admin fleet forget {printable(self.host.host)}' as the record's owner lets"
                f" {printable(owner)} write them anew"
            )
        return str(found.pushed_at)

    def _twins(self, before: str | None, at: str) -> list[str]:
        """Return the keys of other hosts of this name that still write; those that this host has replaced go."""
        named = (HOSTS.c.host == self.host.host) & (HOSTS.c.id != self.host.id)
        others = self.connection.execute(sa.select(HOSTS.c.id, HOSTS.c.pushed_at).where(named))
        twins, limit = [], earlier(at, _REPLACED)
        for key, pushed_at in others.all():
            if before is not None and pushed_at > before:
                twins.append(key)
            elif pushed_at < limit:
                view = self.record.own(HOSTS)
                self.connection.execute(sa.delete(view).where(view.c.id == key))
        return twins

    def _offer(self) -> None:
        digest = self.host.offer
        query = sa.select(OFFERS.c.digest).where(OFFERS.c.digest == digest)
        if self.said.offer is not None and self.connection.execute(query).first() is None:
            row = {"digest": digest, "document": self.said.offer}
            self.connection.execute(sa.insert(OFFERS), [row])

    def _guests(self) -> None:
        query = sa.select(GUESTS.c.uuid, GUESTS.c.digest).where(GUESTS.c.host_id == self.host.id)
        known = {uuid: digest for uuid, digest in self.connection.execute(query)}
        rows = {one.uuid: {**vars(one), "digest": one.digest} for one in self.said.guests}
        self._replace(
            GUESTS, "uuid", known, {uuid: row["digest"] for uuid, row in rows.items()}, rows
        )

    def _machines(self) -> None:
        columns = [MACHINES.c[field] for field in Machine.__annotations__]
        query = sa.select(*columns).where(MACHINES.c.host_id == self.host.id)
        known = {row.name: tuple(row) for row in self.connection.execute(query)}
        rows = {one.name: vars(one) for one in self.said.machines}
        self._replace(
            MACHINES, "name", known, {n: tuple(r.values()) for n, r in rows.items()}, rows
        )

    def _replace(
        self,
        table: sa.Table,
        key: str,
        known: Mapping[str, object],
        found: Mapping[str, object],
        rows: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Write the rows that have changed anew, and remove those that are no longer.

        :param known: what tells whether a row has changed, as it is in the record, by key; ``found``: as it is now.
        """
        changed = [one for one in found if known.get(one) != found[one]]
        old = [one for one in known if found.get(one) != known[one]]
        view = self.record.own(table)
        for start in range(0, len(old), _MANY):
            which = (view.c.host_id == self.host.id) & view.c[key].in_(old[start : start + _MANY])
            self.connection.execute(sa.delete(view).where(which))
        self._add(table, [{**rows[one], "host_id": self.host.id} for one in changed])

    def _outcomes(self) -> None:
        """Write what became of wishes, except of those that were replaced by others meanwhile."""
        for one in self.said.outcomes:
            row = {"outcome": one.outcome, "detail": one.detail, "done_at": now()}
            self._update(WISHES, "token", one.token, row)

    def _history(self) -> None:
        """Write what has happened, unless it is written already: another node may not have known that a moment ago.

        Here it can't be missed: of two transactions that change a host's row Galera lets the first one through alone.
        """
        if mark(self.connection, self.host.id) != self.said.mark:
            return
        entries = self.said.history
        of_host = {"host_id": self.host.id, "host": self.host.host}
        self._add(HISTORY, [{**vars(one), **of_host} for one in entries])
        if entries:
            last = {"history_id": entries[-1].number, "history_at": entries[-1].at}
            self._update(HOSTS, "id", self.host.id, last)

    def _add(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            fitting = [_fitting(table, row) for row in rows]
            self.connection.execute(sa.insert(self.record.own(table)).inline(), fitting)

    def _update(self, table: sa.Table, key: str, value: str, row: Mapping[str, Any]) -> None:
        view = self.record.own(table)
        self.connection.execute(
            sa.update(view).where(view.c[key] == value).values(**_fitting(table, row))
        )


def _fitting(table: sa.Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as its table takes it: texts are no longer than their columns, names that a user chose too."""
    return {
        column.name: _cut(row[column.name], getattr(column.type, "length", None))
        for column in table.columns
        if column.name in row
    }


def _cut(value: Any, length: int | None) -> Any:
    return value[:length] if isinstance(value, str) and length else value
