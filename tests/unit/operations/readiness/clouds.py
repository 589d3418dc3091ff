# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Nova's databases, with the promises of mthook.nova.cells and .cell."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mthook.errors import NovaError
from mthook.nova.instance import NovaInstance


class Cell:
    """A cell with some instances, or an error.

    :param host: its only host; None: it has any.
    """

    def __init__(
        self, instances: Sequence[NovaInstance] = (), error: str = "", host: str | None = None
    ) -> None:
        self.instances, self.error, self.host = instances, error, host

    def unset(self, host: str | None = None) -> Iterator[NovaInstance]:
        """See :meth:`mthook.nova.cell.Cell.unset`."""
        yield from (one for one in self.instances if one.machine is None)
        if self.error:
            raise NovaError(self.error)

    def recorded(self, host: str | None = None) -> Iterator[list[NovaInstance]]:
        """See :meth:`mthook.nova.cell.Cell.recorded`; each is a page."""
        yield from ([one] for one in self.instances if one.machine is not None)
        if self.error:
            raise NovaError(self.error)

    def has_host(self, host: str) -> bool:
        """See :meth:`mthook.nova.cell.Cell.has_host`."""
        return self.host in (None, host)


class Nova:
    """Nova's databases.

    :ivar cells: none: the API database can't be reached.
    :ivar specs: the machine types in request specs, by UUID.
    :ivar gone: the instances that are deleted.
    :ivar asked: for which that was asked.
    """

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        self.specs: dict[str, str | None] = {}
        self.gone: set[str] = set()
        self.asked: list[set[str]] = []

    @contextmanager
    def opened(self, conf: Any) -> Iterator[Nova]:
        """See :func:`mthook.nova.cells.opened`."""
        yield self

    def all(self) -> list[Cell]:
        """See :meth:`mthook.nova.cells.Cells.all`."""
        if not self.cells:
            raise NovaError("Nova's API database: no luck")
        return self.cells

    def of_host(self, host: str) -> Cell:
        """See :meth:`mthook.nova.cells.Cells.of_host`."""
        return self.all()[0]

    def image_properties(self, uuids: Collection[str]) -> dict[str, str | None]:
        """See :meth:`mthook.nova.cells.Cells.image_properties`."""
        return {uuid: self.specs[uuid] for uuid in uuids if uuid in self.specs}

    def deleted(self, cell: Cell, uuids: Collection[str], seen: Collection[str]) -> set[str]:
        """See :meth:`mthook.nova.cells.Cells.deleted`."""
        self.asked.append(set(uuids))
        return self.gone & set(uuids)
