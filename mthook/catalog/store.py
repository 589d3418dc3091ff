# SPDX-License-Identifier: Apache-2.0
"""The whole catalog. The hook records through it, so nothing slow is imported here."""

from __future__ import annotations

from mthook.catalog import lookup
from mthook.catalog.connection import Guard
from mthook.catalog.hosts import Hosts
from mthook.catalog.pins import ANY, Pins
from mthook.errors import CatalogMissing, CatalogOlder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ANY", "Catalog"]


class Catalog(Pins, Hosts):
    """An open catalog; at the end of a ``with`` block it is closed.

    Every method raises :class:`CatalogError` if SQLite fails; those that change something return once
    the change is on the disk.
    """

    @classmethod
    def open(cls, path: str, *, create: bool = True, timeout: float = 10.0) -> Catalog:
        """Open a catalog; one of an older mthook is brought up to date.

        :param create: create it where there is none.
        :param timeout: seconds to wait for other processes that write.
        :raises CatalogError: or a subclass; :class:`CatalogMissing` only if none is to be created.
        """
        try:
            connection = lookup.connect(path, timeout)
        except (CatalogMissing, CatalogOlder):
            from mthook.catalog import migrate

            migrate.bring_up(path, create=create, timeout=timeout)
            connection = lookup.connect(path, timeout)
        try:
            with Guard(connection):
                # An upgraded or restored copy may be in another mode, in which a writer would keep
                # the hooks out.
                connection.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close()
