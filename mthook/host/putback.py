# SPDX-License-Identifier: Apache-2.0
"""Restore a domain's definition to what it was before its machine type was changed.

The old definition can't be kept whole, because it may hold passwords. So only its machine type and a checksum of all
else that isn't secret are kept: the same pipeline leads the definition back, and the result counts only if it matches.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from mthook.catalog.records import Pin
from mthook.catalog.store import Catalog
from mthook.errors import HostError
from mthook.host import domains, watching
from mthook.host.connection import Host
from mthook.xmlrewrite import kept, pipeline, safexml
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.secrets import without_secrets


class Unlike(HostError):
    """A definition isn't what a change made of it, or can't become just what it was."""


@dataclass(frozen=True)
class Likeness:
    """What identifies a definition, apart from the pin in its metadata."""

    machine: str
    checksum: int


@dataclass(frozen=True)
class PutBack:
    """A definition that is to become what it was.

    :ivar old: the machine type that it has.
    :ivar new: the machine type that it had.
    """

    uuid: str
    old: str
    new: str
    before: Definition = field(repr=False)
    after: Definition = field(repr=False)


def likeness(host: Host, uuid: str) -> Likeness | None:
    """Return what identifies a domain's definition; None: it has no definition."""
    if not domains.get_domain(host, uuid, xml=False).persistent:
        return None
    return _likeness(domains.definition(host, uuid, secrets=False))


def _likeness(definition: Definition) -> Likeness:
    return Likeness(definition.summary.machine or "", zlib.crc32(_content(definition).encode()))


def _content(definition: Definition) -> str:
    """Return everything in a definition that isn't secret, regardless of its layout."""
    parts = []
    for element in safexml.parse_kept(without_secrets(definition)).iter("*"):
        # Empty metadata is left over where a pin was the only thing in it.
        if element.tag != "metadata" or len(element):
            depth = sum(1 for _ in element.iterancestors())
            text = (element.text or "").strip()
            parts.append(f"{depth} {element.tag} {sorted(element.items())} {text}")
    return "\n".join(parts)


def prepare(
    host: Host, uuid: str, old: Likeness, made: Likeness, catalog: Catalog
) -> PutBack | None:
    """Work out how a definition becomes what it was; None: it already is.

    :param made: what the change has made of it.
    :raises Unlike: somebody has changed it since, or nothing leads back to just what it was.
    """
    before = domains.definition(host, uuid)
    found = _likeness(before)
    if found == old:
        return None
    if found != made:
        raise Unlike("its definition was changed since")
    original = kept.way_back(catalog.original(uuid), catalog.kept(uuid), before, old.machine)
    target = pipeline.Target(old.machine, ports=host.ports, libvirt=host.version, original=original)
    planned = pipeline.rewrite(before, target)
    after = Definition(planned.xml, planned.tree)
    if _likeness(after) != old:
        raise Unlike("its definition can't be restored exactly")
    return PutBack(uuid, found.machine, old.machine, before, after)


def carry_out(host: Host, planned: PutBack, pin: Pin | None) -> None:
    """Redefine a domain as it was.

    :param pin: the one in force now, for the metadata.
    :raises HostError: libvirt refused, or the definition changed meanwhile; it is unchanged then.
    """
    uuid, after = planned.uuid, planned.after
    if pin is not None and pin.machine is not None:
        target = pipeline.Target(pin.machine, uuid, pin.updated_at)
        after = pipeline.carrying(after, target)
    with watching.still_there(host, uuid):
        if domains.definition(host, uuid).xml != planned.before.xml:
            raise HostError(f"{uuid}: changed meanwhile, try again")
        domains.redefine(host, uuid, after.xml)
    if pin is None or pin.machine is None:
        domains.drop_pin(host, uuid)
