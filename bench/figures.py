# SPDX-License-Identifier: Apache-2.0
"""What the figures for Prometheus cost on a host with many guests."""

from __future__ import annotations

import functools
import tempfile
import time
import uuid
from pathlib import Path

from bench.timing import medians, report
from mthook import conf as configuration
from mthook.catalog.records import Capability, Guest, HostFacts
from mthook.catalog.store import Catalog
from mthook.operations import exposition, metrics
from mthook.operations.readiness.context import Context
from mthook.text import now

GUESTS = 10_000
SUMS = "10,000 guests, their figures written"
EACH = "the same with a series for each guest"
#: Milliseconds of processor time that each may take; there is little else to wait for.
LIMIT = 500.0
_QEMU = "/usr/bin/qemu-system-x86_64"
_MACHINES = ("pc-i440fx-7.2", "pc-i440fx-6.2", "pc-q35-7.2", "pc-q35-6.2")
_PINS = (
    "INSERT INTO pins (uuid, machine, arch, source, actor, created_at, updated_at)"
    " SELECT uuid, defined, arch, 'definition', 'bench', seen_at, seen_at FROM guests"
)
_HISTORY = (
    "INSERT INTO history (uuid, at, event, new, actor)"
    " SELECT uuid, seen_at, 'pinned', defined, 'hook' FROM guests"
)


def run(rounds: int) -> bool:
    """Measure and print; return whether the limit is kept."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        fill(configuration_of(place, per_guest=False))
        things = {
            name: functools.partial(_write, configuration_of(place, per_guest=per_guest))
            for name, per_guest in ((SUMS, False), (EACH, True))
        }
        cost = medians(things, rounds, clock=time.process_time)
    kept = report("Figures for Prometheus (median of processor time)", cost, [])
    for name, seconds in cost.items():
        within = seconds * 1000 <= LIMIT
        kept = kept and within
        print(f"  {name}: limit {LIMIT:.0f} ms: {'kept' if within else 'EXCEEDED'}")
    return kept


def configuration_of(directory: Path, *, per_guest: bool) -> configuration.cfg.ConfigOpts:
    """Return the configuration of a host that is kept in a directory."""
    file = directory / f"{per_guest}.conf"
    file.write_text(
        f"[catalog]\npath = {directory}/lib/catalog.sqlite\n"
        f"[metrics]\ntextfile = {directory}/mthook.prom\nper_guest = {per_guest}\n"
    )
    return configuration.load([str(file)])


def fill(conf: configuration.cfg.ConfigOpts) -> None:
    """Put the guests, their pins and a history of ten rows each into the catalog."""
    guests = (
        Guest(str(uuid.UUID(int=number)), f"guest-{number}", "x86_64", "kvm", _QEMU, machine)
        for number in range(GUESTS)
        for machine in (_MACHINES[number % len(_MACHINES)],)
    )
    with Catalog.open(conf.catalog.path) as catalog:
        offered = [Capability(_QEMU, "x86_64", "kvm", machine) for machine in _MACHINES]
        catalog.replace_capabilities(offered, HostFacts("bench", "7.2.22", "9.0.0"))
        catalog.see_guests(guests, now())
        with catalog.transaction() as connection:
            connection.execute(_PINS)
            for _ in range(10):
                connection.execute(_HISTORY)


def _write(conf: configuration.cfg.ConfigOpts) -> None:
    hooks = str(Path(conf.catalog.path).parent)
    with Context(conf, [], hooks) as context:
        exposition.write(conf.metrics.textfile, metrics.measure(context))
