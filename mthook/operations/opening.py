# SPDX-License-Identifier: Apache-2.0
"""Opens what the configuration names: the catalog, Nova's databases, the fleet's record, libvirt.

Each is imported when it is opened: SQLAlchemy and libvirt-python take longer to load than all the
rest, and a host may do without one of them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from mthook.errors import CatalogError, Error, HostError, Unconfigured

if TYPE_CHECKING:
    from oslo_config import cfg

    from mthook.catalog.store import Catalog
    from mthook.fleet.connection import Record
    from mthook.host.connection import Host
    from mthook.nova.cells import Cells

LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")


def once(call: Callable[[], _Result]) -> Callable[[], _Result]:
    """Return a function that calls another once and remembers its result, or the error it raised."""
    outcomes: list[_Result | Error] = []

    def remembered() -> _Result:
        if not outcomes:
            try:
                outcomes.append(call())
            except Error as error:
                outcomes.append(error)
        outcome = outcomes[0]
        if isinstance(outcome, Error):
            raise outcome
        return outcome

    return remembered


@contextlib.contextmanager
def opened_catalog(conf: cfg.ConfigOpts, *, create: bool = False) -> Iterator[Catalog]:
    """Open the catalog, and ``create`` one where there is none."""
    from mthook.catalog.store import Catalog

    with Catalog.open(conf.catalog.path, create=create) as catalog:
        LOG.info("catalog: %s", conf.catalog.path)
        yield catalog


@contextlib.contextmanager
def opened_catalog_if_any(conf: cfg.ConfigOpts) -> Iterator[Catalog | CatalogError]:
    """Open the catalog; where it can't be used, as on an administrator's host, yield why."""
    with contextlib.ExitStack() as stack:
        catalog: Catalog | CatalogError
        try:
            catalog = stack.enter_context(opened_catalog(conf))
        except CatalogError as error:
            LOG.info("%s", error)
            catalog = error
        yield catalog


@contextlib.contextmanager
def opened_nova(conf: cfg.ConfigOpts) -> Iterator[Cells]:
    """Open Nova's databases; they are reached when they are asked."""
    from mthook.nova import cells

    group = "api_database" if conf.api_database.connection else "database"
    LOG.info("Nova's database: [%s] connection", group)
    with cells.opened(conf) as found:
        yield found


@contextlib.contextmanager
def opened_fleet(conf: cfg.ConfigOpts, *, check: bool = True) -> Iterator[Record]:
    """Open the fleet's record; it is reached when it is asked.

    :param check: make sure at once that its tables are those that this mthook knows.
    :raises Unconfigured: there is none.
    """
    if conf.fleet.connection is None:
        raise Unconfigured("the configuration has no [fleet] connection")
    from mthook.fleet.connection import Record

    LOG.info("the fleet's record: that of [fleet] connection")
    with Record(conf.fleet.connection) as record:
        if check:
            record.check()
        yield record


@contextlib.contextmanager
def opened_host(conf: cfg.ConfigOpts, *, readonly: bool = False) -> Iterator[Host]:
    """Connect to libvirt; see :func:`mthook.host.connection.connect`."""
    try:
        from mthook.host.connection import connect
    except ImportError as error:
        raise HostError(f"libvirt can't be asked: {error}: install libvirt-python") from error
    uri, ports = conf.libvirt.connection_uri, conf.libvirt.num_pcie_ports
    LOG.info("libvirt: %s", uri)
    with connect(uri, readonly=readonly, ports=ports) as host:
        yield host
