# SPDX-License-Identifier: Apache-2.0
"""Make the record's tables, or bring older ones up to date: as a user that may."""

from __future__ import annotations

import os

import sqlalchemy as sa

from mthook.errors import FleetError, FleetSchema
from mthook.fleet.connection import Record, asked
from mthook.fleet.tables import HOSTS, OFFERS, SCHEMA, TABLES, VERSION
from mthook.text import printable

#: Seconds that a server may take to make the tables.
_SECONDS = 600


def bring_up(record: Record) -> str | None:
    """Make the tables, or bring those of an older mthook to the current schema; return the schema that was there.

    :raises FleetSchema: a newer mthook made them, or they aren't mthook's.
    """
    try:
        from alembic import command
        from alembic.config import Config
    except ImportError as error:
        raise FleetError(
            f"the fleet's record: {error}: install Alembic to make its tables"
        ) from error
    with asked(_SECONDS), record.engine.connect() as connection:
        found = _found(connection)
        connection.rollback()
        config = Config()
        place = os.path.join(os.path.dirname(__file__), "schema")
        config.set_main_option("script_location", place.replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, SCHEMA)
        connection.commit()
    return found


def _found(connection: sa.engine.Connection) -> str | None:
    """Return the schema that is there, None for an empty database, or one that was interrupted."""
    names = set(sa.inspect(connection).get_table_names())
    if VERSION.name in names:
        found = connection.execute(sa.select(VERSION.c.version_num)).scalar()
        if found is not None and (not found.isdigit() or found > SCHEMA):
            raise FleetSchema(
                f"the fleet's record has schema {printable(found)}, this mthook knows {SCHEMA}: a newer mthook made it,"
                " or it is no database of mthook's"
            )
        return None if found is None else str(found)
    others = sorted(names - {table.name for table in TABLES})
    if others:
        few = ", ".join(printable(name) for name in others[:3])
        raise FleetSchema(f"the fleet's record needs a database of its own; this one has {few}")
    return None


def forget(record: Record, host: str) -> bool:
    """Remove all that is known of the hosts of a name but their history, and offers that nobody has any more.

    :return: False: there was none.
    """

    def work(connection: sa.engine.Connection) -> bool:
        removed = connection.execute(sa.delete(HOSTS).where(HOSTS.c.host == host)).rowcount
        used = sa.select(HOSTS.c.offer).where(HOSTS.c.offer.is_not(None))
        connection.execute(sa.delete(OFFERS).where(OFFERS.c.digest.not_in(used)))
        return bool(removed)

    return record.transact(work)
