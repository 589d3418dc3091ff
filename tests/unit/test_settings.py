# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of configuration files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mthook.settings import fingerprint, same_files


@pytest.mark.parametrize("change", ["write", "replace", "remove", "create"])
def test_every_change_of_a_file_shows(tmp_path: Path, change: str) -> None:
    """Written, replaced by one of the same size and time, removed, created."""
    there, absent = tmp_path / "a.conf", tmp_path / "b.conf"
    there.write_text("[hook]\n")
    before = fingerprint([str(there), str(absent)])
    seen = there.stat()

    if change == "write":
        there.write_text("[hook]\nmode = off\n")
    elif change == "replace":
        (tmp_path / "new").write_text("[pins]\n")
        (tmp_path / "new").replace(there)
        os.utime(there, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    elif change == "remove":
        there.unlink()
    else:
        absent.write_text("")

    after = fingerprint([str(there), str(absent)])
    assert after != before
    assert same_files(after, before)


def test_nothing_changed_is_the_same(tmp_path: Path) -> None:
    """However the path is written."""
    (tmp_path / "a.conf").write_text("")
    relative = os.path.relpath(tmp_path / "a.conf")

    assert fingerprint([relative]) == fingerprint([str(tmp_path / "a.conf")])


def test_other_files_or_another_order_are_told_apart() -> None:
    """A hook with other configuration files isn't served by this compilation."""
    assert not same_files(fingerprint(["/a"]), fingerprint(["/a", "/b"]))
    assert not same_files(fingerprint(["/b", "/a"]), fingerprint(["/a", "/b"]))
