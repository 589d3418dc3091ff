# SPDX-License-Identifier: Apache-2.0
"""Definitions from before a change of family."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "originals",
        sa.Column("uuid", sa.Text, primary_key=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
