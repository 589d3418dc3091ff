# SPDX-License-Identifier: Apache-2.0
"""A broken configuration or catalog: one line that names the file and says what to do, code 1."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from mthook.catalog.records import Guest
from mthook.catalog.store import Catalog
from mthook.tools.admin import main
from tests.programs import WAY_OUT, Said

from .conftest import WEB, Run, pin

#: Commands that open the catalog, by how they open it.
COMMANDS = (
    ["get", WEB],
    ["set", "--force", WEB, "pc-i440fx-7.2"],
    ["list"],
    ["export"],
    ["freeze", "--all"],
)


def one_line(code: int, out: str, err: str) -> str:
    """Return the only line that a failed command has said."""
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("mthook-admin: ")
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[hook]\nmode = sometimes\n", "sometimes"),
        ("[hook]\ntimeout = soon\n", "timeout"),
        ("[catalog]\npath = catalog.sqlite\n", "path"),
        ("no section\n", ":1, No ':' or '=' found"),
        ("[hook\nmode = audit\n", ":1, Invalid section"),
        ("\xff\xfe", "codec"),
    ],
    ids=["choice", "number", "relative", "key", "section", "binary"],
)
def test_a_wrong_configuration_is_named(run: Run, config: Path, content: str, named: str) -> None:
    """File and fault, before anything is touched."""
    config.write_bytes(content.encode("latin-1"))

    said = run("get", WEB)

    line = one_line(said.code, said.out, said.err)
    assert str(config) in line
    assert named in line


def test_a_configuration_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Given by --config-file it must exist."""
    code = main(["get", "--config-file", f"{tmp_path}/absent.conf", WEB])

    assert f"{tmp_path}/absent.conf" in one_line(code, *capsys.readouterr())


def test_a_configuration_that_may_not_be_read_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A directory stands for every file that root can't read either."""
    code = main(["--config-file", str(tmp_path), "list"])

    assert str(tmp_path) in one_line(code, *capsys.readouterr())


def test_later_configuration_files_win(
    capsys: pytest.CaptureFixture[str], config: Path, catalog: Catalog, tmp_path: Path
) -> None:
    """--config-file may be repeated, before and after the command."""
    pin(catalog, WEB, "pc")
    other = tmp_path / "other.conf"
    other.write_text(f"[catalog]\npath = {tmp_path}/nowhere/catalog.sqlite\n")

    assert main(["--config-file", str(other), "get", WEB, "--config-file", str(config)]) == 0
    assert capsys.readouterr().out == "pc\n"
    assert main(["--config-file", str(config), "get", WEB, "--config-file", str(other)]) == 1


def _symlink(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def _directory_symlink(path: Path) -> None:
    real = path.parent.rename(path.parent.with_name("real"))
    path.parent.symlink_to(real)


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "directory-missing": (
        lambda p: p.parent.rename(p.parent.with_name("moved")),
        WAY_OUT,
    ),
    "file-missing": (lambda p: p.unlink(), WAY_OUT),
    "symlink": (_symlink, "is a symbolic link"),
    "directory-symlink": (_directory_symlink, "is a symbolic link"),
    "world-writable": (lambda p: p.chmod(0o666), "has mode 0666"),
    "directory-open": (lambda p: p.parent.chmod(0o777), "has mode 0777"),
    "not-roots": (lambda p: os.chown(p, 12345, 12345), "belongs to user 12345"),
    "not-a-file": (lambda p: (p.unlink(), p.mkdir(0o700)), "is not a regular file"),
    "newer": (_newer, "install the newer mthook that wrote it"),
    "garbage": (lambda p: p.write_bytes(b"garbage" * 1000), "is not an SQLite database"),
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command[0]))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_catalog_that_cannot_be_used_is_named(
    run: Run, catalog: Catalog, web: Guest, path: str, fault: str, command: list[str]
) -> None:
    """Whatever the command; the line names file or directory and says what is wrong."""
    catalog.close()
    break_it, complaint = FAULTS[fault]
    break_it(Path(path))

    said = run(*command)

    line = one_line(said.code, said.out, said.err.split("only the catalog is changed\n")[-1])
    assert os.path.dirname(path) in line
    assert complaint in line


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, with room for a catalog and no more after it is filled."""
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "tmpfs", str(mount)], check=True
    )
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.usefixtures("unreachable")
def test_a_full_disk_is_told_and_keeps_the_pin(
    run: Run, config: Path, path: str, full_disk: Path
) -> None:
    """The change fails as a whole."""
    config.write_text(config.read_text().replace(os.path.dirname(path), str(full_disk)))
    with Catalog.open(f"{full_disk}/catalog.sqlite") as catalog:
        pin(catalog, WEB, "pc-i440fx-6.2")
    with pytest.raises(OSError, match="No space left"):
        (full_disk / "filler").write_bytes(bytes(1 << 20))

    said = run("set", "--force", WEB, "pc-i440fx-7.2")

    assert said.code == 1
    assert said.err.splitlines()[-1].startswith(f"mthook-admin: the catalog {full_disk}/catalog")
    (full_disk / "filler").unlink()
    assert run("get", WEB).out == "pc-i440fx-6.2\n"


def test_who_is_not_root_is_told_to_be(
    run: Run, catalog: Catalog, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not to look after the catalog's path."""

    def lstat(_: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("mthook.catalog.files.os.lstat", lstat)
    monkeypatch.setattr(os, "geteuid", lambda: 65534)

    said = run("list")

    where = os.path.dirname(path)
    assert said == Said(1, "", f"mthook-admin: {where}: Permission denied: run it as root\n")
