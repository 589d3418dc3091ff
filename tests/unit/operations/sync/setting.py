# SPDX-License-Identifier: Apache-2.0
"""A host on a stand-in for libvirt, for what a real one can't be brought to do at will."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from mthook.catalog.records import Guest, Repair
from mthook.catalog.store import Catalog
from mthook.text import now
from mthook.tools import sync
from mthook.xmlrewrite import summary
from mthook.xmlrewrite.target import Kept
from tests.programs import ENFORCE
from tests.unit.host.fakes import (
    UUID,
    FakeConnection,
    domain_xml,
)

#: A pin in a guest's own metadata: machine type and the UUID of the guest that it is for.
CARRIED = (
    "<m:pin xmlns:m='urn:mthook:pin:1' machine='{}' instance='{}'"
    " since='2026-01-01T00:00:00.000000Z'/>"
)


class Setting:
    """A host with a configuration, a catalog's place and a stand-in for its libvirt."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = str(directory / "mthook" / "catalog.sqlite")
        self.config = directory / "mthook.conf"
        self.configure()
        self.libvirt = FakeConnection()
        self._capsys = capsys

    def configure(self, text: str = "") -> None:
        """Write the configuration; ``text`` comes after the catalog's path."""
        self.config.write_text(f"{ENFORCE}[catalog]\npath = {self.path}\n{text}")

    def sync(self, *args: str) -> tuple[int, str, str]:
        """Run mthook-sync and return its exit status, standard output and standard error."""
        code = sync.main(["--config-file", str(self.config), *args])
        said = self._capsys.readouterr()
        return int(code), said.out, said.err

    def catalog(self) -> Catalog:
        """Open the catalog."""
        return Catalog.open(self.path)

    def pins(self) -> dict[str, tuple[str | None, str]]:
        """Return machine type and source of all pins, by UUID."""
        with self.catalog() as catalog:
            return {pin.uuid: (pin.machine, pin.source) for pin in catalog.pins()}

    def events(self, uuid: str = UUID) -> list[tuple[str, str | None, str | None, str | None]]:
        """Return what a guest's history says."""
        with self.catalog() as catalog:
            return [(one.event, one.old, one.new, one.reason) for one in catalog.history(uuid)]

    def guests(self) -> dict[str, Guest]:
        """Return what the catalog knows of the guests, by UUID."""
        with self.catalog() as catalog:
            return {guest.uuid: guest for guest in catalog.guests()}


def kept() -> Kept:
    """Return what is kept of a guest that was a pc."""
    xml = domain_xml("pc-i440fx-7.2").encode()
    return Kept(UUID, summary.checksum(xml), "pc-i440fx-7.2", "2026-01-01T00:00:00.000000Z", xml)


def dump(path: str) -> list[str]:
    """Return all that a catalog holds, as SQL."""
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def wait_for_repair(
    setting: Setting, age: float = 60, nova: bool = False, restart: bool = True
) -> None:
    """Put a guest on the list of repairs as the hook does when it stops a start."""
    guest = summary.read(domain_xml().encode())
    guest.nova = nova
    pin, found, at = "pc-i440fx-6.2", "pc-i440fx-7.2", now(time.time() - age)
    with Catalog.open(setting.path) as catalog:
        catalog.record_stop(guest, pin, found, "prepare", at)
        if not restart:
            catalog.connection.execute("UPDATE repairs SET restart = 0")


def repairs(setting: Setting) -> list[Repair]:
    """Return the guests that wait for a repair."""
    with setting.catalog() as catalog:
        return catalog.repairs()
