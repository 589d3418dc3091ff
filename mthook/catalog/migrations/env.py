# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: runs the steps in the transaction :mod:`mthook.catalog.migrate` has begun."""

from __future__ import annotations

from alembic import context

from mthook.catalog.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
