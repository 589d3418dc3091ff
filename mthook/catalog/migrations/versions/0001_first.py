# SPDX-License-Identifier: Apache-2.0
"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables."""
    _create_pins()
    _create_history()
    _create_hook_tables()
    _create_host_tables()
    _create_guests()


def _create_pins() -> None:
    op.create_table(
        "pins",
        sa.Column("uuid", sa.Text, primary_key=True),
        sa.Column("machine", sa.Text),
        sa.Column("seen", sa.Text),
        sa.Column("arch", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("root_image", sa.Text),
        sa.Column("qemu_version", sa.Text),
        sa.Column("libvirt_version", sa.Text),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


def _create_history() -> None:
    op.create_table(
        "history",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("uuid", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("old", sa.Text),
        sa.Column("new", sa.Text),
        sa.Column("source", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_history_uuid", "history", ["uuid"])


def _create_hook_tables() -> None:
    op.create_table(
        "repairs",
        sa.Column("uuid", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("pin", sa.Text, nullable=False),
        sa.Column("found", sa.Text, nullable=False),
        sa.Column("nova", sa.Boolean, nullable=False),
        sa.Column("restart", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "arrivals",
        sa.Column("uuid", sa.Text, primary_key=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("machine", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "policy",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("on_error", sa.Text, nullable=False),
        sa.Column("migrate_mismatch", sa.Text, nullable=False),
        sa.Column("timeout", sa.Float, nullable=False),
        sa.Column("style", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("compiled_at", sa.Text, nullable=False),
    )


def _create_host_tables() -> None:
    op.create_table(
        "host",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True),
        sa.Column("hostname", sa.Text),
        sa.Column("qemu_version", sa.Text),
        sa.Column("libvirt_version", sa.Text),
        sa.Column("seen_at", sa.Text),
        sa.Column("daemons", sa.Text),
        sa.Column("last_sync_at", sa.Text),
        sa.Column("last_sync_ok", sa.Boolean),
    )
    op.create_table(
        "capabilities",
        sa.Column("emulator", sa.Text, primary_key=True),
        sa.Column("arch", sa.Text, primary_key=True),
        sa.Column("virt_type", sa.Text, primary_key=True),
        sa.Column("machine", sa.Text, primary_key=True),
        sa.Column("canonical", sa.Text),
        sa.Column("deprecated", sa.Boolean, nullable=False),
        sa.Column("max_cpus", sa.Integer),
        sqlite_with_rowid=False,
    )


def _create_guests() -> None:
    op.create_table(
        "guests",
        sa.Column("uuid", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("arch", sa.Text, nullable=False),
        sa.Column("virt_type", sa.Text, nullable=False),
        sa.Column("emulator", sa.Text),
        sa.Column("defined", sa.Text),
        sa.Column("running", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("managed_save", sa.Boolean, nullable=False),
        sa.Column("snapshots", sa.Integer, nullable=False),
        sa.Column("nova", sa.Boolean, nullable=False),
        sa.Column("windows", sa.Boolean, nullable=False),
        sa.Column("seen_at", sa.Text, nullable=False),
        sa.Column("gone_since", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_guests_name", "guests", ["name"])
