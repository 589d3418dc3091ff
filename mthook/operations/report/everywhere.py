# SPDX-License-Identifier: Apache-2.0
"""The figures of all hosts, from the fleet's record: the hosts have counted, the server adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mthook.fleet import reading
from mthook.fleet.rows import DRIFT
from mthook.operations.everywhere import row_of
from mthook.operations.opening import opened_fleet
from mthook.operations.report.aggregates import (
    NAMED,
    Aggregates,
    Drifter,
    HostFigures,
    MachineFigures,
    first,
)

if TYPE_CHECKING:
    import sqlalchemy as sa
    from oslo_config import cfg

    from mthook.fleet.rows import Host


def figures(conf: cfg.ConfigOpts) -> Aggregates:
    """Return the figures of all hosts.

    :raises FleetError: the record can't be read.
    :raises ConfigError: none is configured.
    """
    with opened_fleet(conf) as record, record.reading() as connection:
        at = record.time(connection)
        hosts = [_host(one, at) for one in reading.hosts(connection)]
        machines = [MachineFigures(**vars(one)) for one in reading.machine_totals(connection)]
        drift = _drift(connection)
        return Aggregates(hosts, machines, drift, first(_drifters(connection, drift)))


def _host(one: Host, at: str) -> HostFigures:
    """Return a host; its last sync counts as of the present, by the server's clock."""
    return HostFigures(
        name=one.host,
        as_of=at,
        guests=one.guests,
        running=one.running,
        unpinned=one.unpinned,
        drifting=one.drifting,
        unstartable=one.unstartable,
        deprecated=one.deprecated,
        mode=one.mode or "",
        proven=one.hook_installed and one.hook_current and one.hook_loaded,
        ran_at=one.ran_at,
        errors=one.errors,
        qemu_version=one.qemu_version,
    )


def _drift(connection: sa.engine.Connection) -> dict[str, int]:
    found: Counter[str] = Counter()
    for kinds, number in reading.drift_counts(connection).items():
        for kind in kinds.split(","):
            found[kind] += number
    return {where: found[where] for where in DRIFT}


def _drifters(connection: sa.engine.Connection, drift: dict[str, int]) -> Iterator[Drifter]:
    """Yield the first of each kind that there is."""
    for where in filter(drift.get, DRIFT):
        for host, guest in reading.drifting(connection, where, NAMED):
            name = guest.display or guest.name
            for one in row_of(guest).drift:
                if one.where == where:
                    yield Drifter(host, guest.uuid, name, guest.pin or "", where, one.machine)
