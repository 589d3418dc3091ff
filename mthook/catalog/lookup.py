# SPDX-License-Identifier: Apache-2.0
"""What the hook reads at every start of a guest. On the hook's fast path: a connection, no :class:`.Catalog`.

Every function raises :class:`CatalogError` where SQLite fails.
"""

from __future__ import annotations

import _sqlite3 as sqlite3
import os

from mthook.catalog.connection import Connection, Guard, open_database
from mthook.errors import CatalogNewer, CatalogOlder, CatalogUnwritable
from mthook.settings import FIELDS, Settings
from mthook.text import SKEW, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mthook.reconcile import Compared

#: The number of the last step of :mod:`mthook.catalog.schema`; all statements are written for it.
SCHEMA = "0012"
#: The numbers of the steps before it: ``mthook-sync`` brings such catalogs up to :data:`SCHEMA`.
OLDER: tuple[str, ...] = tuple(f"{number:04}" for number in range(1, int(SCHEMA)))
#: How many seconds after an accepted ``migrate`` or ``restore`` a ``prepare`` is taken to belong to
#: it.
ARRIVAL_SECONDS = 120

# SQLite's options to read without writing: https://www.sqlite.org/uri.html, https://www.sqlite.org/wal.html#readonly.
_ALONE, _UNINDEXED = "mode=ro&immutable=1", "mode=ro&readonly_shm=1"


class Known:
    """What the catalog knows about one guest.

    :ivar settings: None where none are compiled yet.
    :ivar has_row: there is a row; if ``machine`` is None, it is a released pin.
    :ivar machine: its pin, None without one.
    :ivar seen: the versioned name seen when the pin was recorded.
    :ivar updated_at: when the row last changed.
    :ivar root_image: UUIDs of the images its root disk was seen with, separated by spaces.
    :ivar source: where the pin came from.
    :ivar arrival: the machine type it was let in with, less than :data:`ARRIVAL_SECONDS` ago.
    :ivar gone_since: since when syncs no longer find it on this host.
    :ivar repair: its start was stopped, and it waits for a repair.
    :ivar latest: the latest time that a pin from elsewhere may plausibly have; see :func:`mthook.text.latest`.
    :ivar kept: the checksum of its kept definition, None if none is kept.
    """

    def __init__(
        self,
        settings: Settings | None,
        has_row: bool,
        machine: str | None,
        seen: str | None,
        updated_at: str | None,
        root_image: str | None,
        source: str | None,
        arrival: str | None,
        gone_since: str | None,
        repair: bool,
        kept: int | None,
        latest: str,
    ) -> None:
        self.has_row, self.machine, self.seen, self.updated_at = has_row, machine, seen, updated_at
        self.root_image, self.source, self.settings = root_image, source, settings
        self.arrival, self.gone_since, self.repair, self.kept = arrival, gone_since, repair, kept
        self.latest = latest


def connect(path: str, timeout: float, options: str = "mode=rw") -> Connection:
    """Open the catalog and make sure that it is one this mthook knows.

    :param timeout: seconds to wait for other processes that write.
    :param options: see :func:`.open_database`.
    :raises CatalogError: its subclass says what is wrong.
    """
    connection = open_database(path, timeout, options)
    try:
        revision = read_revision(connection)
        if revision is None or revision in OLDER:
            raise CatalogOlder(
                f"the catalog {printable(path)} is not up to date: run mthook-sync", path
            )
        check_known(path, revision)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: str, timeout: float) -> Connection:
    """Open the catalog as :func:`connect` does, even on a full or read-only disk.

    SQLite creates a journal and its index if there are none, and makes the index anew at the first use.
    """
    try:
        return connect(path, timeout)
    except CatalogUnwritable:
        try:
            journal = os.stat(f"{path}-wal").st_size
        except OSError:
            journal = 0
    # Without a journal the file has everything, and nobody can write to it; with one, the index is made in memory.
    return connect(path, timeout, _UNINDEXED if journal else _ALONE)


def read_revision(connection: Connection) -> str | None:
    """Return the number of the last step that a catalog has seen, None for an empty file."""
    with Guard(connection):
        try:
            row = connection.execute("SELECT max(version_num) FROM alembic_version").fetchone()
        except sqlite3.OperationalError as error:
            # A locked catalog isn't asked a second time: the caller's patience is enough for only
            # one wait.
            if (
                "no such table" not in str(error)
                or connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
            ):
                raise
            return None
    return str(row[0])


def check_known(path: str, revision: str) -> None:
    """Refuse a schema that this mthook has never heard of.

    :raises CatalogNewer: it is neither :data:`SCHEMA` nor one of :data:`OLDER`.
    """
    if revision != SCHEMA and revision not in OLDER:
        raise CatalogNewer(
            f"the catalog {printable(path)} has schema {printable(revision)}, this mthook knows "
            f"{SCHEMA}: install the newer mthook that wrote it",
            path,
        )


#: The fields of :class:`Known` in their order, and the settings, one by one.
_LOOKUP = f"""
SELECT pins.uuid NOT NULL, pins.machine, pins.seen, pins.updated_at, pins.root_image, pins.source,
       arrivals.machine, guests.gone_since, repairs.uuid NOT NULL, definitions.checksum,
       strftime('%Y-%m-%dT%H:%M:%S.000000Z', ?2, '+{SKEW} seconds'),
       {", ".join([f"settings.{name}" for name in FIELDS[:-1]])}
FROM (SELECT ?1 AS uuid) AS asked
LEFT JOIN settings ON settings.id = 1
LEFT JOIN pins ON pins.uuid = asked.uuid
LEFT JOIN arrivals ON arrivals.uuid = asked.uuid
    AND (julianday(?2) - julianday(arrivals.at)) * 86400 BETWEEN -1 AND ?3
LEFT JOIN guests ON guests.uuid = asked.uuid
LEFT JOIN repairs ON repairs.uuid = asked.uuid
LEFT JOIN definitions ON definitions.uuid = asked.uuid
"""


def lookup(conn: Connection, uuid: str, now: str) -> Known:
    """Return everything that the hook needs to know about a guest.

    :param now: the present, as :func:`mthook.text.now` makes it.
    """
    with Guard(conn):
        row = conn.execute(_LOOKUP, (uuid, now, ARRIVAL_SECONDS)).fetchone()
    return Known(Settings(*row[11:]) if row[11] is not None else None, *row[:11])


def compared(conn: Connection, uuid: str) -> Compared | None:
    """Return what Nova's database said when a guest's pin was last compared with it; None: it never was."""
    with Guard(conn):
        row = conn.execute(
            "SELECT machine, row, rebuild FROM compared WHERE uuid = ?", (uuid,)
        ).fetchone()
    return tuple(row) if row else None


def aliases(
    conn: Connection, emulator: str | None, arch: str | None, virt_type: str | None
) -> dict[str, str]:
    """Return what the aliases of an emulator resolve to on this host; none once its file has changed.

    :param emulator: if None or not listed on this host: the aliases on which all emulators of that
        architecture and virt type agree, unless the file of one of them has changed.
    """
    with Guard(conn):
        rows = conn.execute(
            "SELECT emulator, stamp, machine, canonical FROM capabilities"
            " WHERE arch = ? AND virt_type = ?",
            (arch, virt_type),
        ).fetchall()
    rows = [row for row in rows if row[0] == emulator] or rows
    stamps = {(one, seen) for one, seen, _, _ in rows}
    if any([has_changed(one, seen) for one, seen in stamps]):
        return {}
    found: dict[str, set[str]] = {}
    for _, _, machine, canonical in rows:
        if canonical is not None:
            found.setdefault(machine, set()).add(canonical)
    return {machine: behind.pop() for machine, behind in found.items() if len(behind) == 1}


def stamp(emulator: str) -> str | None:
    """Return what tells an emulator's file from an upgraded one in its place; None: it isn't here.

    It leaves out the inode: each container has a different one for the same file.
    """
    try:
        status = os.stat(emulator)
    except OSError:
        return None
    return f"{status.st_mtime_ns}:{status.st_size}"


def has_changed(emulator: str, seen: str | None) -> bool:
    """Tell whether an emulator has been replaced since; no if it is out of sight, then or now.

    :param seen: its stamp when it was asked what it offers.
    """
    present = stamp(emulator) if seen is not None else None
    return present is not None and present != seen
