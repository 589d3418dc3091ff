# SPDX-License-Identifier: Apache-2.0
"""The pins: the local SQLite catalog, its schema and its statements."""
