# SPDX-License-Identifier: Apache-2.0
"""What guests were before their last change of family, to lead them back to it."""

from __future__ import annotations

from mthook.catalog.rows import Rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mthook.xmlrewrite.target import Original


class Originals(Rows):
    """The part of the catalog that keeps definitions. They are kept without their secrets."""

    def original(self, uuid: str) -> Original | None:
        """Return what is kept of a guest, None if nothing is."""
        from mthook.xmlrewrite.target import Original

        row = self._row("SELECT * FROM originals WHERE uuid = ?", uuid)
        return Original(row["before"].encode(), row["after"].encode(), row["at"]) if row else None

    def keep_original(self, uuid: str, original: Original | None) -> None:
        """Keep this of a guest in place of what was kept; None: nothing.

        :param original: as :func:`mthook.xmlrewrite.secrets.without_secrets` leaves it.
        """
        if original is None:
            self._change("DELETE FROM originals WHERE uuid = ?", uuid)
        else:
            xml = {"before": original.before.decode(), "after": original.after.decode()}
            self._put("originals", {"uuid": uuid, "at": original.at, **xml})
