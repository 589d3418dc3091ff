# SPDX-License-Identifier: Apache-2.0
"""The domains of this host: what each is defined as, what it runs, what its saved image holds.

Every function raises :class:`HostError` if libvirt refuses; those about one domain raise :class:`NotFound` if it is
gone.
"""

from __future__ import annotations

import contextlib
import uuid as uuidlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import libvirt
from lxml import etree

from mthook.catalog.records import Guest
from mthook.errors import DomainXMLError, HostError, NotFound
from mthook.host.connection import Host, libvirt_errors
from mthook.text import label, printable
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.summary import PIN_NAMESPACE, Summary, checksum

#: libvirt's states in the words of ``virsh list``; a "blocked" guest is one that waits.
_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "in shutdown",
    libvirt.VIR_DOMAIN_SHUTOFF: "shut off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "pmsuspended",
}
#: Where a ``<domainsnapshot>`` holds the domain: as it ran, and as it was defined.
_IN_SNAPSHOT = ("domain/os/type", "inactiveDomain/os/type")


@dataclass(frozen=True)
class Domain:
    """A domain as it was when it was listed.

    :ivar uuid: in lower case.
    :ivar name: untrusted text.
    :ivar state: ``running``, ``shut off``, ``saved`` (shut off, with a managed-save image) …
    :ivar managed_save: a start would restore an image instead of booting.
    :ivar snapshots: how many; each holds a machine type of its own.
    :ivar defined: the inactive definition; ``None`` for a transient domain.
    :ivar checksum: of that definition, see :func:`mthook.xmlrewrite.summary.checksum`.
    :ivar running: what an active domain really runs.
    :ivar saved: the machine type in the managed-save image.
    :ivar problem: what is wrong with the domain's XML, in one line that names the domain; then
        nothing else is known from its XML.
    """

    uuid: str
    name: str
    state: str = "no state"
    active: bool = False
    persistent: bool = False
    managed_save: bool = False
    snapshots: int = 0
    defined: Summary | None = None
    checksum: int | None = None
    running: Summary | None = None
    saved: str | None = None
    problem: str | None = None

    def __str__(self) -> str:
        return label(self.uuid, self.name, self.display)

    @property
    def summary(self) -> Summary | None:
        """What it runs, else what it is defined as."""
        return self.running or self.defined

    @property
    def display(self) -> str | None:
        """What Nova calls it, ``None`` where its XML doesn't say."""
        return (self.summary.display or None) if self.summary else None

    def as_guest(self) -> Guest | None:
        """Return it as the catalog keeps it; ``None`` for one whose XML can't be read."""
        summary = self.summary
        if summary is None:
            return None
        return Guest(
            uuid=self.uuid,
            name=self.name,
            arch=summary.arch,
            virt_type=summary.virt_type,
            emulator=summary.emulator,
            defined=self.defined.machine if self.defined else None,
            running=self.running.machine if self.running else None,
            state=self.state,
            managed_save=self.managed_save,
            snapshots=self.snapshots,
            nova=summary.nova,
            windows=summary.windows,
            display=self.display,
        )


def parse(text: str) -> etree._Element:
    """Parse XML that libvirt wrote."""
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)
    return etree.fromstring(text.encode(), parser)


def count_domains(host: Host) -> int:
    """Return how many domains :func:`list_domains` is about to yield."""
    with libvirt_errors("the domains can't be counted"):
        return int(host.connection.numOfDomains()) + int(host.connection.numOfDefinedDomains())


def states(host: Host) -> dict[str, str]:
    """Return the states of all domains by UUID, as :class:`Domain` has them; no XML is read."""
    with libvirt_errors("the domains can't be listed"):
        found = host.connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE)
    return {handle.UUIDString(): _state(handle, stats["state.state"]) for handle, stats in found}


def _state(handle: Any, number: int) -> str:
    state = _STATES.get(number, "no state")
    # One that vanishes meanwhile has no image either.
    with contextlib.suppress(libvirt.libvirtError):
        if state == "shut off" and handle.hasManagedSaveImage(0):
            return "saved"
    return state


def list_domains(host: Host) -> Iterator[Domain]:
    """Yield every domain, active or not. One that vanishes meanwhile is left out.

    :raises HostError: libvirt refused the list, or the connection broke: the list is incomplete
        then.
    """
    with libvirt_errors("the domains can't be listed"):
        handles = host.connection.listAllDomains(0)
    for handle in handles:
        with contextlib.suppress(NotFound):
            try:
                yield _read(handle)
            except HostError as error:
                if not host.is_alive():
                    raise
                yield Domain(handle.UUIDString(), handle.name(), problem=str(error))


def find_domain(host: Host, name_or_uuid: str) -> Domain:
    """Return one domain; try it as a UUID first: a guest's name may be another's UUID."""
    with contextlib.suppress(ValueError, NotFound):
        return get_domain(host, str(uuidlib.UUID(name_or_uuid)))
    with libvirt_errors(f"guest {printable(name_or_uuid)} can't be found"):
        handle = host.connection.lookupByName(name_or_uuid)
    return _read(handle)


def get_domain(host: Host, uuid: str, *, xml: bool = True) -> Domain:
    """Return the domain of a UUID.

    :param xml: read its XML too; otherwise nothing from it is known.
    """
    return _read(_handle(host, uuid), xml=xml)


def definition(host: Host, uuid: str, *, secrets: bool = True) -> Definition:
    """Return a domain's inactive definition.

    :param secrets: *include its passwords*, which :func:`redefine` needs: otherwise a redefined
        guest would lose them. Never print, log or keep that definition.
    """
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE | (libvirt.VIR_DOMAIN_XML_SECURE if secrets else 0)
    with _domain(host, uuid, "the definition can't be read") as handle:
        return Definition(handle.XMLDesc(flags).encode())


def machines_in_snapshots(host: Host, uuid: str) -> set[str]:
    """Return the machine types in a domain's snapshots."""
    return set().union(*snapshot_machines(host, uuid).values())


def snapshot_machines(host: Host, uuid: str) -> dict[str, set[str]]:
    """Return the machine types in each of a domain's snapshots, by the snapshot's name."""
    with libvirt_errors(f"the snapshots of guest {printable(uuid)} can't be read"):
        snapshots = host.connection.lookupByUUIDString(uuid).listAllSnapshots(0)
        roots = {one.getName(): parse(one.getXMLDesc(0)) for one in snapshots}
    return {name: _machines_of(root) for name, root in roots.items()}


def _machines_of(snapshot: etree._Element) -> set[str]:
    types = (found for path in _IN_SNAPSHOT for found in snapshot.iterfind(path))
    return {machine for machine in (found.get("machine") for found in types) if machine}


def saved_machine(host: Host, uuid: str) -> str | None:
    """Return the machine type in a domain's managed-save image."""
    return saved_definition(host, uuid).summary.machine


def saved_definition(host: Host, uuid: str) -> Definition:
    """Return the domain in the header of a managed-save image, without passwords."""
    with _domain(host, uuid, "its managed-save image can't be read") as handle:
        return Definition(handle.managedSaveGetXMLDesc(0).encode())


def snapshot_definitions(host: Host, uuid: str) -> dict[str, Definition]:
    """Return the domain in each of a domain's snapshots as it ran, without passwords, by the snapshot's name."""
    with _domain(host, uuid, "its snapshots can't be read") as handle:
        found = {one.getName(): parse(one.getXMLDesc(0)) for one in handle.listAllSnapshots(0)}
    kept = {name: root.find("domain") for name, root in found.items()}
    return {name: Definition(etree.tostring(one)) for name, one in kept.items() if one is not None}


def running(host: Host, uuid: str) -> Summary | None:
    """Return what a domain runs; None: it isn't running."""
    with _domain(host, uuid, "its XML can't be read") as handle:
        return _running(handle) if handle.isActive() else None


def redefine(host: Host, uuid: str, xml: bytes) -> None:
    """Replace a domain's definition; what an active domain runs stays as it is.

    :param uuid: of the domain; the definition has to carry the same.
    :raises HostError: libvirt refused the definition; the old one stays.
    """
    with _domain(host, uuid, "libvirt refuses the new definition"):
        host.connection.defineXMLFlags(xml.decode(), 0)


def carry(
    host: Host, uuid: str, machine: str, since: str, *, live: bool = False, defined: bool = False
) -> None:
    """Put a pin into a domain's metadata: live, where it moves with the guest, and in its definition.

    libvirt changes nothing else: no definition is read and written back.
    """
    pin = etree.Element("pin", instance=uuid, machine=machine, since=since)
    places = {libvirt.VIR_DOMAIN_AFFECT_LIVE: live, libvirt.VIR_DOMAIN_AFFECT_CONFIG: defined}
    with _domain(host, uuid, "its pin can't be written to its metadata") as handle:
        handle.setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT,
            etree.tostring(pin, encoding="unicode"),
            "mthook",
            PIN_NAMESPACE,
            sum(flag for flag, wanted in places.items() if wanted),
        )


def drop_pin(host: Host, uuid: str) -> bool:
    """Take the pin out of a domain's metadata, live and defined; tell whether there was one.

    libvirt changes nothing else: no definition is read and written back.
    """
    dropped = False
    with _domain(host, uuid, "its pin can't be taken out of its metadata") as handle:
        affected = {
            libvirt.VIR_DOMAIN_AFFECT_CONFIG: handle.isPersistent(),
            libvirt.VIR_DOMAIN_AFFECT_LIVE: handle.isActive(),
        }
        for flag in (flag for flag, there in affected.items() if there):
            dropped = _drop_pin(handle, flag) or dropped
    return dropped


def _drop_pin(handle: Any, flag: int) -> bool:
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    try:
        handle.metadata(kind, PIN_NAMESPACE, flag)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return False
        raise
    handle.setMetadata(kind, None, None, PIN_NAMESPACE, flag)
    return True


def start(host: Host, uuid: str) -> None:
    """Start a shut off domain, as ``virsh start`` would."""
    with _domain(host, uuid, "can't be started") as handle:
        handle.create()


@contextlib.contextmanager
def _domain(host: Host, uuid: str, failure: str) -> Iterator[Any]:
    """Find a domain for a block; raise what fails there with what it means."""
    handle = _handle(host, uuid)
    try:
        with libvirt_errors(failure):
            yield handle
    except (HostError, NotFound) as error:
        raise type(error)(f"{_named(handle)}: {error}") from error


def _named(handle: Any) -> str:
    """Return what messages call a domain; without Nova's name where its XML can't be read any more."""
    display = ""
    with contextlib.suppress(DomainXMLError, libvirt.libvirtError):
        display = _summary(handle.XMLDesc(0)).display
    return label(handle.UUIDString(), handle.name(), display)


def _handle(host: Host, uuid: str) -> Any:
    """Return libvirt's object for a domain."""
    with libvirt_errors(f"guest {printable(uuid)} can't be found"):
        return host.connection.lookupByUUIDString(uuid)


def _read(handle: Any, *, xml: bool = True) -> Domain:
    """Read everything about one domain; unreadable XML is reported in the result."""
    who = label(handle.UUIDString(), handle.name())
    with libvirt_errors(f"{who}: can't be looked at"):
        state = handle.state()[0]
        active = bool(handle.isActive())
        saved = bool(handle.hasManagedSaveImage(0))
        facts: dict[str, Any] = {
            "uuid": handle.UUIDString(),
            "name": handle.name(),
            "state": "saved" if saved and not active else _STATES.get(state, "no state"),
            "persistent": bool(handle.isPersistent()),
            "managed_save": saved,
            "snapshots": int(handle.snapshotNum(0)),
        }
    try:
        with libvirt_errors("its XML can't be read"):
            if xml:
                facts.update(_read_xml(handle, facts["persistent"], active, saved))
    except (DomainXMLError, HostError) as error:
        facts["problem"] = f"{who}: {error}"
    return Domain(active=active, **facts)


def _read_xml(handle: Any, persistent: bool, active: bool, saved: bool) -> dict[str, Any]:
    """Return what a domain's definition, live XML and saved image say, as far as it has them."""
    found: dict[str, Any] = {}
    if persistent:
        xml = handle.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        found.update(defined=_summary(xml), checksum=checksum(xml.encode()))
    if active:
        found["running"] = _running(handle)
    elif saved:
        with libvirt_errors("its managed-save image can't be read"):
            found["saved"] = _summary(handle.managedSaveGetXMLDesc(0)).machine
    return found


def _running(handle: Any) -> Summary | None:
    summary = _summary(handle.XMLDesc(0))
    # If the guest ended meanwhile, libvirt has returned its definition instead.
    return summary if handle.isActive() else None


def _summary(xml: str) -> Summary:
    return Definition(xml.encode()).summary
