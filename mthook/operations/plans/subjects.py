# SPDX-License-Identifier: Apache-2.0
"""The guests of a plan as they are now: looked up many at a time, here and in Nova's databases."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from mthook.conf import has_nova
from mthook.errors import CatalogError, Error, HostError, NotFound, RequestSpecError
from mthook.nova import requestspecs
from mthook.operations.lookup import CloudInstance, Instance, known_here, look_up
from mthook.operations.opening import opened_catalog_if_any, opened_host, opened_nova

if TYPE_CHECKING:
    from oslo_config import cfg

    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host
    from mthook.nova.cells import Cells

#: How many guests are looked up at once.
BATCH = 100
_Item = TypeVar("_Item")

#: A request spec, and when it was changed.
DatedSpec = Optional["tuple[str, Optional[datetime]]"]


@dataclass(frozen=True)
class Subject:
    """A guest: as this host knows it, as Nova has it, or both."""

    uuid: str
    local: Instance | None
    cloud: CloudInstance | None
    spec: DatedSpec = None

    @property
    def catalog(self) -> Catalog | CatalogError:
        """This host's catalog, or why it can't be used."""
        known = self.cloud or self.local
        assert known is not None
        return known.catalog

    @property
    def kind(self) -> str:
        """``nova`` or ``libvirt``."""
        return "nova" if self.cloud else "libvirt"

    @property
    def machine(self) -> str | None:
        """What Nova has recorded, else the pin."""
        if self.cloud is not None:
            return self.cloud.nova.machine
        return self.local.machine if self.local else None

    @property
    def defined(self) -> str | None:
        """The machine type of its definition here."""
        domain = self.local.domain if self.local else None
        return domain.defined.machine if domain and domain.defined else None

    @property
    def specified(self) -> str | None:
        """The machine type in its request spec; None: none, or it isn't understood."""
        with contextlib.suppress(RequestSpecError):
            return requestspecs.machine_of(self.spec[0]) if self.spec else None
        return None

    def saw(self) -> dict[str, Any]:
        """Return what a change depends on: pin, Nova's record and buses, request spec, definition."""
        pin = self.local.pin if self.local else None
        domain = self.local.domain if self.local else None
        nova = self.cloud.nova if self.cloud else None
        return {
            "pin": [pin.machine, pin.updated_at] if pin else None,
            "nova": [nova.machine, nova.row, dict(nova.buses)] if nova else None,
            "spec": self.specified,
            "definition": domain.checksum if domain else None,
        }


Found = Union[Subject, Error]


@dataclass(frozen=True)
class Site:
    """Where guests are looked up.

    :ivar here: this host, as Nova calls it.
    :ivar follow: whether definitions may follow their pins.
    :ivar catalog: this host's, or why it can't be used.
    :ivar problem: why libvirt can't be asked, '' where it can or needn't be.
    """

    here: str
    follow: bool
    catalog: Catalog | CatalogError
    cells: Cells | None
    host: Host | None
    problem: str

    def where(self, subject: Subject) -> str | None:
        """Return the host that a guest is on; None: on none."""
        return subject.cloud.nova.host if subject.cloud else self.here

    def subjects(self, uuids: Sequence[str]) -> dict[str, Found]:
        """Look up guests; one that no longer exists comes as the error that says so."""
        known = self.cells.found(uuids) if self.cells else {}
        specs = self.cells.dated_specs(list(known)) if self.cells else {}
        found: dict[str, Found] = {}
        for uuid in uuids:
            try:
                found[uuid] = self._subject(uuid, known, specs)
            except (NotFound, HostError) as error:
                found[uuid] = error
        return found

    def _subject(self, uuid: str, known: Mapping[str, Any], specs: Mapping[str, Any]) -> Subject:
        if uuid in known:
            assert self.cells is not None
            cell, nova = known[uuid]
            cloud = CloudInstance(self.cells, cell, nova, self.catalog)
            cloud = known_here(cloud, self.here, self.host, self.problem)
            local = self._following(cloud.local) if cloud.local else None
            spec = specs.get(uuid)
            text = spec[0] if spec else None
            return Subject(uuid, local, replace(cloud, local=local, spec=text), spec)
        if isinstance(self.catalog, CatalogError):
            raise NotFound(f"no instance has the UUID {uuid}")
        local = look_up(uuid, self.catalog, self.host)
        guest = local.summary or local.guest
        if self.cells is not None and guest is not None and guest.nova:
            raise NotFound(f"{local}: Nova has deleted this instance")
        return Subject(uuid, self._following(local), None)

    def _following(self, local: Instance) -> Instance:
        return local if self.follow else replace(local, host=None)


@contextlib.contextmanager
def opened(conf: cfg.ConfigOpts, *, all_hosts: bool) -> Iterator[Site]:
    """Open the places where guests are looked up.

    :param all_hosts: only Nova's database is needed: this host may have neither guests nor a catalog.
    :raises Error: something that is needed can't be used.
    """
    with contextlib.ExitStack() as stack:
        catalog = stack.enter_context(opened_catalog_if_any(conf))
        cells = stack.enter_context(opened_nova(conf)) if has_nova(conf) else None
        if cells is not None:
            cells.keep()
        host, problem = None, ""
        if not all_hosts and isinstance(catalog, CatalogError):
            raise catalog
        if not isinstance(catalog, CatalogError):
            try:
                host = stack.enter_context(opened_host(conf))
            except HostError as error:
                if not all_hosts:
                    raise
                problem = str(error)
        yield Site(conf.host, conf.sync.realign, catalog, cells, host, problem)


def batched(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Yield as many at a time as are looked up at once."""
    left = iter(items)
    return iter(lambda: list(itertools.islice(left, BATCH)), [])
