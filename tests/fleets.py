# SPDX-License-Identifier: Apache-2.0
"""Hosts that share a record: their libvirt is a stand-in, all else is real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import libvirt
import pytest
import sqlalchemy as sa

from mthook.catalog.store import Catalog
from mthook.fleet.connection import Record
from mthook.fleet.making import bring_up
from mthook.hook import daemons
from mthook.operations.sync import fleet
from mthook.tools import admin, sync
from tests.programs import ENFORCE, Said
from tests.unit.host.fakes import FakeConnection, FakeDomain, domain_xml, failure

OLD, NEW, OTHER = "pc-i440fx-6.2", "pc-i440fx-7.2", "pc-q35-7.2"


class Node:
    """A host with a catalog, or an administrator's without.

    :ivar machine_id: what tells it from others of its name.
    :ivar is_down: its libvirt doesn't answer.
    """

    def __init__(self, site: Site, name: str, url: str, directory: Path) -> None:
        self.site, self.name, self.directory = site, name, directory
        self.libvirt, self.is_down = FakeConnection(), False
        self.machine_id = f"machine of {name}"
        self.path = str(directory / "lib" / "catalog.sqlite")
        self.config = directory / "mthook.conf"
        directory.mkdir()
        self.configure(url)

    def configure(self, url: str, more: str = ENFORCE) -> None:
        """Write the configuration."""
        self.config.write_text(
            f"[DEFAULT]\nhost = {self.name}\n[catalog]\npath = {self.path}\n{more}[fleet]\nconnection = {url}\n"
        )

    def connect(self) -> FakeConnection:
        """Connect to its libvirt."""
        if self.is_down:
            raise failure(libvirt.VIR_ERR_NO_CONNECT, "Connection refused")
        return self.libvirt

    def has(
        self, uuid: str, name: str, defined: str = OLD, running: str | None = None
    ) -> FakeDomain:
        """Give it a guest."""
        live = domain_xml(running, uuid=uuid, name=name) if running else None
        domain = FakeDomain(
            domain_xml(defined, uuid=uuid, name=name), running=live, uuid=uuid, name=name
        )
        self.libvirt.domains.append(domain)
        return domain

    def sync(self, *argv: str) -> Said:
        """Run mthook-sync."""
        return self.site.run(self, sync.main, argv)

    def admin(self, *argv: str) -> Said:
        """Run mthook-admin."""
        return self.site.run(self, admin.main, argv)

    def catalog(self) -> Catalog:
        """Open the catalog."""
        return Catalog.open(self.path)

    def pins(self) -> dict[str, tuple[str | None, str]]:
        """Return machine type and source of all pins, by UUID."""
        with self.catalog() as catalog:
            return {pin.uuid: (pin.machine, pin.source) for pin in catalog.pins()}

    def events(self, uuid: str) -> list[tuple[str, str | None, str | None]]:
        """Return what happened to a pin."""
        with self.catalog() as catalog:
            return [(one.event, one.old, one.new) for one in catalog.history(uuid)]


class Site:
    """Some hosts, and their record.

    :param url: of an empty database, as its owner reaches it.
    """

    def __init__(
        self,
        url: str,
        directory: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.url, self._directory, self._capsys = url, directory, capsys
        self._patch = monkeypatch
        monkeypatch.setattr(daemons, "running", lambda *_: [])
        monkeypatch.setattr(libvirt, "open", lambda uri: self._current.connect())
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("LOGNAME", "alice")
        monkeypatch.delenv("SUDO_USER", raising=False)
        self.record = Record(url)
        with self.record as record:
            bring_up(record)

    def node(self, name: str, url: str | None = None, directory: str | None = None) -> Node:
        """Return a host.

        :param url: of the record as it reaches it.
        """
        return Node(self, name, url or self.url, self._directory / (directory or name))

    def run(self, node: Node, main: Any, argv: tuple[str, ...]) -> Said:
        """Run a program on a host."""
        self._current = node
        machine_id = node.directory / "machine-id"
        machine_id.write_text(node.machine_id)
        self._patch.setattr(fleet, "MACHINE_ID", str(machine_id))
        self._capsys.readouterr()
        code = main(["--config-file", str(node.config), *argv])
        return Said(int(code), *self._capsys.readouterr())

    def rows(self, table: sa.Table, *names: str) -> list[tuple[Any, ...]]:
        """Return some columns of a table, or its whole rows."""
        columns = [table.c[name] for name in names] or list(table.c)
        with self.record as record, record.reading() as connection:
            return [tuple(row) for row in connection.execute(sa.select(*columns))]

    def execute(self, statement: Any) -> None:
        """Change something as the owner."""
        with self.record as record:
            record.transact(lambda connection: connection.execute(statement) and None)
