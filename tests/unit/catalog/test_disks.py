# SPDX-License-Identifier: Apache-2.0
"""Catalogs on full and on read-only disks, each mounted for one test alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from mthook.catalog import files

ROOT = Path(files.__file__).parents[2]


def _run(case: str, directory: Path) -> object:
    command = ["unshare", "-m", sys.executable, "-m", f"{__package__}.mounted", case]
    ran = subprocess.run(
        [*command, str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return json.loads(ran.stdout)


def _full(path: Path) -> list[str]:
    said = "is on a full disk: make room there (database or disk is full)"
    return ["CatalogError", f"the catalog {path} {said}"]


def test_a_full_disk_gets_no_half_of_a_catalog(tmp_path: Path) -> None:
    """The message names the catalog, nothing is left, and with room it works."""
    expected = [_full(tmp_path / "mthook" / "catalog.sqlite"), [], True]

    assert _run("no_room_for_a_catalog", tmp_path) == expected


def test_a_disk_that_fills_up_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Hook and command say so; all they had recorded is there, nothing else, and whole."""
    refusal = _full(tmp_path / "mthook" / "catalog.sqlite")

    assert _run("disk_fills_up", tmp_path) == [refusal, True, [], "ok", refusal, True, [], "ok"]


def test_a_catalog_on_a_full_disk_asks_for_room(tmp_path: Path) -> None:
    """SQLite calls it an I/O error: it needs room for an index even to read."""
    advice = "can't be read or written: make room on its disk, or repair that (disk I/O error)"
    path = tmp_path / "mthook" / "catalog.sqlite"

    said = _run("nothing_is_left_to_read_with", tmp_path)

    assert said == ["CatalogUnwritable", f"the catalog {path} {advice}"]


def test_a_read_only_disk_is_named(tmp_path: Path) -> None:
    """Neither opening nor creating works, each in one line."""
    path = tmp_path / "mthook" / "catalog.sqlite"
    refusal = [
        "CatalogUnwritable",
        (
            f"the catalog {path} can't be opened: its directory must be writable and its disk not "
            "full (unable to open database file)"
        ),
    ]
    no_file = f"{tmp_path}/mthook/new.sqlite.new: Read-only file system: check [catalog] path"
    no_directory = f"{tmp_path}/new: Read-only file system: check [catalog] path"
    created = [["CatalogError", no_file], ["CatalogError", no_directory]]

    assert _run("read_only", tmp_path) == [refusal, refusal, *created, ["catalog.sqlite"]]
