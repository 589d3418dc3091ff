# SPDX-License-Identifier: Apache-2.0
"""What a host's or a binary's QEMU offers, as a file that can be carried to another host."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mthook.catalog.offers import Offer, Offers
from mthook.catalog.records import Capability
from mthook.errors import Error
from mthook.machinetype import MachineType
from mthook.text import printable

if TYPE_CHECKING:
    from mthook.host.connection import Host
    from mthook.host.domains import Domain

#: The format that every file names. A later version would give another format another name.
FORMAT = "mthook-offer-1"
_KEYS = ("emulator", "arch", "virt_type")
#: A 32-bit guest runs in a 64-bit emulator.
_WIDER = {"i686": "x86_64", "armv7l": "aarch64"}


@dataclass(frozen=True)
class Offering:
    """What one host or one binary offers.

    :ivar name: what messages call it: the host, or the binary's path.
    :ivar qemu_version: as people write it.
    :ivar libvirt_version: likewise; None for a binary, which was asked itself.
    """

    name: str
    qemu_version: str
    libvirt_version: str | None
    capabilities: tuple[Capability, ...]

    def like(self, arch: str, virt_type: str) -> Offer | None:
        """Return what there is for a guest of an architecture and domain type; None: nothing is known for those."""
        key = (arch, virt_type)
        if key not in self._found:
            found = (self._offers.like(one, virt_type) for one in (arch, _WIDER.get(arch)) if one)
            self._found[key] = next((one for one in found if one.names), None)
        return self._found[key]

    @property
    def archs(self) -> set[str]:
        """The architectures that guests can have."""
        own = {one.arch for one in self.capabilities}
        return own | {narrow for narrow, wide in _WIDER.items() if wide in own}

    @functools.cached_property
    def _offers(self) -> Offers:
        return Offers(self.capabilities)

    @functools.cached_property
    def _found(self) -> dict[tuple[str, str], Offer | None]:
        return {}


def of_host(host: Host, name: str, domains: Iterable[Domain]) -> Offering:
    """Return what this host offers, as libvirt tells.

    :param domains: their emulators are asked about as well.
    :raises HostError: libvirt can't be asked.
    """
    from mthook.host.capabilities import host_facts, read_capabilities

    facts = host_facts(host, name)
    capabilities = read_capabilities(host, domains)
    version = facts.qemu_version or ""
    return Offering(name, version, facts.libvirt_version, tuple(capabilities))


def of_binary(path: str) -> Offering:
    """Return what a QEMU binary offers.

    :raises HostError: it can't be asked.
    """
    from mthook.host.emulator import ask

    found = ask(path)
    return Offering(path, found.version, None, found.capabilities)


def to_text(offering: Offering) -> str:
    """Return the content of a file."""
    document = {
        "format": FORMAT,
        "name": offering.name,
        "qemu_version": offering.qemu_version,
        "libvirt_version": offering.libvirt_version,
        "emulators": _emulators(offering.capabilities),
    }
    return json.dumps(document, indent=1)


def from_text(text: str) -> Offering:
    """Read what :func:`to_text` wrote.

    :raises Error: it is something else; the text goes on from the file's name.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"not an offer in the format {FORMAT}")
        rows = (_read_emulator(one) for one in document["emulators"])
        return Offering(
            _text(document["name"]),
            _text(document["qemu_version"]),
            None if document["libvirt_version"] is None else _text(document["libvirt_version"]),
            tuple(itertools.chain.from_iterable(rows)),
        )
    except KeyError as error:
        raise Error(f"{error.args[0]} is missing") from error
    except RecursionError:
        raise Error(f"not an offer in the format {FORMAT}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise Error(printable(error)) from error


def _emulators(capabilities: Iterable[Capability]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for one in capabilities:
        machine = {"name": one.machine, "alias_of": one.canonical, "deprecated": one.deprecated}
        groups.setdefault(tuple(getattr(one, name) for name in _KEYS), []).append(machine)
    return [{**dict(zip(_KEYS, values)), "machines": found} for values, found in groups.items()]


def _read_emulator(row: dict[str, Any]) -> Iterable[Capability]:
    for one in row["machines"]:
        behind = one["alias_of"]
        for name in (one["name"], behind or one["name"]):
            MachineType.parse(_text(name))
        emulator, arch, virt_type = (_text(row[key]) for key in _KEYS)
        yield Capability(emulator, arch, virt_type, one["name"], behind, bool(one["deprecated"]))


def _text(value: object) -> str:
    """Return a text that a terminal or a program reads as it is."""
    if not isinstance(value, str) or not value.isprintable():
        raise TypeError(f"{printable(value, 40)} isn't a plain text")
    return value
