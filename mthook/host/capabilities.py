# SPDX-License-Identifier: Apache-2.0
"""The machine types that this host's emulators offer, as libvirt tells them.

They are kept per emulator, architecture and domain type: two QEMUs on one host have different
lists, and the same alias means another machine type in each. QEMU's own ``-machine help`` doesn't
count, for libvirt refuses some of what it lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lxml import etree

from mthook.catalog.records import Capability, HostFacts
from mthook.errors import HostError
from mthook.host.connection import Host, asking
from mthook.host.domains import Domain
from mthook.machinetype import KNOWN_ALIASES, MachineType
from mthook.text import now, printable
from mthook.xmlrewrite.summary import Summary

#: What a list of machine types belongs to: emulator, architecture, domain type.
Key = tuple[str, str, str]
#: What an emulator offers: every machine type, and for an alias the versioned name behind it.
Offer = Mapping[str, "str | None"]
Offers = Mapping[Key, Offer]


def host_facts(host: Host, hostname: str) -> HostFacts:
    """Return what this host is at present.

    :param hostname: as the configuration has it.
    :raises HostError: libvirt refused.
    """
    with asking("libvirt doesn't tell its version"):
        return HostFacts(
            hostname=hostname,
            qemu_version=_dotted(host.connection.getVersion()),
            libvirt_version=_dotted(host.connection.getLibVersion()),
            seen_at=now(),
        )


def read_capabilities(host: Host, domains: Iterable[Domain] = ()) -> list[Capability]:
    """Return every machine type of every emulator, sorted.

    :param domains: where they use an emulator that libvirt's capabilities don't list, it is asked
        for the machine types that they name and for the aliases of those families: nothing gives
        its whole list.
    :raises HostError: libvirt refused.
    """
    with asking("libvirt doesn't tell its capabilities"):
        document = etree.fromstring(host.connection.getCapabilities().encode(), _parser())
    found: dict[tuple[str, str, str, str], Capability] = {}
    for arch in document.iterfind("guest/arch"):
        for one in _read_arch(arch):
            found[(one.emulator, one.arch, one.virt_type, one.machine)] = one
    listed = {key[:3] for key in found}
    for key, names in _unlisted(domains, listed).items():
        for name in sorted(names):
            for one in _probe(host, key, name):
                found.setdefault((*key, one.machine), one)
    return [found[key] for key in sorted(found)]


def key_of(seen: Summary) -> Key:
    """Return whose list of machine types counts for a domain."""
    return (seen.emulator or "", seen.arch, seen.virt_type)


def offers(capabilities: Iterable[Capability]) -> Offers:
    """Return machine types by what they belong to."""
    found: dict[Key, dict[str, str | None]] = {}
    for one in capabilities:
        found.setdefault((one.emulator, one.arch, one.virt_type), {})[one.machine] = one.canonical
    return found


def aliases(offer: Offer) -> dict[str, str]:
    """Return the aliases among what an emulator offers, and what they stand for."""
    return {machine: canonical for machine, canonical in offer.items() if canonical}


def supports(host: Host, key: Key, machine: str) -> bool:
    """Tell whether libvirt lets an emulator run a machine type; no if it can't ask that one."""
    return _canonical(host, key, machine) is not None


def _dotted(version: int) -> str:
    """Return libvirt's ``major * 1000000 + minor * 1000 + micro`` as people write a version."""
    return f"{version // 1000000}.{version // 1000 % 1000}.{version % 1000}"


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)


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
    """Return the machine types to ask for, by emulators that the capabilities leave out."""
    wanted: dict[Key, set[str]] = {}
    for domain in domains:
        for seen in (domain.defined, domain.running):
            if seen is None or not seen.emulator or not seen.machine:
                continue
            key = key_of(seen)
            if key not in listed:
                wanted.setdefault(key, set()).update([seen.machine, *_family_aliases(seen.machine)])
    return wanted


def _family_aliases(machine: str) -> list[str]:
    family = MachineType.parse(machine).family
    return [alias for alias, (of, _) in KNOWN_ALIASES.items() if of == family]


def _probe(host: Host, key: Key, machine: str) -> Iterator[Capability]:
    """Yield a machine type as an emulator knows it, and what an alias stands for, if it does."""
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
        with asking(f"{printable(emulator)} can't be asked for {printable(machine)}"):
            answer = host.connection.getDomainCapabilities(emulator, arch, machine, virt_type, 0)
    except HostError:
        return None
    return etree.fromstring(answer.encode(), _parser()).findtext("machine")
