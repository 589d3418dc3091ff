# SPDX-License-Identifier: Apache-2.0
"""mthook on the libvirt, QEMU and Python of each release, and a guest that moves from the oldest to the newest."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from tests.lab import LabError
from tests.lab.table import log, table
from tests.matrix.roots import SUITES
from tests.matrix.walk import STEPS, UNPACKAGED, Release, Wrong
from tests.packages.ways import Package, Venv

_MOVES = "migration", "migration from older"


def compare(suites: Sequence[str], directory: Path) -> int:
    """Try all and print one table; return how many steps went wrong."""
    columns: dict[str, dict[str, str]] = {}
    holder: list[Release] = []
    package, venv = Package(directory), Venv(directory)
    with contextlib.ExitStack() as stack:
        for suite in suites:
            way = venv if suite == UNPACKAGED else package
            columns[suite] = _try(suite, way, holder, stack)
    rows = [
        (title, *(columns[suite].get(title, "-") for suite in suites))
        for title in ("version", *STEPS, *_MOVES)
    ]
    print(table(("step", *(SUITES[suite] for suite in suites)), rows), flush=True)
    return sum(found == "WRONG" for column in columns.values() for found in column.values())


def _try(
    suite: str, way: Package | Venv, holder: list[Release], stack: contextlib.ExitStack
) -> dict[str, str]:
    """Take the steps on a host; then have the guest of the release before move here, and on to a second host."""
    one, two = (
        stack.enter_context(contextlib.closing(Release(suite, name, way)))
        for name in ("one", "two")
    )
    found = {"version": one.versions()}
    for title, step in STEPS.items():
        found[title] = _tried(suite, title, lambda step=step: step(one))  # type: ignore[misc]
    two.set_up()
    if not holder:
        found[_MOVES[0]] = _tried(suite, _MOVES[0], lambda: one.migrate_to(two))
        holder[:] = [two]
        return found
    one.remove_guest()
    found[_MOVES[1]] = _tried(suite, _MOVES[1], lambda: holder[0].migrate_to(two))
    found[_MOVES[0]] = _tried(suite, _MOVES[0], lambda: two.migrate_to(one))
    holder[:] = [one]
    return found


def _tried(suite: str, title: str, step: Callable[[], None]) -> str:
    try:
        step()
    except (Wrong, LabError) as error:
        log(f"{SUITES[suite]}: {title}: {error}")
        return "WRONG"
    log(f"{SUITES[suite]}: {title}: as it should be")
    return "yes"
