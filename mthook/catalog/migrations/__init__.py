# SPDX-License-Identifier: Apache-2.0
"""The steps that bring a catalog of any age to the current schema (Alembic)."""
