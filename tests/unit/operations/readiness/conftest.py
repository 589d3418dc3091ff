# SPDX-License-Identifier: Apache-2.0
"""mthook-status in this process, on a host where all is well unless a test breaks it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mthook.catalog.records import Capability, HostFacts
from mthook.catalog.store import Catalog
from mthook.hook import daemons, install
from mthook.host import connection
from mthook.nova import cells
from mthook.text import now
from mthook.tools import status
from tests.programs import ENFORCE
from tests.unit.host.fakes import FakeDomain, host

from .clouds import Nova

WEB = "3f2c1d3e-0000-4000-8000-000000000001"
DB = "3f2c1d3e-0000-4000-8000-000000000002"
OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"
NOVA = "<metadata><n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/></metadata>"
UNREACHABLE = "qemu+unix:///system?socket=/nonexistent"
DATABASE = "[database]\nconnection = mysql+pymysql://nova:sesame@127.0.0.1:1/nova\n"

#: What the emulator of the test driver's domains offers: name, canonical name, deprecated.
MACHINES = (
    ("pc", NEW, False),
    ("pc-i440fx-2.0", None, True),
    (OLD, None, False),
    (NEW, None, False),
)
#: libvirt's test driver: shut off.
_SHUT_OFF = "<t:runstate>5</t:runstate>"


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


class Answer(NamedTuple):
    """What one check found."""

    code: int
    details: str


class FakeDaemon(daemons.Daemon):
    """A libvirtd that isn't there."""

    def look_again(self) -> None:
        """Take note without a signal."""


class Desk:
    """An operator's place at a host with libvirt's test driver."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = str(directory / "lib" / "catalog.sqlite")
        self.config = directory / "mthook.conf"
        self.gate = directory / "gate"
        self.hooks = directory / "hooks"
        self.hooks.mkdir()
        self.daemons: list[daemons.Daemon] = []
        self._node = directory / "node.xml"
        self._domains: list[str] = []
        self._capsys = capsys
        self.configure()
        self._define("")
        self.install()
        with self.catalog() as catalog:
            offered = [Capability("", "x86_64", "test", *machine) for machine in MACHINES]
            catalog.replace_capabilities(offered, HostFacts("here", "7.2.22", "9.0.0"))
            catalog.set_last_sync(now(), ok=True)

    def configure(self, text: str = "", uri: str | None = None) -> None:
        """Write the configuration."""
        uri = uri or f"test://{self._node}"
        self.config.write_text(
            f"{ENFORCE}[catalog]\npath = {self.path}\n[gate]\nlisten = {self.gate}\n"
            f"[libvirt]\nconnection_uri = {uri}\n{text}"
        )
        self.config.chmod(0o600)

    def guest(
        self, name: str, uuid: str, machine: str, more: str = "", state: str = _SHUT_OFF
    ) -> None:
        """Define a guest, shut off; ``more`` is XML, ``state`` the test driver's."""
        self._define(
            f"<domain type='test' xmlns:t='http://libvirt.org/schemas/domain/test/1.0'>"
            f"{domain(name, uuid, machine)}{more}{state}</domain>"
        )

    def pin(self, uuid: str, machine: str, seen: str | None = None) -> None:
        """Pin a guest as a sync would."""
        with self.catalog() as catalog:
            catalog.set_pin(uuid, machine, source="definition", actor="mthook-sync", seen=seen)

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """Open the catalog."""
        with Catalog.open(self.path) as catalog:
            yield catalog

    def install(self) -> None:
        """Install the hook for the one configuration file."""
        wiring = install.Wiring.of_this_process(self.path, [str(self.config)])
        install.install(str(self.hooks), wiring)

    def status(self, *argv: str) -> Said:
        """Run ``mthook-status upgrade check`` with the configuration."""
        self._capsys.readouterr()
        argv = ("--config-file", str(self.config), "--hooks-dir", str(self.hooks), *argv)
        code = status.main([*argv, "upgrade", "check"])
        return Said(int(code), *self._capsys.readouterr())

    def check(self, title: str, *argv: str) -> Answer:
        """Return what one of the checks found."""
        said = self.status("--json", *argv)
        assert said.err == ""
        found: list[dict[str, Any]] = json.loads(said.out)["checks"]
        assert said.code == max(one["result"] for one in found)
        return next(Answer(one["result"], one["details"]) for one in found if one["check"] == title)

    def findings(self, check: str, *argv: str) -> list[dict[str, Any]]:
        """Return what one of the checks found as data, by its stable name."""
        found: list[dict[str, Any]] = json.loads(self.status("--json", *argv).out)["checks"]
        return next(list(one["findings"]) for one in found if one["id"] == check)

    def _define(self, text: str) -> None:
        self._domains.append(text)
        self._node.write_text(f"<node>{''.join(self._domains)}</node>")


def domain(name: str, uuid: str, machine: str) -> str:
    """Return what is inside of every domain."""
    return (
        f"<name>{name}</name><uuid>{uuid}</uuid><memory>8192</memory>"
        f"<os><type arch='x86_64' machine='{machine}'>hvm</type></os>"
    )


def snapshot(name: str, uuid: str, machine: str) -> str:
    """Return a snapshot of a guest for the test driver."""
    return (
        "<t:domainsnapshot><name>before</name><creationTime>1</creationTime><state>shutoff</state>"
        f"<domain type='test'>{domain(name, uuid, machine)}</domain><active>1</active></t:domainsnapshot>"
    )


def libvirt_has(monkeypatch: pytest.MonkeyPatch, *domains: FakeDomain) -> None:
    """Put a stand-in in libvirt's place, for what its test driver doesn't have."""

    @contextmanager
    def connect(uri: str, *, readonly: bool = False, ports: int = 0) -> Iterator[connection.Host]:
        assert readonly
        yield host(*domains)[0]

    monkeypatch.setattr(connection, "connect", connect)


@pytest.fixture
def desk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Desk:
    """A host on which all is well: the hook is installed, a sync has just ended; no guests."""
    monkeypatch.setattr(install, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(daemons, "running", lambda *_: [])
    desk = Desk(tmp_path, capsys)
    desk.daemons.append(FakeDaemon(4711, "libvirtd", 99, 2e9))
    monkeypatch.setattr(daemons, "running", lambda *_: desk.daemons)
    return desk


@pytest.fixture
def nova(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Nova:
    """Nova's databases, configured."""
    desk.configure(DATABASE)
    found = Nova()
    monkeypatch.setattr(cells, "opened", found.opened)
    return found


@pytest.fixture
def web(desk: Desk) -> Desk:
    """The same with a guest, shut off, that is what its pin says."""
    desk.guest("web-1", WEB, OLD)
    desk.pin(WEB, OLD)
    return desk
