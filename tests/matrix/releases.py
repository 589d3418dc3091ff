# SPDX-License-Identifier: Apache-2.0
"""mthook on the libvirt, QEMU and Python of each release, and a guest that moves from an older one to a newer one."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from tests.lab import LabError
from tests.lab.table import log, table
from tests.matrix import modular
from tests.matrix.roots import SUITES
from tests.matrix.walk import STEPS, UNPACKAGED, Modular, Release, Wrong
from tests.packages.ways import Package, Venv

#: What is tried, and what messages call it: each release with libvirtd, and one with libvirt's modular daemons.
COLUMNS = {**SUITES, "modular": f"{SUITES[modular.SUITE]}, virtqemud"}
#: Where the guest comes from that moves to each.
_OLDER = {"bookworm": "bullseye", "trixie": "bookworm", "sid": "trixie", "modular": "bookworm"}
_MOVES = "migration", "migration from older"


def compare(columns: Sequence[str], directory: Path) -> int:
    """Try all and print one table; return how many steps went wrong."""
    found: dict[str, dict[str, str]] = {}
    hosts: dict[str, Release] = {}
    package, venv = Package(directory), Venv(directory)
    with contextlib.ExitStack() as stack:
        for column in columns:
            way = venv if column == UNPACKAGED else package
            found[column] = _try(column, way, hosts, stack)
    rows = [
        (title, *(found[column].get(title, "-") for column in columns))
        for title in ("version", *STEPS, *_MOVES)
    ]
    print(table(("step", *(COLUMNS[column] for column in columns)), rows), flush=True)
    return sum(done == "WRONG" for steps in found.values() for done in steps.values())


def _try(
    column: str, way: Package | Venv, hosts: dict[str, Release], stack: contextlib.ExitStack
) -> dict[str, str]:
    """Take the steps on a host; then have the guest of an older one move here, and on to a second host.

    :param hosts: those of the columns before that have the guest; this one's is added.
    """
    one, two = (
        stack.enter_context(contextlib.closing(_release(column, name, way)))
        for name in ("one", "two")
    )
    found = {"version": one.versions()}
    for title, step in STEPS.items():
        found[title] = _tried(column, title, lambda step=step: step(one))  # type: ignore[misc]
    two.set_up()
    older = hosts.get(_OLDER.get(column, ""))
    if older is None:
        found[_MOVES[0]] = _tried(column, _MOVES[0], lambda: one.migrate_to(two))
        hosts[column] = two
        return found
    one.remove_guest()
    found[_MOVES[1]] = _tried(column, _MOVES[1], lambda: older.migrate_to(two))
    found[_MOVES[0]] = _tried(column, _MOVES[0], lambda: two.migrate_to(one))
    hosts[column] = one
    return found


def _release(column: str, name: str, way: Package | Venv) -> Release:
    if column in SUITES:
        return Release(column, name, way)
    return Modular(modular.SUITE, name, way)


def _tried(column: str, title: str, step: Callable[[], None]) -> str:
    try:
        step()
    except (Wrong, LabError) as error:
        log(f"{COLUMNS[column]}: {title}: {error}")
        return "WRONG"
    log(f"{COLUMNS[column]}: {title}: as it should be")
    return "yes"
