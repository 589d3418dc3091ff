# SPDX-License-Identifier: Apache-2.0
"""Figures of hosts that the tests make up."""

from __future__ import annotations

from dataclasses import replace

from mthook.operations.report.aggregates import (
    Aggregates,
    Drifter,
    HostFigures,
    MachineFigures,
    together,
)

#: The present, when hosts were asked, and when their last sync ended.
AT, ASKED, RAN = (f"2026-11-29T{time}:00.000000Z" for time in ("13:05", "13:00", "12:58"))
OLD, NEW = "pc-i440fx-6.2", "pc-q35-10.0"
#: Text from strangers: markup, a quote, a line end, and what turns the direction of reading.
HOSTILE = "<script>alert('1')</script>\u202e\"&\n\x1b[2J"
UUID = "7d3f0a52-0000-4000-8000-00000000000{}"


def host(name: str = "alpha", **more: object) -> HostFigures:
    """Return a protected host."""
    figures = HostFigures(name, ASKED, 5, 4, 0, 0, 0, 0, "enforce", True, RAN, 0, "10.0.2")
    return replace(figures, **more)  # type: ignore[arg-type]


def machine(name: str, guests: int, pins: int | None = None, hosts: int = 1) -> MachineFigures:
    """Return guests of one machine type, each pinned to it."""
    return MachineFigures(name, guests, guests, guests if pins is None else pins, hosts)


def drifter(number: int, where: str = "running", on: str = "alpha") -> Drifter:
    """Return an instance that is unlike its pin."""
    return Drifter(on, UUID.format(number), f"web-{number}", OLD, where, NEW)


def alone(figures: HostFigures, *machines: MachineFigures, **more: object) -> Aggregates:
    """Return one host."""
    return Aggregates((figures,), machines, **more)  # type: ignore[arg-type]


def fleet() -> Aggregates:
    """Return hosts of every standing, with what their guests have."""
    names = ("compute-1", "compute-2", "compute-3")
    hosts = [alone(host(name, guests=40, running=31)) for name in names]
    hosts += [
        alone(host("compute-4", guests=38, running=30, drifting=3, deprecated=7)),
        alone(host("compute-5", guests=21, running=12, unpinned=2, errors=5, unstartable=1)),
        alone(host("compute-6", guests=12, running=12, mode="audit", qemu_version="7.2.22")),
        alone(host("compute-7", guests=9, running=9, ran_at="2026-11-28T02:10:00.000000Z")),
    ]
    types = [("pc-i440fx-2.3", 1), ("pc-i440fx-5.2", 17), (OLD, 81), ("pc-i440fx-7.2", 22)]
    types += [("pc-q35-7.2", 40), (NEW, 20), ("pc-q35-rhel9.4.0", 11), ("virt-9.2", 8)]
    counted = [machine(name, number, number, 1 + number // 20) for name, number in types]
    shared = Aggregates(
        (),
        [*counted, machine("pc", 0, 4)],
        {"running": 3, "defined": 0, "nova": 0, "stopped": 1},
        [
            drifter(1, on="compute-4"),
            drifter(2, on="compute-4"),
            drifter(3, "stopped", "compute-4"),
        ],
    )
    return together([*hosts, shared])
