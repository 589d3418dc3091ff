# SPDX-License-Identifier: Apache-2.0
"""The databases of real Nova, as its own commands make them, and as older releases had them."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.lab.mariadb import MariaDB
from tests.lab.requirements import LabError

_SECONDS = 300


class Schema(NamedTuple):
    """Dumps of databases without instances."""

    #: The API database, where cell0 and cell1 are mapped.
    api: bytes
    #: A cell's.
    cell: bytes


def make_schema(mariadb: MariaDB, shared: Path) -> Schema:
    """Return what Nova's commands make of empty databases; it takes them half a minute, once.

    :param shared: a directory that the processes of a test run share. The first one makes the
        dumps there, and the others wait for it.
    :raises LabError: a command of Nova's failed; its output follows.
    """
    files = [shared / f"nova-{name}.sql" for name in Schema._fields]
    with (shared / "nova.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not files[-1].exists():
            for file, dump in zip(files, _ask_nova(mariadb)):
                file.write_bytes(dump)
    return Schema(*(file.read_bytes() for file in files))


def _ask_nova(mariadb: MariaDB) -> Schema:
    names = [f"schema_nova_{name}" for name in ("api", "cell0", "cell1")]
    api, cell0, cell1 = names
    for name in names:
        mariadb.create(name)
    try:
        with tempfile.TemporaryDirectory() as directory:
            conf = Path(directory, "nova.conf")
            groups = {
                "api_database": {"connection": mariadb.url(api)},
                "database": {"connection": mariadb.url(cell1)},
            }
            write_conf(conf, {"DEFAULT": {"transport_url": "fake:///"}, **groups})
            for command in (
                ["api_db", "sync"],
                ["cell_v2", "map_cell0", "--database_connection", mariadb.url(cell0)],
                ["db", "sync"],
                ["cell_v2", "create_cell", "--name", "cell1"],
            ):
                done = nova_manage(conf, *command)
                if done.returncode:
                    raise LabError(f"nova-manage {' '.join(command)} failed.\n{done.stderr}")
        return Schema(mariadb.dump(api), mariadb.dump(cell1))
    finally:
        for name in names:
            mariadb.drop(name)


def nova_manage(conf: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run the real nova-manage of this process's Python environment."""
    program = Path(sys.executable).with_name("nova-manage")
    return subprocess.run(
        [program, "--config-file", conf, *argv],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env={"PATH": os.environ["PATH"], "HOME": "/root", "LC_ALL": "C.UTF-8"},
        cwd="/",
    )


def write_conf(path: Path, groups: Mapping[str, Mapping[str, object]]) -> Path:
    """Write a configuration file of Nova's or mthook's.

    :param groups: options by group; a list is an option given several times over, by commas.
    """
    lines = []
    for group, options in groups.items():
        lines.append(f"[{group}]")
        for name, value in options.items():
            text = ",".join(value) if isinstance(value, (list, tuple)) else str(value)
            # oslo.config takes a dollar sign for the name of another option.
            lines.append(f"{name} = {text.replace('$', '$$')}")
    path.write_text("\n".join([*lines, ""]))
    path.chmod(0o600)
    return path
