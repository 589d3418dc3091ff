# SPDX-License-Identifier: Apache-2.0
"""The record's tables, made by Alembic in numbered steps. Once released, a step is never changed.

Only ``mthook-admin fleet init`` runs them, as a user that may make tables; hosts have no need of Alembic.
"""
