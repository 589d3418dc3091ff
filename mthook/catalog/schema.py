# SPDX-License-Identifier: Apache-2.0
"""The catalog's tables, made by numbered steps. Once released, a step is never changed.

The number of the last step is a row of the table ``alembic_version``: mthook 0.1.0 made its catalogs with Alembic,
looks there, and so refuses the catalog of a newer mthook. It wouldn't see ``PRAGMA user_version``, and without the
table it would take the catalog for a broken one and tell the operator to move it away.

Times are UTC text as :func:`mthook.text.now` makes it. Rows that are looked up by UUID live in the index itself
(``WITHOUT ROWID``), which spares the hook one search tree. SQLite 3.34 must still understand all of it.
"""

from __future__ import annotations

from mthook.catalog.connection import Connection, Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    Step = Callable[[Connection], None]


def bring_up(connection: Connection, revision: str | None) -> None:
    """Apply the steps that a catalog lacks and record the last one, all in one transaction.

    :param revision: the last step it has seen; None: it is empty.
    """
    with Transaction(connection):
        for number in [one for one in STEPS if revision is None or one > revision]:
            STEPS[number](connection)
            connection.execute("DELETE FROM alembic_version")
            connection.execute("INSERT INTO alembic_version VALUES (?)", (number,))


def _script(statements: str) -> Step:
    """Return a step. SQLite's own way to run many statements would commit the ones before them."""

    def step(connection: Connection) -> None:
        for statement in statements.split(";\n"):
            connection.execute(statement)

    return step


#: The steps by number, in order.
STEPS: dict[str, Step] = {
    "0001": _script("""
        CREATE TABLE alembic_version (version_num TEXT NOT NULL PRIMARY KEY);
        -- What every guest is to keep; see Pin. A machine of NULL: released, the next boot records anew.
        CREATE TABLE pins (
            uuid TEXT NOT NULL PRIMARY KEY,
            machine TEXT,
            seen TEXT,
            arch TEXT NOT NULL,
            source TEXT NOT NULL,
            reason TEXT,
            actor TEXT NOT NULL,
            root_image TEXT,
            qemu_version TEXT,
            libvirt_version TEXT,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL
        ) WITHOUT ROWID;
        -- Whatever happened to a pin, oldest first; see HistoryEntry.
        CREATE TABLE history (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            uuid TEXT NOT NULL,
            at TEXT NOT NULL,
            event TEXT NOT NULL,
            old TEXT,
            new TEXT,
            source TEXT,
            reason TEXT,
            actor TEXT NOT NULL
        );
        CREATE INDEX ix_history_uuid ON history (uuid);
        -- Guests whose start was stopped and whose definition is to be mended; see Repair.
        CREATE TABLE repairs (
            uuid TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL,
            at TEXT NOT NULL,
            pin TEXT NOT NULL,
            found TEXT NOT NULL,
            nova BOOLEAN NOT NULL,
            restart BOOLEAN NOT NULL
        ) WITHOUT ROWID;
        -- Guests that have just been let in by migrate or restore, whose prepare follows.
        CREATE TABLE arrivals (
            uuid TEXT NOT NULL PRIMARY KEY,
            at TEXT NOT NULL,
            machine TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE policy (
            id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
            mode TEXT NOT NULL,
            on_error TEXT NOT NULL,
            migrate_mismatch TEXT NOT NULL,
            timeout FLOAT NOT NULL,
            style TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            compiled_at TEXT NOT NULL
        );
        -- One row: this host, and how its last sync went; see HostFacts.
        CREATE TABLE host (
            id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
            hostname TEXT,
            qemu_version TEXT,
            libvirt_version TEXT,
            seen_at TEXT,
            daemons TEXT,
            last_sync_at TEXT,
            last_sync_ok BOOLEAN
        );
        CREATE TABLE capabilities (
            emulator TEXT NOT NULL,
            arch TEXT NOT NULL,
            virt_type TEXT NOT NULL,
            machine TEXT NOT NULL,
            canonical TEXT,
            deprecated BOOLEAN NOT NULL,
            max_cpus INTEGER,
            PRIMARY KEY (emulator, arch, virt_type, machine)
        ) WITHOUT ROWID;
        -- Every guest as last seen; see Guest.
        CREATE TABLE guests (
            uuid TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL,
            arch TEXT NOT NULL,
            virt_type TEXT NOT NULL,
            emulator TEXT,
            defined TEXT,
            running TEXT,
            state TEXT NOT NULL,
            managed_save BOOLEAN NOT NULL,
            snapshots INTEGER NOT NULL,
            nova BOOLEAN NOT NULL,
            windows BOOLEAN NOT NULL,
            seen_at TEXT NOT NULL,
            gone_since TEXT
        ) WITHOUT ROWID;
        CREATE INDEX ix_guests_name ON guests (name);
    """),
    "0002": _script("""
        -- What Nova's database said of an instance when its pin was last compared with it; see Compared.
        CREATE TABLE compared (
            uuid TEXT NOT NULL PRIMARY KEY,
            machine TEXT,
            row INTEGER,
            rebuild INTEGER
        ) WITHOUT ROWID;
        -- What it says is compiled anew.
        DROP TABLE policy;
        CREATE TABLE policy (
            id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
            mode TEXT NOT NULL,
            on_error TEXT NOT NULL,
            migrate_mismatch TEXT NOT NULL,
            timeout FLOAT NOT NULL,
            style TEXT NOT NULL,
            nova BOOLEAN NOT NULL,
            fingerprint TEXT NOT NULL,
            compiled_at TEXT NOT NULL
        );
    """),
    "0003": _script("""
        -- What guests were before their last change of family, and right after it: domain XML without
        -- secrets.
        CREATE TABLE originals (
            uuid TEXT NOT NULL PRIMARY KEY,
            at TEXT NOT NULL,
            before TEXT NOT NULL,
            after TEXT NOT NULL
        ) WITHOUT ROWID;
    """),
    "0004": _script("""
        -- Tables are made anew: to rename one takes SQLite longer than to make a whole catalog.
        -- One row: the part of the configuration that the hook needs; see Settings.
        CREATE TABLE settings (
            id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
            mode TEXT NOT NULL,
            on_error TEXT NOT NULL,
            migrate_mismatch TEXT NOT NULL,
            timeout FLOAT NOT NULL,
            style TEXT NOT NULL,
            nova BOOLEAN NOT NULL,
            fingerprint TEXT NOT NULL,
            compiled_at TEXT NOT NULL
        );
        INSERT INTO settings SELECT * FROM policy;
        DROP TABLE policy;
        -- What this host's emulators offer; see Capability. Without max_cpus, which nothing read.
        CREATE TABLE kept AS SELECT emulator, arch, virt_type, machine, canonical, deprecated FROM capabilities;
        DROP TABLE capabilities;
        CREATE TABLE capabilities (
            emulator TEXT NOT NULL,
            arch TEXT NOT NULL,
            virt_type TEXT NOT NULL,
            machine TEXT NOT NULL,
            canonical TEXT,
            deprecated BOOLEAN NOT NULL,
            PRIMARY KEY (emulator, arch, virt_type, machine)
        ) WITHOUT ROWID;
        INSERT INTO capabilities SELECT * FROM kept;
        DROP TABLE kept;
    """),
    "0005": _script("""
        CREATE TABLE kept AS SELECT * FROM settings;
        DROP TABLE settings;
        CREATE TABLE settings (
            id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
            mode TEXT NOT NULL,
            on_error TEXT NOT NULL,
            migrate_mismatch TEXT NOT NULL,
            timeout FLOAT NOT NULL,
            style TEXT NOT NULL,
            nova BOOLEAN NOT NULL,
            write_back BOOLEAN NOT NULL,
            nova_stop TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            compiled_at TEXT NOT NULL
        );
        INSERT INTO settings
            SELECT id, mode, on_error, migrate_mismatch, timeout, style, nova, 1, 'stop', fingerprint, compiled_at
            FROM kept;
        DROP TABLE kept
    """),
    "0006": _script("""
        ALTER TABLE host ADD COLUMN steady_since TEXT
    """),
    "0007": _script("""
        -- The last definitions that satisfied their pins, without secrets; see mthook.xmlrewrite.target.Kept.
        CREATE TABLE definitions (
            uuid TEXT NOT NULL PRIMARY KEY,
            checksum INTEGER NOT NULL,
            machine TEXT NOT NULL,
            at TEXT NOT NULL,
            xml TEXT NOT NULL
        ) WITHOUT ROWID;
    """),
    "0008": _script("""
        -- What an emulator's file was when it was asked; see Capability.
        ALTER TABLE capabilities ADD COLUMN stamp TEXT;
        -- 0.1.0 imported any text as what a guest was seen as. One that is no machine type's name can't be judged by.
        UPDATE pins SET seen = NULL
        WHERE seen GLOB '*[^-A-Za-z0-9._+]*' OR seen GLOB '-*' OR length(seen) NOT BETWEEN 1 AND 255
    """),
    "0009": _script("""
        -- What Nova calls the guest; see Guest.
        ALTER TABLE guests ADD COLUMN display TEXT;
        -- What Nova calls its instances on this host, and their states, as of the last sync.
        CREATE TABLE instances (
            uuid TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL,
            state TEXT NOT NULL
        ) WITHOUT ROWID;
    """),
    "0010": _script("""
        -- What the last whole sync failed with, as JSON; see HostFacts.
        ALTER TABLE host ADD COLUMN last_sync_errors TEXT
    """),
    "0011": _script("""
        -- How the last whole sync ended, also one that broke off, and when one last went well; see HostFacts.
        ALTER TABLE host ADD COLUMN ran_at TEXT;
        ALTER TABLE host ADD COLUMN ran_errors INTEGER;
        ALTER TABLE host ADD COLUMN succeeded_at TEXT;
        UPDATE host SET ran_at = last_sync_at, ran_errors = NOT last_sync_ok;
        UPDATE host SET succeeded_at = last_sync_at WHERE last_sync_ok
    """),
    "0012": _script("""
        -- The change that an event is part of, as ``mthook-admin undo`` calls it; see HistoryEntry.
        ALTER TABLE history ADD COLUMN change TEXT
    """),
}
