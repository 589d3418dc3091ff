# SPDX-License-Identifier: Apache-2.0
"""Uses a catalog on a disk of its own.

Run as ``unshare -m python -m tests.unit.catalog.mounted CASE DIR``. It prints what happened as
JSON; the mount ends with the process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Callable

from mthook.catalog import lookup
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError

from .samples import AT, UUID, pin, summary


def _mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True)


def _error(call: Callable[[], object]) -> tuple[str, str]:
    try:
        call()
    except CatalogError as error:
        return type(error).__name__, str(error)
    return "", ""


def _fill(directory: str) -> str:
    ballast = os.path.join(directory, "ballast")
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


def _guests() -> Iterable[str]:
    return (f"{UUID[:-5]}{number:05}" for number in range(10000))


def _record_many(path: str, recorded: list[str]) -> None:
    connection = lookup.connect(path, 5)
    try:
        for uuid in _guests():
            guest = summary(uuid)
            Catalog(connection).record_pin(guest, "pc", source="first boot", at=AT, running="pc")
            recorded.append(uuid)
    finally:
        connection.close()


def _set_many(path: str, recorded: list[str]) -> None:
    with Catalog.open(path, create=False) as catalog:
        for uuid in _guests():
            catalog.set_pin(uuid, "q35", source="operator", actor="root")
            recorded.append(uuid)


def no_room_for_a_catalog(directory: str) -> object:
    """Create one on a full disk, then on the same disk with room."""
    ballast = _fill(directory)
    path = f"{directory}/mthook/catalog.sqlite"
    os.mkdir(f"{directory}/mthook", 0o700)
    error = _error(lambda: Catalog.open(path))
    left = os.listdir(f"{directory}/mthook")
    os.unlink(ballast)
    with Catalog.open(path) as catalog:
        return [error, left, catalog.add_pin(pin())]


def disk_fills_up(directory: str) -> object:
    """Record until the disk is full, as a hook and as a command; look what is there after."""
    path = f"{directory}/mthook/catalog.sqlite"
    os.mkdir(f"{directory}/mthook", 0o700)
    Catalog.open(path).close()
    answers: list[object] = []
    for use in (_record_many, _set_many):
        recorded: list[str] = []
        ballast = _fill(directory)
        os.truncate(ballast, os.path.getsize(ballast) - 65536)
        answers.append(_error(lambda use=use, recorded=recorded: use(path, recorded)))  # type: ignore[misc]
        answers.append(len(recorded) > 0)
        os.unlink(ballast)
        with Catalog.open(path) as catalog:
            machine = "pc" if use is _record_many else "q35"
            found = {one.uuid for one in catalog.pins() if one.machine == machine}
            answers.append(sorted(found.symmetric_difference(recorded)))
            answers.append(catalog.connection.execute("PRAGMA integrity_check").fetchone()[0])
    return answers


def nothing_is_left_to_read_with(directory: str) -> object:
    """Open a catalog on a full disk, where SQLite finds no room for the index of its journal."""
    path = f"{directory}/mthook/catalog.sqlite"
    os.mkdir(f"{directory}/mthook", 0o700)
    Catalog.open(path).close()
    _fill(directory)
    return _error(lambda: Catalog.open(path, create=False).pins())


def read_only(directory: str) -> object:
    """Use a catalog on a disk that has become read-only."""
    path = f"{directory}/mthook/catalog.sqlite"
    with Catalog.open(path) as catalog:
        catalog.add_pin(pin())
    _mount("-o", "remount,ro", directory)
    return [
        _error(lambda: _record_many(path, [])),
        _error(lambda: _set_many(path, [])),
        _error(lambda: Catalog.open(f"{directory}/mthook/new.sqlite")),
        _error(lambda: Catalog.open(f"{directory}/new/catalog.sqlite")),
        os.listdir(f"{directory}/mthook"),
    ]


def main(case: str, directory: str) -> None:
    """Mount the disk, run one case on it."""
    _mount("-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", directory)
    cases = (no_room_for_a_catalog, disk_fills_up, nothing_is_left_to_read_with, read_only)
    print(json.dumps({one.__name__: one for one in cases}[case](directory)))


if __name__ == "__main__":
    main(*sys.argv[1:])
