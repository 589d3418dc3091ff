# SPDX-License-Identifier: Apache-2.0
"""What guests were before their last change of family, to lead them back to it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from mthook.catalog.schema import ORIGINALS
from mthook.catalog.session import Session
from mthook.xmlrewrite.target import Original


class Originals(Session):
    """The part of the catalog that keeps definitions. They are kept without their secrets."""

    def original(self, uuid: str) -> Original | None:
        """Return what is kept of a guest, None if nothing is."""
        with self.reading() as connection:
            row = connection.execute(sa.select(ORIGINALS).where(ORIGINALS.c.uuid == uuid)).first()
        return Original(row.before.encode(), row.after.encode(), row.at) if row else None

    def keep_original(self, uuid: str, original: Original | None) -> None:
        """Keep this of a guest in place of what was kept; None: nothing.

        :param original: as :func:`mthook.xmlrewrite.secrets.without_secrets` leaves it.
        """
        with self.transaction() as connection:
            connection.execute(sa.delete(ORIGINALS).where(ORIGINALS.c.uuid == uuid))
            if original is not None:
                values = {
                    "uuid": uuid,
                    "at": original.at,
                    "before": original.before.decode(),
                    "after": original.after.decode(),
                }
                connection.execute(insert(ORIGINALS).values(**values))
