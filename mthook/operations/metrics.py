# SPDX-License-Identifier: Apache-2.0
"""The figures of a host, for whoever watches many: guests and their machine types, drift, stops, sync, hook.

Guests are as the last sync or hook saw them; libvirt is asked only for pins that the catalog's offers lack.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from mthook import __version__, releases
from mthook.machinetype import MachineType
from mthook.operations.observed import Observed
from mthook.operations.readiness import gate
from mthook.text import printable

if TYPE_CHECKING:
    from mthook.operations.readiness.context import Context

#: The values of a sample's labels, in the order of its metric's labels, and its own.
Sample = tuple[tuple[str, ...], float]
_Value = Callable[["_Found"], Iterable[Sample]]

#: How many characters of a name a label keeps, and how many machine types that no emulator here offers get a series of
#: their own: their names come from strangers.
_LONGEST, _MOST = 64, 50
_OTHER, _NONE, _UNKNOWN = "other", "none", "unknown"
_MACHINE = re.compile(rf"[\w.+-]{{1,{_LONGEST}}}", re.ASCII)
_DEPRECATED = {True: "yes", False: "no", None: _UNKNOWN}
_ARRIVALS = ("migrate", "restore")
#: The event in the history by which each line of defence changes domain XML.
_REWRITES = {"gate": "rewritten", "realign": "realigned"}
#: The operations in which the hook records something, and the checks of its installation.
_OPERATIONS = ("prepare", "started", "migrate", "restore", "reconnect", "attach")
_MODES = ("audit", "enforce", "off")


@dataclass(frozen=True)
class Metric:
    """A figure.

    :ivar name: as Prometheus knows it.
    :ivar help: what it is.
    :ivar labels: the names of its labels.
    :ivar kind: a counter never falls, unless the catalog is made anew.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["gauge", "counter"] = "gauge"


class _Found(Observed):
    """What is known of the host, and which machine types have series of their own."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.events = context.catalog().event_counts()
        offered = set(self.offers.like(None).names)
        known = [*self.machines.values(), *(row.machine for row in self.here if row.machine)]
        others = Counter(machine for machine in known if machine not in offered)
        named = [*offered, *(name for name, _ in others.most_common(_MOST))]
        self._named = {name for name in named if _MACHINE.fullmatch(name)}

    def label(self, machine: str | None) -> str:
        """Return a machine type's name as a label; only so many names that nobody offers are let in."""
        if not machine:
            return _NONE
        return machine if machine in self._named else _OTHER


def measure(context: Context) -> Iterator[tuple[Metric, list[Sample]]]:
    """Yield all figures of this host, and those of each guest where the configuration asks for them.

    :raises CatalogError: the catalog can't be read.
    """
    found = _Found(context)
    for metric, value in _METRICS.items():
        yield metric, list(value(found))
    if context.conf.metrics.per_guest:
        yield GUEST_INFO, list(_each_guest(found))


def _info(found: _Found) -> Iterator[Sample]:
    host = found.host
    yield (__version__, host.qemu_version or _UNKNOWN, host.libvirt_version or _UNKNOWN), 1


def _guests(found: _Found) -> Iterable[Sample]:
    return _counted(
        (found.label(found.machines[row.uuid]), row.state, _DEPRECATED[found.deprecated(row)])
        for row in found.here
    )


def _each_guest(found: _Found) -> Iterator[Sample]:
    for row in found.here:
        assert row.guest is not None
        machines = (found.label(row.machine), found.label(found.machines[row.uuid]))
        drift = "yes" if row.drift else "no"
        yield (row.uuid, printable(row.guest.name, _LONGEST), *machines, row.state, drift), 1


def _unpinned(found: _Found) -> Iterator[Sample]:
    yield (), found.unpinned


def _drift(found: _Found) -> Iterable[Sample]:
    return sorted(((where,), number) for where, number in found.drift.items())


def _unstartable(found: _Found) -> Iterator[Sample]:
    if found.unstartable is not None:
        yield (), found.unstartable


def _ending(found: _Found) -> Iterable[Sample]:
    counts: Counter[tuple[str, ...]] = Counter()
    for machine, number in found.pinned_to.items():
        release = releases.end(MachineType.parse(machine))
        counts[(_UNKNOWN if release is None else "{}.{}".format(*release),)] += number
    return sorted(counts.items())


def _stops(found: _Found) -> Iterator[Sample]:
    yield (), _number(found, "stopped") - _number(found, "stopped", _ARRIVALS)


def _refusals(found: _Found) -> Iterator[Sample]:
    for operation in _ARRIVALS:
        yield (operation,), _number(found, "stopped", (operation,))


def _rewrites(found: _Found) -> Iterator[Sample]:
    for line, event in _REWRITES.items():
        yield (line,), _number(found, event)


def _hook_records(found: _Found) -> Iterable[Sample]:
    counts: Counter[tuple[str, ...]] = Counter()
    for one in found.events:
        if one.by_hook:
            operation = one.operation if one.operation in _OPERATIONS else _UNKNOWN
            counts[one.event, operation] += one.number
    return sorted(counts.items())


def _hook_last_record(found: _Found) -> Iterator[Sample]:
    yield (), max((_seconds(one.last_at) for one in found.events if one.by_hook), default=0)


def _last_run(found: _Found) -> Iterator[Sample]:
    yield (), _seconds(found.host.ran_at)


def _last_success(found: _Found) -> Iterator[Sample]:
    yield (), _seconds(found.host.succeeded_at)


def _errors(found: _Found) -> Iterator[Sample]:
    yield (), found.host.ran_errors or 0


def _mode(found: _Found) -> Iterator[Sample]:
    for mode in _MODES:
        yield (mode,), mode == found.context.conf.hook.mode


def _hook_checks(found: _Found) -> Iterator[Sample]:
    for check, passed in found.hook.items():
        yield (check,), passed


def _proven(found: _Found) -> Iterator[Sample]:
    yield (), found.proven


def _unguarded(found: _Found) -> Iterator[Sample]:
    if found.proof is not None:  # else nobody knows
        yield (), len(found.proof.unguarded)


def _unguarded_starts(found: _Found) -> Iterator[Sample]:
    yield (), _number(found, "unguarded")


def _gate(found: _Found) -> Iterator[Sample]:
    judges = gate.judges(found.context)
    if judges is not None:
        yield (), judges


def _last_call(found: _Found) -> Iterator[Sample]:
    yield (), _seconds(found.proof.called_at if found.proof else None)


def _counted(things: Iterable[tuple[str, ...]]) -> list[Sample]:
    """Count things by their labels."""
    return sorted(Counter(things).items())


def _number(found: _Found, event: str, operations: Sequence[str | None] | None = None) -> int:
    """Return how often something has happened, in certain operations where some are given."""
    return sum(
        one.number
        for one in found.events
        if one.event == event and (operations is None or one.operation in operations)
    )


def _seconds(at: str | None) -> float:
    """Return a time from the catalog as Prometheus has it; 0: never."""
    if at is None:
        return 0
    return datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


_METRICS: dict[Metric, _Value] = {
    Metric(
        "mthook_info", "Versions of mthook, QEMU and libvirt", ("version", "qemu", "libvirt")
    ): _info,
    Metric(
        "mthook_guests",
        "Guests of this host, by the machine type that they run or would start as, including those that are shut off",
        ("machine", "state", "deprecated"),
    ): _guests,
    Metric("mthook_unpinned_guests", "Guests of this host without a pin"): _unpinned,
    Metric(
        "mthook_drift",
        "Instances whose machine type differs from their pin, by the place where it does",
        ("kind",),
    ): _drift,
    Metric(
        "mthook_unstartable_guests",
        "Instances that this host's QEMU can't start as what they are pinned to",
    ): _unstartable,
    Metric(
        "mthook_pins_ending",
        "Pins by the first release of QEMU that lacks their machine type, as upstream plans it",
        ("qemu",),
    ): _ending,
    Metric("mthook_stops_total", "Starts that the hook stopped", kind="counter"): _stops,
    Metric(
        "mthook_refusals_total",
        "Migrations and restores that the hook refused",
        ("operation",),
        "counter",
    ): _refusals,
    Metric(
        "mthook_rewrites_total",
        "Definitions that were given their pins, by the line of defence that did it",
        ("line",),
        "counter",
    ): _rewrites,
    Metric(
        "mthook_hook_records_total",
        "What the hook recorded; a start that satisfies its pin leaves no record",
        ("event", "operation"),
        "counter",
    ): _hook_records,
    Metric(
        "mthook_hook_last_record_timestamp_seconds",
        "When the hook last recorded something; 0: never",
    ): _hook_last_record,
    Metric(
        "mthook_guard_proven",
        "1: the hook is installed, as this mthook would install it, known to every libvirt daemon, on, and no guest was"
        " started without it since it last saw one start",
    ): _proven,
    Metric(
        "mthook_unguarded_guests",
        "Guests that run and were started without the hook since it was installed",
    ): _unguarded,
    Metric(
        "mthook_unguarded_starts_total",
        "Guest starts without the hook that mthook-sync found",
        kind="counter",
    ): _unguarded_starts,
    Metric(
        "mthook_hook_last_call_timestamp_seconds",
        "When the hook last saw a guest start, whether or not it recorded anything; 0: not since the host booted",
    ): _last_call,
    Metric(
        "mthook_gate_judges",
        "1: the gate judges what its clients define; 0: it can't, or doesn't run; without a gate there is no sample",
    ): _gate,
    Metric("mthook_hook_check", "1: this check of the hook succeeds", ("check",)): _hook_checks,
    Metric("mthook_hook_mode", "1: the configured mode of the hook", ("mode",)): _mode,
    Metric(
        "mthook_sync_last_run_timestamp_seconds",
        "When mthook-sync last ended, including runs that broke off; 0: never",
    ): _last_run,
    Metric(
        "mthook_sync_last_success_timestamp_seconds",
        "When mthook-sync last ended without errors; 0: never",
    ): _last_success,
    Metric("mthook_sync_errors", "Errors of the last run of mthook-sync"): _errors,
}
GUEST_INFO = Metric(
    "mthook_guest_info",
    "A guest of this host; only with [metrics] per_guest",
    ("uuid", "name", "pin", "machine", "state", "drift"),
)
#: All metrics.
METRICS = (*_METRICS, GUEST_INFO)
