# SPDX-License-Identifier: Apache-2.0
"""mthook-sync between a real libvirtd and Nova's real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mthook.catalog.store import Catalog
from mthook.tools import sync
from tests.lab import OLD_PC, PC, Host, guest_xml
from tests.lab.nova import Cloud
from tests.programs import ENFORCE

#: What makes a domain one of Nova's.
NOVA = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"
UUID = "3f2c1d3e-0000-4000-8000-000000000001"
OTHER = "3f2c1d3e-0000-4000-8000-000000000002"
OLD, NEW = OLD_PC, PC


class Compute:
    """A compute host: its libvirtd, its catalog, and Nova's database."""

    def __init__(
        self, node: Host, cloud: Cloud, directory: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.node = node
        self.cloud = cloud
        self.path = str(directory / "mthook" / "catalog.sqlite")
        self.config = directory / "mthook.conf"
        self._capsys = capsys
        self.configure()

    def configure(self, *, url: str | None = None, host: str = "alpha", more: str = "") -> None:
        """Write the configuration.

        :param url: of the database; None: the cell's.
        """
        self.config.write_text(
            f"{ENFORCE}[DEFAULT]\nhost = {host}\n[catalog]\npath = {self.path}\n"
            f"[libvirt]\nconnection_uri = {self.node.uri}\n"
            f"[database]\nconnection = {(url or self.cloud.cell_url()).replace('$', '$$')}\n{more}"
        )

    def sync(self, *args: str) -> tuple[int, str, str]:
        """Run mthook-sync and return its exit status, standard output and standard error."""
        code = sync.main(["--config-file", str(self.config), *args])
        said = self._capsys.readouterr()
        return int(code), said.out, said.err

    def catalog(self) -> Catalog:
        """Open the catalog."""
        return Catalog.open(self.path)

    def define(self, machine: str, uuid: str = UUID, name: str = "web-1") -> None:
        """Define a guest of Nova's."""
        self.node.define(guest_xml(name, uuid, machine, metadata=NOVA))

    def boot(self, machine: str, uuid: str = UUID, name: str = "web-1") -> None:
        """Define and start a guest of Nova's."""
        self.define(machine, uuid, name)
        self.node.virsh("start", "--domain", name)

    def pin(self, uuid: str = UUID) -> tuple[str | None, str, str | None] | None:
        """Return machine type, source and what was seen; None without a row."""
        with self.catalog() as catalog:
            pin = catalog.get_pin(uuid)
        return (pin.machine, pin.source, pin.seen) if pin else None

    def set_pin(self, machine: str, source: str = "operator", uuid: str = UUID) -> None:
        """Change a pin here alone."""
        with self.catalog() as catalog:
            catalog.set_pin(uuid, machine, source=source, actor="test")

    def events(self, uuid: str = UUID) -> list[tuple[str, str | None, str | None, str | None]]:
        """Return what an instance's history says."""
        with self.catalog() as catalog:
            return [(one.event, one.old, one.new, one.reason) for one in catalog.history(uuid)]


@pytest.fixture(scope="package")
def alpha() -> Iterator[Host]:
    """A lab host for the tests of this package."""
    with Host("alpha") as host:
        yield host


@pytest.fixture
def compute(
    alpha: Host, cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Compute]:
    """A compute host without guests and without a catalog."""
    alpha.remove_guests()
    yield Compute(alpha, cloud, tmp_path, capsys)
    alpha.remove_guests()
