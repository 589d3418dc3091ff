# SPDX-License-Identifier: Apache-2.0
"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

_METADATA = sa.MetaData()
_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
#: A user without rights on the tables still writes the rows that are its own.
_USER = {"mysql": "SUBSTRING_INDEX(USER(), '@', 1)", "postgresql": "session_user"}
_OWN = {
    "hosts": "id",
    "guests": "host_id",
    "machines": "host_id",
    "wishes": "host_id",
    "history": "host_id",
}


def _text(name: str, length: int = 255, *, null: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=null)


def _number(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=null)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(create_constraint=False), nullable=False)


def _of_host() -> sa.Column[str]:
    return sa.Column(
        "host_id", sa.String(16), sa.ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True
    )


sa.Table(
    "hosts",
    _METADATA,
    sa.Column("id", sa.String(16), primary_key=True),
    _text("host", null=False),
    _text("owner", null=False),
    _text("pushed_at", 27, null=False),
    _text("mthook_version"),
    _text("qemu_version"),
    _text("libvirt_version"),
    _text("mode"),
    _text("ran_at", 27),
    _text("succeeded_at", 27),
    _number("errors"),
    sa.Column("error", sa.String(400)),
    _flag("hook_installed"),
    _flag("hook_current"),
    _flag("hook_loaded"),
    _text("hook_at", 27),
    _text("offer", 64),
    _number("guests"),
    _number("running"),
    _number("unpinned"),
    _number("drifting"),
    _number("unstartable", null=True),
    _number("deprecated"),
    _number("history_id"),
    _text("history_at", 27, null=False),
    sa.Index("ix_hosts_host", "host"),
    **_OPTIONS,
)
sa.Table(
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
    _text("pinned_at", 27),
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
    **_OPTIONS,
)
sa.Table(
    "machines",
    _METADATA,
    _of_host(),
    sa.Column("name", sa.String(255), primary_key=True),
    _number("guests"),
    _number("running"),
    _number("pins"),
    sa.Index("ix_machines_name", "name"),
    **_OPTIONS,
)
sa.Table(
    "offers",
    _METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("document", sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql"), nullable=False),
    **_OPTIONS,
)
sa.Table(
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
    _text("made_at", 27, null=False),
    _text("expected_at", 27),
    _text("outcome", 16),
    _text("detail", 400),
    _text("done_at", 27),
    sa.Index("ix_wishes_token", "token"),
    **_OPTIONS,
)
sa.Table(
    "history",
    _METADATA,
    sa.Column(
        "id",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        sa.Identity(),  # unlike a sequence, it asks for no right of its own
        primary_key=True,
    ),
    _text("host_id", 16, null=False),
    _text("host", null=False),
    sa.Column("uuid", sa.String(36), nullable=False),
    _text("at", 27, null=False),
    _text("event", 16, null=False),
    _text("old"),
    _text("new"),
    _text("source"),
    _text("reason", 400),
    _text("actor", null=False),
    sa.Index("ix_history_at", "at"),
    sa.Index("ix_history_uuid", "uuid", "at"),
    **_OPTIONS,
)


def upgrade() -> None:
    """Make the tables, those that an interrupted run has made already left out, and the views."""
    _METADATA.create_all(op.get_bind(), checkfirst=True)
    user = _USER.get(op.get_bind().dialect.name)
    for table, key in _OWN.items() if user else ():
        which = "" if table == "hosts" else f"{key} IN (SELECT id FROM hosts WHERE "
        op.execute(
            f"CREATE OR REPLACE VIEW own_{table} AS SELECT * FROM {table}"
            f" WHERE {which}owner = {user}{')' if which else ''} WITH CHECK OPTION"
        )
