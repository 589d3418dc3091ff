# SPDX-License-Identifier: Apache-2.0
"""Which of Nova's instances an operator means, and what is known of it there and here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mthook.conf import has_nova
from mthook.errors import CatalogError, HostError, NotFound
from mthook.operations.lookup import Instance, look_up, uuid_of
from mthook.text import now, printable

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host
    from mthook.nova.cell import Cell
    from mthook.nova.cells import Cells
    from mthook.nova.instance import NovaInstance
    from mthook.tools.admin.command import Told


@dataclass(frozen=True)
class Here:
    """What this host knows of an instance that it has.

    :ivar host: libvirt; ``None`` where it wasn't, or can't be, asked.
    :ivar problem: why it can't be asked, '' otherwise.
    """

    catalog: Catalog
    instance: Instance
    host: Host | None
    problem: str


@dataclass(frozen=True)
class Recorded:
    """An instance of Nova's.

    :ivar cells: Nova's databases.
    :ivar cell: the one that has it.
    :ivar nova: the instance as Nova has it.
    :ivar catalog: this host's catalog, or why it can't be used.
    :ivar here: what this host knows of it; ``None`` where it is another host's, or without a catalog.
    """

    cells: Cells
    cell: Cell
    nova: NovaInstance
    catalog: Catalog | CatalogError
    here: Here | None

    def __str__(self) -> str:
        name = printable(self.nova.name)
        return f"{self.nova.uuid} ({name})" if name else self.nova.uuid

    @property
    def arch(self) -> str | None:
        """The guest's architecture, where anything tells it."""
        return (self.here.instance.arch if self.here else None) or self.nova.arch


@contextlib.contextmanager
def recorded(command: Told, text: str, *, libvirt: bool = False) -> Iterator[Recorded | None]:
    """Look up an instance in Nova's database, and here.

    :param text: its UUID, or a name that this host's catalog knows.
    :param libvirt: ask libvirt too, if it is this host's.
    :return: ``None`` without a database, and for a guest of this host's that isn't Nova's.
    :raises NotFound: there is no such instance.
    :raises AmbiguousName: several guests have the name.
    :raises NovaError: the database failed.
    """
    if not has_nova(command.conf):
        yield None
        return
    with contextlib.ExitStack() as stack:
        cells = stack.enter_context(command.nova())
        catalog = stack.enter_context(command.catalog_if_any())
        found = _find(cells, text, catalog)
        if found is None:
            yield None
            return
        cell, nova = found
        here = None
        if not isinstance(catalog, CatalogError) and _is_here(command.conf.host, nova, catalog):
            host, problem = None, ""
            if libvirt and nova.host is not None:  # an offloaded one has no domain anywhere
                try:
                    host = stack.enter_context(command.host())
                except HostError as error:
                    problem = str(error)
            here = Here(catalog, _known_here(nova.uuid, catalog, host), host, problem)
        yield Recorded(cells, cell, nova, catalog, here)


def of_guest(cells: Cells, here: Here) -> Recorded | None:
    """Look up a guest of this host in Nova's database.

    :return: ``None`` for one that isn't Nova's.
    :raises NotFound: it is, and Nova has deleted it.
    :raises NovaError: the database failed.
    """
    try:
        cell, nova = cells.find(here.instance.uuid)
    except NotFound:
        known = here.instance.summary or here.instance.guest
        if known is None or known.nova:
            raise
        return None
    return Recorded(cells, cell, nova, here.catalog, here)


def _find(
    cells: Cells, text: str, catalog: Catalog | CatalogError
) -> tuple[Cell, NovaInstance] | None:
    uuid = uuid_of(text)
    if uuid is None:
        if isinstance(catalog, CatalogError):
            raise NotFound(
                f"'{printable(text)}' is no UUID, and no catalog here knows it as a name"
            )
        uuid = look_up(text, catalog).uuid
    try:
        return cells.find(uuid)
    except NotFound:
        if isinstance(catalog, CatalogError) or not _is_plain(catalog, uuid):
            raise
        return None


def _is_plain(catalog: Catalog, uuid: str) -> bool:
    """Tell whether this host has, or had, a guest of that UUID that isn't Nova's."""
    return any(guest.uuid == uuid and not guest.nova for guest in catalog.find(uuid))


def _is_here(name: str, nova: NovaInstance, catalog: Catalog) -> bool:
    """Tell whether an instance is this host's: it is here, or was and is nowhere else now."""
    if nova.host is None:
        return catalog.get_pin(nova.uuid) is not None
    return nova.host == name


def _known_here(uuid: str, catalog: Catalog, host: Host | None) -> Instance:
    try:
        return look_up(uuid, catalog, host)
    except NotFound:
        return Instance(uuid, None, None, looked_at=now())
