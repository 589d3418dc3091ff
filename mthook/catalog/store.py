# SPDX-License-Identifier: Apache-2.0
"""The catalog as the tools and the hook's slow path use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mthook.catalog import fastsql
from mthook.catalog.guests import Guests
from mthook.catalog.hosts import Hosts
from mthook.catalog.opening import Connection, open_database
from mthook.catalog.originals import Originals
from mthook.catalog.pins import ANY
from mthook.errors import CatalogMissing

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ANY", "Catalog"]


class Catalog(Guests, Hosts, Originals):
    """An open catalog; at the end of a ``with`` block it is closed.

    Every method raises :class:`CatalogError` where SQLite fails.
    """

    @classmethod
    def open(cls, path: str, *, create: bool = True, timeout: float = 10.0) -> Catalog:
        """Open a catalog; one of an older mthook is brought up to date.

        :param create: create it where there is none.
        :param timeout: seconds to wait for other processes that write.
        :raises CatalogMissing: there is none, and none is to be created.
        :raises CatalogUnsafe: others than root can reach it.
        :raises CatalogNewer: a newer mthook has written it.
        :raises CatalogError: it can't be read, written or created.
        """
        raw = _open_current(path, timeout)
        if raw is None:
            from mthook.catalog import migrate  # Alembic takes longer to import than all the rest

            migrate.bring_up(path, create=create, timeout=timeout)
            raw = fastsql.connect(path, timeout)
        return _opened(cls, raw)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close()


def _open_current(path: str, timeout: float) -> Connection | None:
    """Open a catalog that is up to date; None when it is to be created or upgraded."""
    try:
        raw = open_database(path, timeout)
    except CatalogMissing:
        return None
    try:
        revision = fastsql.read_revision(raw)
        if revision is not None:
            fastsql.check_known(path, revision)
    except BaseException:
        raw.close()
        raise
    if revision == fastsql.SCHEMA:
        return raw
    raw.close()
    return None


def _opened(cls: type[Catalog], raw: Connection) -> Catalog:
    try:
        return cls(raw)
    except BaseException:
        raw.close()
        raise
