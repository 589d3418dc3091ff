# SPDX-License-Identifier: Apache-2.0
"""mthook-admin in this process, with a real catalog and libvirt's own test driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from mthook.catalog.records import Capability, Guest, HostFacts
from mthook.catalog.store import Catalog
from mthook.host import capabilities
from mthook.text import now
from mthook.tools.admin import main
from tests.programs import ENFORCE, Run, runner

from .cloud import Cloud

#: libvirt's in-memory driver: domains, states and errors are real, there is no daemon and no QEMU.
URI = "test:///default"
UNREACHABLE = "qemu+unix:///system?socket=/nonexistent"

WEB = "3f2c1d3e-0000-4000-8000-000000000001"
DB = "3f2c1d3e-0000-4000-8000-000000000002"
NOBODY = "3f2c1d3e-0000-4000-8000-00000000ffff"

#: What the emulator of the test driver's domains offers: name, canonical name, deprecated.
MACHINES = (
    ("pc", "pc-i440fx-7.2", False),
    ("pc-i440fx-2.0", None, True),
    ("pc-i440fx-6.2", None, False),
    ("pc-i440fx-7.2", None, False),
    ("q35", "pc-q35-7.2", False),
    ("pc-q35-7.2", None, False),
)


@pytest.fixture(autouse=True)
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one who types the commands; pytest has named its directory after the real one by now."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("LOGNAME", "alice")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the catalog is."""
    return str(tmp_path / "lib" / "catalog.sqlite")


@pytest.fixture
def config(tmp_path: Path, path: str) -> Path:
    """The configuration file."""
    file = tmp_path / "mthook.conf"
    file.write_text(f"{ENFORCE}[catalog]\npath = {path}\n[libvirt]\nconnection_uri = {URI}\n")
    return file


@pytest.fixture
def unreachable(config: Path) -> None:
    """libvirt is not there."""
    config.write_text(config.read_text().replace(URI, UNREACHABLE))


@pytest.fixture
def cloud(config: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Nova, whose name for this host is "here"."""
    found = Cloud()
    monkeypatch.setattr("mthook.nova.cells.opened", found.opened)
    config.write_text(
        f"[DEFAULT]\nhost = here\n{config.read_text()}"
        "[api_database]\nconnection = mysql+pymysql://nova:sesame@192.0.2.1/nova_api\n"
    )
    return found


@pytest.fixture
def run(config: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run mthook-admin with the configuration."""
    return runner(main, config, capsys)


@pytest.fixture
def catalog(path: str) -> Iterator[Catalog]:
    """The catalog, knowing what this host's QEMU offers."""
    with Catalog.open(path) as opened:
        offered = [Capability("", "x86_64", "test", *machine) for machine in MACHINES]
        opened.replace_capabilities(offered, HostFacts("here", "7.2.22", "9.0.0"))
        yield opened


def guest(uuid: str = WEB, name: str = "web-1", **facts: Any) -> Guest:
    """Return a guest as the last sync saw it."""
    return Guest(uuid, name, "x86_64", "test", **{"defined": "pc-i440fx-6.2", **facts})


@pytest.fixture
def web(catalog: Catalog) -> Guest:
    """A guest that is shut off and pinned to pc-i440fx-6.2."""
    seen = guest()
    catalog.see_guests([seen], now())
    pin(catalog, WEB, "pc-i440fx-6.2")
    return seen


def pin(catalog: Catalog, uuid: str, machine: str, seen: str | None = None) -> None:
    """Pin an instance as a sync would."""
    catalog.set_pin(uuid, machine, source="definition", actor="mthook-sync", seen=seen)


@pytest.fixture
def driver() -> Iterator[libvirt.virConnect]:
    """The test driver; its domains are there as long as a connection or a handle is."""
    connection = libvirt.open(URI)
    yield connection
    for domain in connection.listAllDomains():
        if domain.isActive():
            domain.destroy()
        for snapshot in domain.listAllSnapshots():
            snapshot.delete()
        if domain.isPersistent():
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
    connection.close()


@pytest.fixture
def picky(monkeypatch: pytest.MonkeyPatch) -> None:
    """libvirt supports what the catalog says; its test driver has got to support any name since Debian 12's."""
    monkeypatch.setattr(capabilities, "supports", lambda *_: False)


@pytest.fixture
def domain(driver: libvirt.virConnect, web: Guest) -> libvirt.virDomain:
    """The pinned guest as libvirt has it, shut off."""
    return driver.defineXML(xml())


@pytest.fixture
def both(
    catalog: Catalog, driver: libvirt.virConnect, domain: libvirt.virDomain
) -> libvirt.virConnect:
    """Two guests that are shut off and pinned: web-1, and db-1."""
    driver.defineXML(xml(uuid=DB, name="db-1"))
    catalog.see_guests([guest(), guest(DB, "db-1")], now())
    pin(catalog, DB, "pc-i440fx-6.2")
    return driver


def xml(machine: str = "pc-i440fx-6.2", *, uuid: str = WEB, name: str = "web-1") -> str:
    """Return a domain with a password in it."""
    return (
        f"<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory>8192</memory>"
        f"<os><type arch='x86_64' machine='{machine}'>hvm</type></os>"
        "<devices><graphics type='vnc' passwd='sesame'/></devices></domain>"
    )


def defined(driver: libvirt.virConnect, uuid: str = WEB) -> str:
    """Return the machine type that a domain's definition has."""
    text: str = driver.lookupByUUIDString(uuid).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    return text.split("machine='")[1].split("'")[0]


def events(catalog: Catalog, uuid: str = WEB) -> list[tuple[str, str | None, str | None]]:
    """Return what happened to a pin: event, from, to."""
    return [(entry.event, entry.old, entry.new) for entry in catalog.history(uuid)]
