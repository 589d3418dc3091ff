# SPDX-License-Identifier: Apache-2.0
"""mthook-sync's configuration and catalog beside a real libvirtd."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook.catalog.records import HistoryEntry
from mthook.catalog.store import Catalog
from mthook.host.connection import connect
from mthook.text import now
from mthook.tools import sync
from mthook.xmlrewrite import summary
from tests.lab import OLD_PC, PC, Host, guest_xml
from tests.programs import ENFORCE

UUID = "3f2c1d3e-0000-4000-8000-000000000001"
OTHER = "3f2c1d3e-0000-4000-8000-000000000002"
OLD, NEW = OLD_PC, PC
NOVA = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"


class Setting:
    """A lab host with mthook-sync's configuration and catalog."""

    def __init__(self, node: Host, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.node = node
        self.path = str(directory / "mthook" / "catalog.sqlite")
        self.config = str(directory / "mthook.conf")
        Path(self.config).write_text(
            f"{ENFORCE}[catalog]\npath = {self.path}\n[libvirt]\nconnection_uri = {node.uri}\n"
        )
        self._capsys = capsys

    def sync(self, *args: str) -> tuple[int, str, str]:
        """Run mthook-sync and return its exit status, standard output and standard error."""
        code = sync.main(["--config-file", self.config, *args])
        said = self._capsys.readouterr()
        return int(code), said.out, said.err

    def start(self) -> subprocess.Popen[str]:
        """Start mthook-sync as a process of its own."""
        code = "import sys; from mthook.tools.sync import main; sys.exit(main())"
        return subprocess.Popen(
            [sys.executable, "-c", code, "--config-file", self.config],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def boot(self, name: str, uuid: str, machine: str) -> None:
        """Define and start a guest."""
        self.node.define(guest_xml(name, uuid, machine))
        self.node.virsh("start", name)

    def pin(self, machine: str, uuid: str = UUID) -> None:
        """Pin a guest as an operator does."""
        with Catalog.open(self.path) as catalog:
            catalog.set_pin(uuid, machine, source="operator", actor="root")

    def pins(self) -> dict[str, tuple[str | None, str]]:
        """Return machine type and source of all pins, by UUID."""
        with Catalog.open(self.path) as catalog:
            return {pin.uuid: (pin.machine, pin.source) for pin in catalog.pins()}

    def history(self, uuid: str = UUID) -> list[HistoryEntry]:
        """Return what happened to a guest's pin."""
        with Catalog.open(self.path) as catalog:
            return catalog.history(uuid)

    def machines(self, name: str = "web-1") -> tuple[str | None, str | None]:
        """Return the machine types that a guest is defined as, and runs."""
        defined = self.node.virsh("dumpxml", "--inactive", name).stdout.encode()
        running = None
        if self.node.state(name) == "running":
            running = summary.read(self.node.virsh("dumpxml", name).stdout.encode()).machine
        return summary.read(defined).machine, running

    def stop_start(self, *, nova: bool = False) -> None:
        """Leave what the hook leaves when it stops the start of web-1."""
        guest = summary.read(guest_xml("web-1", UUID, NEW, metadata=NOVA if nova else "").encode())
        with Catalog.open(self.path) as catalog:
            catalog.record_stop(guest, OLD, NEW, "prepare", now())

    def dump(self) -> list[str]:
        """Return all that the catalog holds but when guests were seen, and when and how syncs ended, as SQL."""
        connection = sqlite3.connect(self.path)
        try:
            connection.execute("UPDATE guests SET seen_at = ''")
            connection.execute(
                "UPDATE host SET last_sync_at = '', ran_at = '', ran_errors = 0, succeeded_at = ''"
            )
            return list(connection.iterdump())
        finally:
            connection.close()

    @contextlib.contextmanager
    def many(self, number: int) -> Iterator[list[str]]:
        """Define that many guests, through one connection as virsh is slow; yield their UUIDs."""
        uuids = [f"3f2c1d3e-0000-4000-8000-{index:012}" for index in range(number)]
        with connect(self.node.uri) as host:
            for index, uuid in enumerate(uuids):
                host.connection.defineXML(guest_xml(f"web-{index}", uuid, NEW))
            yield uuids
            for uuid in uuids:
                host.connection.lookupByUUIDString(uuid).undefine()

    def definitions(self) -> dict[str, tuple[str, int]]:
        """Return content and time of change of every definition on the host's disk."""
        files = self.node.path("/etc/libvirt/qemu").glob("*.xml")
        return {file.name: (file.read_text(), file.stat().st_mtime_ns) for file in files}
