# SPDX-License-Identifier: Apache-2.0
"""The catalog's tables, as the current mthook wants them.

``migrations/`` brings a catalog of any age here; a test holds the two together. Times are UTC text
as :func:`mthook.text.now` makes it. Rows that are looked up by UUID live in the index itself
(``WITHOUT ROWID``), which spares the hook one search tree.
"""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Float, Integer, MetaData, Table, Text

METADATA = MetaData()

#: What every guest is to keep. ``machine`` NULL: released, the next boot records anew. ``seen``:
#: the versioned name the guest ran with when the pin was recorded. ``root_image``: Nova's image,
#: which a rebuild changes.
PINS = Table(
    "pins",
    METADATA,
    Column("uuid", Text, primary_key=True),
    Column("machine", Text),
    Column("seen", Text),
    Column("arch", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text),
    Column("actor", Text, nullable=False),
    Column("root_image", Text),
    Column("qemu_version", Text),
    Column("libvirt_version", Text),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    sqlite_with_rowid=False,
)

#: Whatever happened to a pin, oldest first.
HISTORY = Table(
    "history",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", Text, nullable=False, index=True),
    Column("at", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("old", Text),
    Column("new", Text),
    Column("source", Text),
    Column("reason", Text),
    Column("actor", Text, nullable=False),
    sqlite_autoincrement=True,
)

#: Guests whose start was stopped and whose definition is to be mended.
REPAIRS = Table(
    "repairs",
    METADATA,
    Column("uuid", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("pin", Text, nullable=False),
    Column("found", Text, nullable=False),
    Column("nova", Boolean, nullable=False),
    Column("restart", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

#: Guests that have just been let in by ``migrate`` or ``restore``, whose ``prepare`` follows.
ARRIVALS = Table(
    "arrivals",
    METADATA,
    Column("uuid", Text, primary_key=True),
    Column("at", Text, nullable=False),
    Column("machine", Text, nullable=False),
    sqlite_with_rowid=False,
)

#: What this host's emulators offer. ``canonical``: what an alias resolves to here.
CAPABILITIES = Table(
    "capabilities",
    METADATA,
    Column("emulator", Text, primary_key=True),
    Column("arch", Text, primary_key=True),
    Column("virt_type", Text, primary_key=True),
    Column("machine", Text, primary_key=True),
    Column("canonical", Text),
    Column("deprecated", Boolean, nullable=False),
    Column("max_cpus", Integer),
    sqlite_with_rowid=False,
)

#: One row: this host, and how its last sync went. ``daemons``: JSON.
HOST = Table(
    "host",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("hostname", Text),
    Column("qemu_version", Text),
    Column("libvirt_version", Text),
    Column("seen_at", Text),
    Column("daemons", Text),
    Column("last_sync_at", Text),
    Column("last_sync_ok", Boolean),
)

#: One row: the part of the configuration that the hook needs, and the fingerprint of the files it
#: came from.
POLICY = Table(
    "policy",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("mode", Text, nullable=False),
    Column("on_error", Text, nullable=False),
    Column("migrate_mismatch", Text, nullable=False),
    Column("timeout", Float, nullable=False),
    Column("style", Text, nullable=False),
    Column("nova", Boolean, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("compiled_at", Text, nullable=False),
)

#: Every guest as last seen. ``defined`` and ``running``: its machine types; ``gone_since``: no
#: longer on this host.
GUESTS = Table(
    "guests",
    METADATA,
    Column("uuid", Text, primary_key=True),
    Column("name", Text, nullable=False, index=True),
    Column("arch", Text, nullable=False),
    Column("virt_type", Text, nullable=False),
    Column("emulator", Text),
    Column("defined", Text),
    Column("running", Text),
    Column("state", Text, nullable=False),
    Column("managed_save", Boolean, nullable=False),
    Column("snapshots", Integer, nullable=False),
    Column("nova", Boolean, nullable=False),
    Column("windows", Boolean, nullable=False),
    Column("seen_at", Text, nullable=False),
    Column("gone_since", Text),
    sqlite_with_rowid=False,
)

#: What Nova's database said of an instance when its pin was last compared with it. ``machine``:
#: NULL where it had none; ``row``: id of the row that holds it; ``rebuild``: of its last rebuild.
COMPARED = Table(
    "compared",
    METADATA,
    Column("uuid", Text, primary_key=True),
    Column("machine", Text),
    Column("row", Integer),
    Column("rebuild", Integer),
    sqlite_with_rowid=False,
)

#: What guests were before their last change of family, and right after it: domain XML without
#: secrets.
ORIGINALS = Table(
    "originals",
    METADATA,
    Column("uuid", Text, primary_key=True),
    Column("at", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    sqlite_with_rowid=False,
)
