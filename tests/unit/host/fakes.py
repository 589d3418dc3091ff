# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for libvirt-python, for what a real libvirtd can't be brought to do at will."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import libvirt

from mthook.host.connection import Host

UUID = "3f2c1d3e-0000-4000-8000-000000000001"
OTHER = "3f2c1d3e-0000-4000-8000-000000000002"
QEMU = "/usr/bin/qemu-system-x86_64"
CAPABILITIES = f"""<capabilities><guest><os_type>hvm</os_type><arch name='x86_64'>
<emulator>{QEMU}</emulator>
<machine maxCpus='255' deprecated='yes'>pc-i440fx-1.7</machine>
<machine maxCpus='255'>pc-i440fx-6.2</machine>
<machine maxCpus='255'>pc-i440fx-7.2</machine>
<machine canonical='pc-i440fx-7.2' maxCpus='255'>pc</machine>
<machine maxCpus='288'>pc-q35-7.2</machine>
<machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine>
<domain type='kvm'/></arch></guest></capabilities>"""


def failure(code: int, message: str = "no luck") -> libvirt.libvirtError:
    """Return an error as libvirt raises it."""
    error = libvirt.libvirtError(message)
    error.args = (message,)  # libvirt-python prefers the last error there was
    error.err = (code, 0, message, 0, "", None, None, 0, 0)
    return error


def domain_xml(
    machine: str = "pc-i440fx-7.2",
    *,
    uuid: str = UUID,
    name: str = "web-1",
    emulator: str = QEMU,
    metadata: str = "",
) -> str:
    """Return a domain as libvirt shows it."""
    return (
        f"<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid><metadata>{metadata}</metadata>"
        f"<os><type arch='x86_64' machine='{machine}'>hvm</type></os>"
        f"<devices><emulator>{emulator}</emulator></devices></domain>"
    )


class FakeDomain:
    """A domain handle.

    :param defined: the definition; ``None``: transient.
    :param running: the live XML; ``None``: shut off.
    :param saved: the XML in a managed-save image.
    :param failing: an error that every look at it meets.
    :ivar carried: the pins that its live metadata got; ``noted``: those that its definition's got.
    :ivar reads: how many times its XML was read.
    """

    def __init__(
        self,
        defined: str | None = None,
        *,
        running: str | None = None,
        saved: str | None = None,
        uuid: str = UUID,
        name: str = "web-1",
        failing: Exception | None = None,
    ) -> None:
        self.defined = domain_xml(uuid=uuid, name=name) if defined is None else defined
        self.running = running
        self.saved = saved
        self.uuid, self.label = uuid, name
        self.failing = failing
        self.started = 0
        self.persistent = True
        self.snapshots = 0
        self.carried: list[str] = []
        self.noted: list[str] = []
        self.reads = 0

    def setMetadata(self, kind: int, xml: str, key: str, uri: str, flags: int) -> None:
        """As in libvirt-python; only mthook's own element."""
        assert (kind, key, uri) == (
            libvirt.VIR_DOMAIN_METADATA_ELEMENT,
            "mthook",
            "urn:mthook:pin:1",
        )
        if flags & libvirt.VIR_DOMAIN_AFFECT_LIVE:
            self.carried.append(xml)
        if flags & libvirt.VIR_DOMAIN_AFFECT_CONFIG:
            self.noted.append(xml)

    def metadata(self, kind: int, uri: str, flags: int) -> str:
        """As in libvirt-python, of a domain that carries no pin."""
        raise failure(libvirt.VIR_ERR_NO_DOMAIN_METADATA)

    def name(self) -> str:
        """As in libvirt-python."""
        return self.label

    def UUIDString(self) -> str:
        """As in libvirt-python."""
        return self.uuid

    def state(self) -> list[int]:
        """As in libvirt-python; where a failing domain fails."""
        if self.failing is not None:
            raise self.failing
        active = self.running is not None
        return [libvirt.VIR_DOMAIN_RUNNING if active else libvirt.VIR_DOMAIN_SHUTOFF, 0]

    def isActive(self) -> int:
        """As in libvirt-python."""
        return int(self.running is not None)

    def isPersistent(self) -> int:
        """As in libvirt-python."""
        return int(self.persistent)

    def hasManagedSaveImage(self, flags: int) -> int:
        """As in libvirt-python."""
        return int(self.saved is not None)

    def snapshotNum(self, flags: int) -> int:
        """As in libvirt-python."""
        return self.snapshots

    def XMLDesc(self, flags: int) -> str:
        """As in libvirt-python."""
        self.reads += 1
        if flags & libvirt.VIR_DOMAIN_XML_INACTIVE or self.running is None:
            return self.defined
        return self.running

    def managedSaveGetXMLDesc(self, flags: int) -> str:
        """As in libvirt-python."""
        assert self.saved is not None
        return self.saved

    def create(self) -> None:
        """As in libvirt-python."""
        self.started += 1
        self.running = self.defined


class FakeConnection:
    """A connection to libvirt.

    :param supported: what an emulator has beyond the capabilities: name -> canonical name.
    :ivar on_lookup: called whenever a domain is looked up.
    :ivar defined: the definitions that were taken.
    """

    def __init__(
        self,
        domains: Sequence[FakeDomain] = (),
        *,
        capabilities: str = CAPABILITIES,
        supported: dict[str, str] | None = None,
    ) -> None:
        self.domains = list(domains)
        self.capabilities = capabilities
        self.supported = supported or {}
        self.alive = True
        self.defined: list[str] = []
        self.watchers: list[Callable[[int], None]] = []
        self.on_lookup: Callable[[FakeDomain], None] = lambda domain: None

    def getVersion(self) -> int:
        """As in libvirt-python."""
        return 7002022

    def getLibVersion(self) -> int:
        """As in libvirt-python."""
        return 9000000

    def isAlive(self) -> int:
        """As in libvirt-python."""
        return int(self.alive)

    def close(self) -> int:
        """As in libvirt-python."""
        return 0

    def numOfDomains(self) -> int:
        """As in libvirt-python."""
        return len([domain for domain in self.domains if domain.running])

    def numOfDefinedDomains(self) -> int:
        """As in libvirt-python."""
        return len(self.domains) - self.numOfDomains()

    def listAllDomains(self, flags: int) -> list[FakeDomain]:
        """As in libvirt-python."""
        return list(self.domains)

    def getCapabilities(self) -> str:
        """As in libvirt-python."""
        return self.capabilities

    def getDomainCapabilities(
        self, emulator: str, arch: str, machine: str, virt_type: str, flags: int
    ) -> str:
        """As in libvirt-python."""
        if machine not in self.supported:
            raise failure(libvirt.VIR_ERR_INVALID_ARG)
        known = self.supported[machine]
        return f"<domainCapabilities><machine>{known}</machine></domainCapabilities>"

    def lookupByUUIDString(self, uuid: str) -> FakeDomain:
        """As in libvirt-python."""
        return self._only(lambda domain: domain.uuid == uuid)

    def lookupByName(self, name: str) -> FakeDomain:
        """As in libvirt-python."""
        return self._only(lambda domain: domain.label == name)

    def defineXMLFlags(self, xml: str, flags: int) -> FakeDomain:
        """As in libvirt-python."""
        self.defined.append(xml)
        domain = next(domain for domain in self.domains if f"<uuid>{domain.uuid}<" in xml)
        domain.defined = xml
        self.tell(libvirt.VIR_DOMAIN_EVENT_DEFINED)
        return domain

    def domainEventRegisterAny(
        self, domain: FakeDomain, event: int, callback: Callable[..., None], opaque: object
    ) -> int:
        """As in libvirt-python."""
        self.watchers.append(lambda what: callback(self, domain, what, 0, opaque))
        return len(self.watchers)

    def domainEventDeregisterAny(self, watch: int) -> None:
        """As in libvirt-python."""
        self.watchers.pop()

    def tell(self, event: int) -> None:
        """Tell whoever watches a domain what happens to it."""
        for watcher in self.watchers:
            watcher(event)

    def _only(self, fits: Callable[[FakeDomain], bool]) -> FakeDomain:
        for domain in self.domains:
            if fits(domain):
                self.on_lookup(domain)
                return domain
        raise failure(libvirt.VIR_ERR_NO_DOMAIN, "Domain not found")


def host(*domains: FakeDomain, **options: Any) -> tuple[Host, FakeConnection]:
    """Return a host with these domains, and the connection behind it."""
    connection = FakeConnection(domains, **options)
    return Host("test:///fake", connection), connection
