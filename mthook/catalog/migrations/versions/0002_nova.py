# SPDX-License-Identifier: Apache-2.0
"""What Nova's database said, and whether there is one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table, and a column to the compiled configuration, which is compiled anew then."""
    op.create_table(
        "compared",
        sa.Column("uuid", sa.Text, primary_key=True),
        sa.Column("machine", sa.Text),
        sa.Column("row", sa.Integer),
        sa.Column("rebuild", sa.Integer),
        sqlite_with_rowid=False,
    )
    op.drop_table("policy")
    op.create_table(
        "policy",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("on_error", sa.Text, nullable=False),
        sa.Column("migrate_mismatch", sa.Text, nullable=False),
        sa.Column("timeout", sa.Float, nullable=False),
        sa.Column("style", sa.Text, nullable=False),
        sa.Column("nova", sa.Boolean, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("compiled_at", sa.Text, nullable=False),
    )
