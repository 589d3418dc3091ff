# SPDX-License-Identifier: Apache-2.0
"""The figures of this host, from the same count as those for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mthook.operations.observed import Observed
from mthook.operations.report.aggregates import (
    Aggregates,
    Drifter,
    HostFigures,
    MachineFigures,
    first,
)
from mthook.text import now

if TYPE_CHECKING:
    from mthook.operations.readiness.context import Context


def figures(context: Context) -> Aggregates:
    """Return the figures of this host.

    :raises CatalogError: the catalog can't be read.
    """
    found, name = Observed(context), context.conf.host
    host = HostFigures(
        name=name,
        as_of=now(),
        guests=len(found.here),
        running=sum(found.running.values()),
        unpinned=found.unpinned,
        drifting=sum(bool(row.drift) for row in found.rows),
        unstartable=found.unstartable,
        deprecated=found.deprecated_guests,
        mode=context.conf.hook.mode,
        proven=found.proven,
        ran_at=found.host.ran_at,
        errors=found.host.ran_errors or 0,
        qemu_version=found.host.qemu_version,
    )
    return Aggregates((host,), list(_machines(found)), found.drift, first(_drifters(found, name)))


def _machines(found: Observed) -> Iterator[MachineFigures]:
    guests, running, pins = Counter(found.machines.values()), found.running, found.pinned_to
    for name in sorted({*guests, *pins}):
        yield MachineFigures(name, guests[name], running[name], pins.get(name, 0), 1)


def _drifters(found: Observed, host: str) -> Iterator[Drifter]:
    for row in found.rows:
        name, pin = row.display or (row.guest.name if row.guest else None), row.machine or ""
        for one in row.drift:
            yield Drifter(host, row.uuid, name, pin, one.where, one.machine)
