# SPDX-License-Identifier: Apache-2.0
"""Who may touch the catalog."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mthook.catalog import files
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError, CatalogMissing, CatalogUnsafe
from tests.programs import WAY_OUT


@pytest.fixture
def file(path: str) -> str:
    """An empty file with the right modes in a directory with the right modes."""
    files.create_directory(os.path.dirname(path))
    files.create_file(path)
    return path


def _mode(path: str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_what_it_creates_is_safe(file: str) -> None:
    """A directory and a file that it created pass its own check."""
    files.check(file)

    assert (_mode(os.path.dirname(file)), _mode(file)) == (0o700, 0o600)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_umask_does_not_matter(path: str, umask: int) -> None:
    """Directory, file, -wal and -shm have the same modes under every umask."""
    before = os.umask(umask)
    try:
        with Catalog.open(path):
            names = sorted(os.listdir(os.path.dirname(path)))
            modes = [_mode(os.path.join(os.path.dirname(path), name)) for name in names]
    finally:
        os.umask(before)

    assert names == ["catalog.sqlite", "catalog.sqlite-shm", "catalog.sqlite-wal"]
    assert modes == [0o600, 0o600, 0o600]
    assert _mode(os.path.dirname(path)) == 0o700


def test_a_directory_that_is_there_may_stay(file: str) -> None:
    """Creating a directory that exists and is safe changes nothing."""
    files.create_directory(os.path.dirname(file))

    assert os.path.exists(file)


def test_a_directory_without_parent_is_not_created(path: str) -> None:
    """Only the last directory is made: a missing parent is likelier a typing error."""
    deep = os.path.join(os.path.dirname(path), "deep")
    with pytest.raises(CatalogError) as caught:
        files.create_directory(deep)

    assert f"{deep}: No such file or directory: check [catalog] path" == str(caught.value)
    assert deep == caught.value.path


def test_a_file_is_not_created_twice(file: str) -> None:
    """A file that exists is never taken for a new one."""
    with pytest.raises(CatalogError) as caught:
        files.create_file(file)

    assert f"{file}: File exists: check [catalog] path" == str(caught.value)


def test_a_missing_directory_is_named(path: str) -> None:
    """Without its directory there is no catalog."""
    with pytest.raises(CatalogMissing) as caught:
        files.check(path)

    expected = f"no catalog: {os.path.dirname(path)} does not exist: {WAY_OUT}"
    assert expected == str(caught.value)


def test_a_missing_file_is_named(file: str) -> None:
    """A directory alone is no catalog."""
    os.unlink(file)
    with pytest.raises(CatalogMissing) as caught:
        files.check(file)

    assert f"no catalog: {file} does not exist: {WAY_OUT}" == str(caught.value)


def test_a_path_through_a_file_is_refused(file: str) -> None:
    """What can't even be looked at is an error that says why."""
    with pytest.raises(CatalogError) as caught:
        files.check(f"{file}/below/catalog.sqlite")

    assert f"{file}/below: Not a directory: check [catalog] path" == str(caught.value)


@pytest.mark.parametrize("which", ["directory", "file"])
@pytest.mark.parametrize("bit", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001])
def test_every_bit_for_others_is_refused(file: str, which: str, bit: int) -> None:
    """Neither group nor others may read, write or search anything."""
    target, right = (os.path.dirname(file), 0o700) if which == "directory" else (file, 0o600)
    os.chmod(target, right | bit)
    with pytest.raises(CatalogUnsafe) as caught:
        files.check(file)

    expected = (
        f"{target} has mode {right | bit:04o}, which lets others than root in: "
        f"if you trust its content, run 'chmod {right:04o} {target}'"
    )
    assert expected == str(caught.value)


@pytest.mark.parametrize("which", ["directory", "file"])
def test_another_owner_is_refused(file: str, which: str) -> None:
    """What belongs to a user can be changed by that user."""
    target = os.path.dirname(file) if which == "directory" else file
    os.chown(target, 65534, 0)
    with pytest.raises(CatalogUnsafe) as caught:
        files.check(file)

    expected = f"{target} belongs to user 65534, not to root: if you trust its content, run 'chown root {target}'"
    assert expected == str(caught.value)


def test_a_symbolic_link_to_the_directory_is_refused(file: str, tmp_path: Path) -> None:
    """A link could be turned to another catalog, even if it points to a safe one now."""
    link = tmp_path / "link"
    link.symlink_to(os.path.dirname(file))
    with pytest.raises(CatalogUnsafe) as caught:
        files.check(f"{link}/catalog.sqlite")

    expected = f"{link} is a symbolic link: name the real place in [catalog] path"
    assert expected == str(caught.value)


@pytest.mark.parametrize("points_to", ["catalog.sqlite", "nowhere"])
def test_a_symbolic_link_to_the_file_is_refused(file: str, points_to: str) -> None:
    """Also where it points to a safe file, or to nothing."""
    link = os.path.join(os.path.dirname(file), "link")
    os.symlink(points_to, link)
    with pytest.raises(CatalogUnsafe) as caught:
        files.check(link)

    expected = f"{link} is a symbolic link: name the real place in [catalog] path"
    assert expected == str(caught.value)


def test_a_directory_is_no_catalog(file: str) -> None:
    """The catalog is a regular file."""
    os.unlink(file)
    os.mkdir(file, 0o700)
    with pytest.raises(CatalogUnsafe) as caught:
        files.check(file)

    assert f"{file} is not a regular file: move it away and run mthook-sync" == str(caught.value)


def test_a_pipe_is_no_catalog(file: str) -> None:
    """A pipe would make the hook wait for ever."""
    os.unlink(file)
    os.mkfifo(file, 0o600)
    with pytest.raises(CatalogUnsafe) as caught:
        files.check(file)

    assert f"{file} is not a regular file: move it away and run mthook-sync" == str(caught.value)


def test_a_file_is_no_directory(file: str) -> None:
    """The catalog's directory is a directory."""
    with pytest.raises(CatalogUnsafe) as caught:
        files.check(f"{file}/catalog.sqlite")

    assert f"{file} is not a directory: move it away and run mthook-sync" == str(caught.value)


def test_a_relative_path_means_the_working_directory(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare file name is looked for where one is, under the same rules."""
    monkeypatch.chdir(os.path.dirname(file))
    files.check("catalog.sqlite")
    os.chmod(".", 0o755)

    with pytest.raises(CatalogUnsafe):
        files.check("catalog.sqlite")


def test_a_message_stays_one_line(path: str) -> None:
    """Line ends in a path don't reach the message."""
    with pytest.raises(CatalogMissing) as caught:
        files.check(f"{path}\nroot/x")

    expected = f"no catalog: {path}\\nroot does not exist: {WAY_OUT}"
    assert expected == str(caught.value)


_FAST = ["__future__", "_stat", "genericpath", "os", "os.path", "posixpath", "stat", "mthook"]
_FAST += ["mthook.catalog", "mthook.catalog.lookup", "mthook.catalog.files", "mthook.errors"]
_FAST += ["mthook.catalog.connection", "mthook.settings", "mthook.text"]
_FAST += ["errno"]  # is built in; posixpath takes it since Python 3.13
_SLOW = [
    "contextlib",
    "dataclasses",
    "enum",
    "json",
    "logging",
    "lxml",
    "re",
    "sqlalchemy",
    "typing",
]


def _loaded(module: str) -> set[str]:
    """Return what a module takes in a bare interpreter beyond what sqlite3 does."""
    root = str(Path(files.__file__).parents[2])
    code = (
        f"import sys, sqlite3; before = set(sys.modules); sys.path.insert(0, {root!r})\n"
        f"import {module}; print(*set(sys.modules) - before)"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_the_fast_path_imports_nothing_slow() -> None:
    """It pulls in itself, ``os`` and ``stat``."""
    assert _loaded("mthook.catalog.lookup") <= set(_FAST)


def test_recording_imports_nothing_slow() -> None:
    """The whole catalog is the catalog's own modules, and those of the rows only where rows are wanted."""
    loaded = _loaded("mthook.catalog.store")

    assert loaded.isdisjoint({*_SLOW, "mthook.catalog.records", "mthook.catalog.migrate"})
    assert {name for name in loaded if not name.startswith("mthook.catalog.")} <= set(_FAST)
