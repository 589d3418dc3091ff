# SPDX-License-Identifier: Apache-2.0
"""The record's tables, as the last step of :mod:`mthook.fleet.schema` leaves them: a test compares both.

Hosts write through views, where the server has users: each user sees and changes the rows of its own hosts alone there.
Times are UTC text as :func:`mthook.text.now` makes it.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

#: The number of the last step of :mod:`mthook.fleet.schema`.
SCHEMA = "0001"
#: The longest machine type, name and text that is kept; the longest time; the length of a host's key.
NAME, TIME, KEY = 255, 27, 16

_METADATA = sa.MetaData()


def _text(name: str, length: int = NAME, *, null: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=null)


def _number(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=null)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(create_constraint=False), nullable=False)


def _of_host() -> sa.Column[str]:
    return sa.Column(
        "host_id", sa.String(KEY), sa.ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True
    )


#: See :class:`mthook.fleet.rows.Host`. ``owner``: the database user that writes it; ``pushed_at``: when, as the server
#: has it.
HOSTS = sa.Table(
    "hosts",
    _METADATA,
    sa.Column("id", sa.String(KEY), primary_key=True),
    _text("host", null=False),
    _text("owner", null=False),
    _text("pushed_at", TIME, null=False),
    _text("mthook_version"),
    _text("qemu_version"),
    _text("libvirt_version"),
    _text("mode"),
    _text("ran_at", TIME),
    _text("succeeded_at", TIME),
    _number("errors"),
    sa.Column("error", sa.String(400)),
    _flag("hook_installed"),
    _flag("hook_current"),
    _flag("hook_loaded"),
    _text("hook_at", TIME),
    _text("offer", 64),
    _number("guests"),
    _number("running"),
    _number("unpinned"),
    _number("drifting"),
    _number("unstartable", null=True),
    _number("deprecated"),
    _number("history_id"),
    _text("history_at", TIME, null=False),
    sa.Index("ix_hosts_host", "host"),
)
#: See :class:`mthook.fleet.rows.Guest`.
GUESTS = sa.Table(
    "guests",
    _METADATA,
    _of_host(),
    sa.Column("uuid", sa.String(36), primary_key=True),
    _text("digest", 16, null=False),
    _text("name"),
    _text("display"),
    _text("arch", 32, null=False),
    _text("virt_type", 32, null=False),
    _text("state", 32, null=False),
    _flag("nova"),
    _flag("windows"),
    _text("running"),
    _text("defined"),
    _text("machine"),
    _flag("managed_save"),
    _number("snapshots"),
    _text("pin"),
    _text("seen"),
    _text("source"),
    _text("actor"),
    _text("reason", 400),
    _text("pinned_at", TIME),
    _text("recorded"),
    _text("stopped"),
    _text("elsewhere"),
    _text("drift", 64, null=False),
    _flag("deprecated"),
    _flag("unsupported"),
    sa.Index("ix_guests_uuid", "uuid"),
    sa.Index("ix_guests_name", "name"),
    sa.Index("ix_guests_display", "display"),
    sa.Index("ix_guests_drift", "drift"),
)
#: See :class:`mthook.fleet.rows.Machine`: few rows tell what a scan of all guests would.
MACHINES = sa.Table(
    "machines",
    _METADATA,
    _of_host(),
    sa.Column("name", sa.String(NAME), primary_key=True),
    _number("guests"),
    _number("running"),
    _number("pins"),
    sa.Index("ix_machines_name", "name"),
)
#: What QEMU offers, by the digest of the text: thousands of hosts have the same.
OFFERS = sa.Table(
    "offers",
    _METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("document", sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql"), nullable=False),
)
#: What an administrator asks a guest's host to do; see :class:`mthook.fleet.rows.Wish`.
WISHES = sa.Table(
    "wishes",
    _METADATA,
    _of_host(),
    sa.Column("uuid", sa.String(36), primary_key=True),
    _text("token", 36, null=False),
    _text("kind", 16, null=False),
    _text("pin"),
    _text("allowed"),
    _text("actor", null=False),
    _text("reason", 400),
    _text("made_at", TIME, null=False),
    _text("expected_at", TIME),
    _text("outcome", 16),
    _text("detail", 400),
    _text("done_at", TIME),
    sa.Index("ix_wishes_token", "token"),
)
#: What happened to pins, as the hosts' catalogs have it. It stays when a host is forgotten.
HISTORY = sa.Table(
    "history",
    _METADATA,
    sa.Column(
        "id",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        sa.Identity(),
        primary_key=True,
    ),
    _text("host_id", KEY, null=False),
    _text("host", null=False),
    sa.Column("uuid", sa.String(36), nullable=False),
    _text("at", TIME, null=False),
    _text("event", 16, null=False),
    _text("old"),
    _text("new"),
    _text("source"),
    _text("reason", 400),
    _text("actor", null=False),
    sa.Index("ix_history_at", "at"),
    sa.Index("ix_history_uuid", "uuid", "at"),
)
TABLES = (HOSTS, GUESTS, MACHINES, OFFERS, WISHES, HISTORY)
VERSION = sa.Table("alembic_version", _METADATA, sa.Column("version_num", sa.String(32)))

#: The tables of which a host writes its own rows only.
OWN = (HOSTS, GUESTS, MACHINES, WISHES, HISTORY)


def own(table: sa.Table, dialect: str) -> sa.Table:
    """Return what a host writes to in place of a table: a view, where the server has users."""
    return table if dialect == "sqlite" else _VIEWS[table]


_VIEWS = {table: table.to_metadata(sa.MetaData(), name=f"own_{table.name}") for table in OWN}
