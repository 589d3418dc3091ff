# SPDX-License-Identifier: Apache-2.0
"""A host without guests, whose instances in Nova all have no domain, and mthook's commands on it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mthook.catalog.store import Catalog
from mthook.tools import sync
from mthook.tools.admin import main as admin
from tests.lab.nova import Cloud

#: What an instance is pinned to that nothing else is known of.
DEFAULT = "pc"
#: What a warning says where no sync has been.
UNKNOWN = "what a QEMU offers isn't known here"


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


class Place:
    """The host: libvirt's test driver, a catalog, and Nova's databases."""

    def __init__(self, cloud: Cloud, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.cloud = cloud
        self.directory = directory
        self._capsys = capsys
        node = directory / "node.xml"
        node.write_text("<node/>")
        self._libvirt = {"connection_uri": f"test://{node}"}
        self.path = directory / "lib" / "catalog.sqlite"
        self.configure()

    def configure(self, **more: Any) -> None:
        """Write mthook.conf; see :meth:`Cloud.mthook_conf`. Without more, the cell's database alone is in it."""
        about = {"libvirt": self._libvirt, "api": False, **more}
        self.config = self.cloud.mthook_conf(self.directory, catalog=self.path, **about)

    def connect_with(self, url: str, api: str | None = None) -> None:
        """Configure other databases than the cloud's own."""
        self.configure(
            cell=None,
            database={"connection": url},
            **({"api_database": {"connection": api}} if api else {}),
        )

    def sync(self, *args: str) -> Said:
        """Run mthook-sync."""
        return self._run(sync.main(["--config-file", str(self.config), *args]))

    def admin(self, *args: str) -> Said:
        """Run mthook-admin."""
        return self._run(admin(["--config-file", str(self.config), *args]))

    def pins(self) -> dict[str, str | None]:
        """Return what instances are pinned to."""
        with Catalog.open(str(self.path)) as catalog:
            return {pin.uuid: pin.machine for pin in catalog.pins()}

    def kept(self) -> dict[str, list[Any]]:
        """Return all that the catalog has of pins, once it is found to be whole."""
        connection = sqlite3.connect(self.path)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            tables = ("pins", "history", "compared", "guests")
            return {
                table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables
            }
        finally:
            connection.close()

    def recorded(self) -> dict[str, list[str]]:
        """Return the machine types that count, by instance of cell1; one each, if all is well."""
        found: dict[str, list[str]] = {}
        for uuid, value in self.cloud.execute(
            "SELECT instance_uuid, value FROM instance_system_metadata"
            " WHERE `key` = 'image_hw_machine_type' AND deleted = 0 ORDER BY id"
        ):
            found.setdefault(uuid, []).append(value)
        return found

    def _run(self, code: int) -> Said:
        told = self._capsys.readouterr()
        assert self.cloud.mariadb.password not in told.out + told.err
        return Said(int(code), told.out, told.err)
