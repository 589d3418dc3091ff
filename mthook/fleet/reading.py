# SPDX-License-Identifier: Apache-2.0
"""What the record says of many hosts. The server selects, sorts and adds up; rows are read as they come."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from mthook.errors import NotFound
from mthook.fleet.connection import Record, answers, earlier
from mthook.fleet.rows import Guest, Host, Wish
from mthook.fleet.tables import GUESTS, HISTORY, HOSTS, MACHINES, OFFERS, WISHES
from mthook.text import printable

#: Seconds: hosts write every few minutes.
_SILENT = 3600
#: What LIKE takes for something else.
_ESCAPED = str.maketrans({"%": "\\%", "_": "\\_", "\\": "\\\\", "*": "%", "?": "_"})


@dataclass(frozen=True)
class Selected:
    """Which guests are asked for: those that meet all of its conditions.

    :ivar host: the name of their host.
    :ivar name: a pattern for one of their names. What it selects besides, by its brackets or in other letters, its
        caller sorts out.
    :ivar machines: sets of machine types: of each set they are pinned to, defined as or run one.
    :ivar source: where their pins come from, in lower case.
    :ivar unset: they have no pin, and are there.
    """

    host: str | None = None
    name: str | None = None
    machines: Sequence[Collection[str]] = ()
    source: str | None = None
    states: Collection[str] = ()
    unset: bool = False
    drift: bool = False
    deprecated: bool = False
    unsupported: bool = False


@dataclass(frozen=True)
class Event:
    """Something that happened to a pin on a host; see :class:`mthook.catalog.records.HistoryEntry`."""

    host: str
    uuid: str
    at: str
    event: str
    actor: str
    old: str | None
    new: str | None
    source: str | None
    reason: str | None
    name: str | None
    display: str | None


@dataclass(frozen=True)
class Total:
    """All hosts together.

    :ivar guests: how many instances they know.
    :ivar silent: the names of those that haven't written lately: what is known of them may be old.
    """

    hosts: int
    guests: int
    silent: Sequence[str]


@dataclass(frozen=True)
class MachineTotal:
    """A machine type, all hosts together; see :class:`mthook.fleet.rows.Machine`.

    :ivar hosts: on how many hosts there is such a guest or pin.
    """

    name: str
    guests: int
    running: int
    pins: int
    hosts: int


def machine_names(connection: sa.engine.Connection) -> list[str]:
    """Return every machine type that a guest has somewhere."""
    return [name for (name,) in answers(connection, sa.select(MACHINES.c.name).distinct())]


def guests(
    connection: sa.engine.Connection, selected: Selected, limit: int | None = None
) -> Iterator[tuple[str, Guest]]:
    """Yield guests by host and name, each with the name of its host."""
    columns = [GUESTS.c[name] for name in Guest.__annotations__]
    query = sa.select(HOSTS.c.host, *columns).join_from(GUESTS, HOSTS)
    order = (HOSTS.c.host, GUESTS.c.name, GUESTS.c.uuid)
    query = query.where(*_conditions(selected)).order_by(*order).limit(limit)
    for host, *values in answers(connection, query):
        yield host, Guest(*values)


def _conditions(selected: Selected) -> Iterator[Any]:
    columns = GUESTS.c
    if selected.host is not None:
        yield HOSTS.c.host == selected.host
    if selected.name is not None:
        like = _like(selected.name)
        yield columns.name.like(like, escape="\\") | columns.display.like(like, escape="\\")
    for names in selected.machines:
        # Few hosts have a rare one: only their guests are looked at.
        having = sa.select(MACHINES.c.host_id).where(MACHINES.c.name.in_(names))
        places = (columns.pin, columns.defined, columns.running)
        yield columns.host_id.in_(having) & sa.or_(*(place.in_(names) for place in places))
    if selected.source is not None:
        yield sa.func.lower(columns.source) == selected.source
    if selected.states:
        yield columns.state.in_(selected.states)
    if selected.unset:
        yield columns.pin.is_(None) & columns.machine.is_not(None)
    if selected.drift:
        yield columns.drift > ""
    if selected.deprecated:
        yield columns.deprecated == sa.true()
    if selected.unsupported:
        yield columns.unsupported == sa.true()


def _like(pattern: str) -> str:
    """Return what LIKE takes for a pattern; in place of brackets, and all after them, anything."""
    before, bracket, _ = pattern.partition("[")
    return before.translate(_ESCAPED) + ("%" if bracket else "")


def total(connection: sa.engine.Connection, record: Record) -> Total:
    """Return how much there is."""
    counts = (sa.select(sa.func.count()).select_from(one) for one in (HOSTS, GUESTS))
    (hosts,), (guests,) = (row for query in counts for row in answers(connection, query))
    since = earlier(record.time(connection), _SILENT)
    query = sa.select(HOSTS.c.host).where(HOSTS.c.pushed_at < since).order_by(HOSTS.c.host)
    return Total(hosts, guests, [host for (host,) in answers(connection, query)])


def check_host(connection: sa.engine.Connection, host: str | None, *, past: bool = False) -> None:
    """Make sure that there is a host of a name; a typo would look like a host without guests.

    :param host: None: all hosts.
    :param past: one of which only the history is left will do.
    :raises NotFound: there is none.
    """
    if host is None:
        return
    for table in (HOSTS, HISTORY)[: 1 + past]:
        if list(answers(connection, sa.select(table.c.host).where(table.c.host == host).limit(1))):
            return
    raise NotFound(f"the fleet's record has no host '{printable(host)}'")


def hosts(connection: sa.engine.Connection) -> Iterator[Host]:
    """Yield all hosts by name."""
    columns = [HOSTS.c[name] for name in Host.__annotations__]
    for row in answers(connection, sa.select(*columns).order_by(HOSTS.c.host, HOSTS.c.id)):
        yield Host(*row)


def machine_totals(connection: sa.engine.Connection) -> Iterator[MachineTotal]:
    """Yield the machine types of all guests and pins by name."""
    sums = [sa.func.sum(MACHINES.c[name]) for name in ("guests", "running", "pins")]
    query = sa.select(MACHINES.c.name, *sums, sa.func.count())
    there = (MACHINES.c.guests > 0) | (MACHINES.c.pins > 0)
    query = query.where(there).group_by(MACHINES.c.name).order_by(MACHINES.c.name)
    for name, *numbers in answers(connection, query):
        yield MachineTotal(name, *map(int, numbers))


def drift_counts(connection: sa.engine.Connection) -> dict[str, int]:
    """Return how many guests are unlike their pins in which places; each key may name several."""
    drifting = sa.select(GUESTS.c.drift, sa.func.count()).where(GUESTS.c.drift > "")
    found = answers(connection, drifting.group_by("drift"))
    return {kinds: int(number) for kinds, number in found}


def drifting(
    connection: sa.engine.Connection, kind: str, limit: int
) -> Iterator[tuple[str, Guest]]:
    """Yield the first guests, by host and name, that are unlike their pins in one place."""
    columns = [GUESTS.c[name] for name in Guest.__annotations__]
    query = sa.select(HOSTS.c.host, *columns).join_from(GUESTS, HOSTS)
    # The first condition is what the index is for.
    which = (GUESTS.c.drift > "", GUESTS.c.drift.like(f"%{kind}%"))
    order = (HOSTS.c.host, GUESTS.c.name, GUESTS.c.uuid)
    for host, *values in answers(connection, query.where(*which).order_by(*order).limit(limit)):
        yield host, Guest(*values)


def offers(connection: sa.engine.Connection) -> Iterator[tuple[str, str]]:
    """Yield what hosts' QEMUs offer, as hosts have written it, each with its digest; see :class:`.rows.Host`."""
    for row in answers(connection, sa.select(OFFERS.c.digest, OFFERS.c.document)):
        yield row.digest, row.document


def history(
    connection: sa.engine.Connection,
    *,
    since: str = "",
    uuid: str | None = None,
    host: str | None = None,
    events: Collection[str] = (),
) -> Iterator[Event]:
    """Yield what happened to pins since a moment, oldest first."""
    columns = [HISTORY.c[name] for name in list(Event.__annotations__)[:-2]]
    same = (GUESTS.c.host_id == HISTORY.c.host_id) & (GUESTS.c.uuid == HISTORY.c.uuid)
    query = sa.select(*columns, GUESTS.c.name, GUESTS.c.display)
    query = query.select_from(HISTORY.outerjoin(GUESTS, same)).where(HISTORY.c.at >= since)
    if uuid is not None:
        query = query.where(HISTORY.c.uuid == uuid)
    if host is not None:
        query = query.where(HISTORY.c.host == host)
    if events:
        query = query.where(HISTORY.c.event.in_(events))
    for row in answers(connection, query.order_by(HISTORY.c.at, HISTORY.c.id)):
        yield Event(*row)


@dataclass(frozen=True)
class Found:
    """A guest that a text means, and the wish for it that its host has or hasn't seen to.

    :ivar host_id: the key of its host.
    """

    host: str
    host_id: str
    guest: Guest
    wish: Wish | None


def find(connection: sa.engine.Connection, text: str, uuid: str, begins: bool) -> list[Found]:
    """Return the guests that a text may mean: by name, by Nova's name, or by UUID.

    :param uuid: the text as a UUID has it.
    :param begins: it may be the beginning of one.
    """
    wish = [WISHES.c[name] for name in Wish.__annotations__]
    columns = [GUESTS.c[name] for name in Guest.__annotations__]
    same = (WISHES.c.host_id == GUESTS.c.host_id) & (WISHES.c.uuid == GUESTS.c.uuid)
    tables = GUESTS.join(HOSTS).outerjoin(WISHES, same)
    alike = GUESTS.c.uuid.like(f"{uuid}%") if begins else GUESTS.c.uuid == uuid
    which = (GUESTS.c.name == text) | (GUESTS.c.display == text) | alike
    query = sa.select(HOSTS.c.host, GUESTS.c.host_id, *columns, *wish).select_from(tables)
    found = []
    for host, host_id, *values in answers(connection, query.where(which)):
        guest, wished = values[: len(columns)], values[len(columns) :]
        found.append(
            Found(host, host_id, Guest(*guest), Wish(*wished) if wished[0] is not None else None)
        )
    return found
