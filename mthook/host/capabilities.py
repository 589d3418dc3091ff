# SPDX-License-Identifier: Apache-2.0
"""The machine types that this host's emulators offer, as libvirt reports them.

QEMU's own ``-machine help`` doesn't count: libvirt refuses some of what it lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from lxml import etree

from mthook.catalog.lookup import stamp
from mthook.catalog.offers import Key, key_of
from mthook.catalog.records import Capability, Guest, HostFacts
from mthook.errors import HostError
from mthook.host.connection import Host, libvirt_errors
from mthook.host.domains import Domain, parse
from mthook.machinetype import KNOWN_ALIASES, MachineType
from mthook.text import now, printable
from mthook.xmlrewrite.summary import Summary


def host_facts(host: Host, hostname: str) -> HostFacts:
    """Return what this host is at present.

    :param hostname: as the configuration has it.
    """
    with libvirt_errors("libvirt doesn't tell its version"):
        return HostFacts(
            hostname=hostname,
            qemu_version=_dotted(host.connection.getVersion()),
            libvirt_version=_dotted(host.connection.getLibVersion()),
            seen_at=now(),
        )


def read_capabilities(host: Host, domains: Iterable[Domain] = ()) -> list[Capability]:
    """Return every machine type of every emulator, sorted.

    :param domains: where they use an emulator that libvirt's capabilities don't list, libvirt is
        asked about the machine types that they name and the aliases of those families: there is no
        way to get such an emulator's whole list.
    """
    with libvirt_errors("libvirt doesn't tell its capabilities"):
        document = parse(host.connection.getCapabilities())
    found: dict[tuple[str, str, str, str], Capability] = {}
    for arch in document.iterfind("guest/arch"):
        for one in _read_arch(arch):
            found[(one.emulator, one.arch, one.virt_type, one.machine)] = one
    listed = {key[:3] for key in found}
    for key, names in _unlisted(domains, listed).items():
        for name in sorted(names):
            for one in _probe(host, key, name):
                found.setdefault((*key, one.machine), one)
    stamps = {emulator: stamp(emulator) for emulator, *_ in found}
    return [replace(found[key], stamp=stamps[key[0]]) for key in sorted(found)]


def supports(host: Host, guest: Guest | Summary, machine: str) -> bool:
    """Tell whether libvirt lets a guest's emulator run a machine type; no if it can't be asked."""
    return _canonical(host, key_of(guest), machine) is not None


def _dotted(version: int) -> str:
    """Return libvirt's ``major * 1000000 + minor * 1000 + micro`` as people write a version."""
    return f"{version // 1000000}.{version // 1000 % 1000}.{version % 1000}"


def _read_arch(arch: etree._Element) -> Iterator[Capability]:
    """Yield what an ``<arch>`` lists; a domain type may have its own emulator and machine types."""
    for domain in arch.iterfind("domain"):
        emulator = domain.findtext("emulator") or arch.findtext("emulator")
        if not emulator:
            continue
        for machine in domain.findall("machine") or arch.findall("machine"):
            yield Capability(
                emulator=emulator,
                arch=arch.get("name", ""),
                virt_type=domain.get("type", ""),
                machine=machine.text or "",
                canonical=machine.get("canonical"),
                deprecated=machine.get("deprecated") == "yes",
            )


def _unlisted(domains: Iterable[Domain], listed: set[Key]) -> dict[Key, set[str]]:
    """Return the machine types to ask about, by emulator; only those that the capabilities lack."""
    wanted: dict[Key, set[str]] = {}
    for domain in domains:
        for summary in (domain.defined, domain.running):
            if summary is None or not summary.emulator or not summary.machine:
                continue
            key, machine = key_of(summary), summary.machine
            if key not in listed:
                wanted.setdefault(key, set()).update([machine, *_family_aliases(machine)])
    return wanted


def _family_aliases(machine: str) -> list[str]:
    family = MachineType.parse(machine).family
    return [alias for alias, (of, _) in KNOWN_ALIASES.items() if of == family]


def _probe(host: Host, key: Key, machine: str) -> Iterator[Capability]:
    """Yield a machine type if an emulator knows it; for an alias, also what it stands for."""
    canonical = _canonical(host, key, machine)
    if canonical is None:
        return
    yield Capability(*key, machine=canonical)
    if canonical != machine:
        yield Capability(*key, machine=machine, canonical=canonical)


def _canonical(host: Host, key: Key, machine: str) -> str | None:
    """Return the versioned name of a machine type, or None where the emulator can't run it."""
    emulator, arch, virt_type = key
    try:
        with libvirt_errors(f"{printable(emulator)} can't be asked for {printable(machine)}"):
            answer = host.connection.getDomainCapabilities(emulator, arch, machine, virt_type, 0)
    except HostError:
        return None
    return parse(answer).findtext("machine")
