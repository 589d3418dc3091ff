# SPDX-License-Identifier: Apache-2.0
"""A catalog, a configuration, a system log, and libvirtd's side of a hook call."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mthook import conf, journal
from mthook.catalog.records import Capability, HostFacts
from mthook.catalog.store import Catalog
from mthook.hook import answer, caller, fast
from mthook.settings import fingerprint
from tests.programs import ENFORCE

UUID = "7d3f0a52-6a0e-4c6f-9f3b-5f0a1c2d3e4f"
IMAGE = "3c4d5e6f-7081-4293-a4b5-c6d7e8f90a1b"
EMULATOR = "/usr/bin/qemu-system-x86_64"


@dataclass
class Answer:
    """What libvirtd and the system log get to see of one call."""

    code: int
    output: str
    errors: str
    log: list[str]


def domain(
    machine: str = "pc-i440fx-7.2",
    *,
    uuid: str = UUID,
    name: str = "web-1",
    image: str = "",
    recorded: str = "",
    metadata: str = "",
) -> bytes:
    """Domain XML as a hook gets it, in brief."""
    if image:
        tells = (
            f'<nova:image uuid="{image}"><nova:properties><nova:property name="hw_machine_type">'
            f"{recorded}</nova:property></nova:properties></nova:image>"
            if recorded
            else ""
        )
        metadata += (
            '<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">'
            f'{tells}<nova:root type="image" uuid="{image}"/></nova:instance>'
        )
    return (
        f"<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid><metadata>{metadata}</metadata>"
        f"<os><type arch='x86_64' machine='{machine}'>hvm</type></os>"
        f"<devices><emulator>{EMULATOR}</emulator></devices></domain>"
    ).encode()


def travelling(machine: str, since: str, *, instance: str = UUID) -> str:
    """A pin in a guest's own metadata."""
    return f'<m:pin xmlns:m="urn:mthook:pin:1" instance="{instance}" machine="{machine}" since="{since}"/>'


class Hooked:
    """A host's catalog and configuration with the hook installed."""

    def __init__(self, directory: Path, log: socket.socket) -> None:
        self.path = directory / "state" / "catalog.sqlite"
        self.config = directory / "mthook.conf"
        self.trigger = directory / "state" / "repair-wanted"
        self.cleared = directory / "cleared"
        self.log = log
        self.configure("")
        with self.catalog() as catalog:
            capabilities = [
                Capability(EMULATOR, "x86_64", "kvm", "pc", canonical="pc-i440fx-7.2"),
                Capability(EMULATOR, "x86_64", "kvm", "q35", canonical="pc-q35-7.2"),
                Capability(EMULATOR, "x86_64", "kvm", "pc-i440fx-6.2"),
            ]
            catalog.replace_capabilities(
                capabilities, HostFacts(qemu_version="7.2.22", libvirt_version="9.0.0")
            )

    def configure(self, text: str) -> None:
        """Write the configuration and compile it, as mthook-sync does."""
        self.write(text)
        options = conf.load([str(self.config)])
        with self.catalog() as catalog:
            catalog.compile_settings(conf.settings(options, fingerprint([str(self.config)])))

    def write(self, text: str) -> None:
        """Write the configuration, and leave it to the hook to notice."""
        self.config.write_text(f"{ENFORCE}[catalog]\npath = {self.path}\n{text}")

    def catalog(self) -> Catalog:
        """The catalog as the tools see it."""
        return Catalog.open(str(self.path))

    def pin(self, machine: str, **more: str) -> None:
        """Pin the guest as an operator would."""
        with self.catalog() as catalog:
            catalog.set_pin(UUID, machine, source="operator", actor="test", **more)

    def pinned(self) -> str | None:
        """The guest's pin, None without one."""
        with self.catalog() as catalog:
            pin = catalog.get_pin(UUID)
        return pin.machine if pin else None

    def events(self) -> list[tuple[str, str | None, str | None]]:
        """What the guest's history says."""
        with self.catalog() as catalog:
            return [(entry.event, entry.old, entry.new) for entry in catalog.history(UUID)]

    def call(self, operation: str, xml: bytes | None = None, *, name: str = "web-1") -> Answer:
        """Call the hook's fast path as ``hooks/qemu`` does."""
        output, errors = io.BytesIO(), io.StringIO()
        argv = [str(self.path), str(self.config), str(self.cleared), name, operation, "begin", "-"]
        call = fast.HookCall(argv, output, errors)
        code = fast.answer(call, io.BytesIO(domain() if xml is None else xml))
        if call.connection is not None:
            call.connection.close()
        return Answer(code, output.getvalue().decode(), errors.getvalue(), self.lines())

    def lines(self) -> list[str]:
        """The log lines since the last call, without priority and process."""
        lines = []
        while True:
            try:
                lines.append(self.log.recv(4096).decode().partition("]: ")[2])
            except BlockingIOError:
                return lines


@pytest.fixture
def hooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hooked]:
    """A fresh catalog that knows the host's capabilities and default configuration, and no pin."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as log:
        log.bind(str(tmp_path / "log"))
        monkeypatch.setattr(journal, "SOCKET", str(tmp_path / "log"))
        monkeypatch.setattr(caller, "libvirt_version", lambda _: (9, 0, 0))
        monkeypatch.setattr(answer, "DEFINITIONS", str(tmp_path / "qemu"))
        monkeypatch.setattr(answer, "REPAIR_UNIT", str(tmp_path / "mthook-repair.path"))
        yield Hooked(tmp_path, log)
