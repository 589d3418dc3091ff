# SPDX-License-Identifier: Apache-2.0
"""Which instance an operator means, and what is known of it in the catalog and in libvirt."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mthook.catalog.records import Guest, Pin
from mthook.errors import DomainXMLError, Error, NotFound
from mthook.text import now, printable
from mthook.xmlrewrite.summary import canonical_uuid

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host
    from mthook.host.domains import Domain
    from mthook.xmlrewrite.summary import Summary


class AmbiguousName(Error):
    """Several guests have, or had when they were last seen, the name asked for."""


@dataclass(frozen=True)
class Instance:
    """One instance.

    :ivar uuid: in lower case.
    :ivar pin: its row in the catalog, which may be a released pin.
    :ivar guest: what the last sync or hook saw of it.
    :ivar domain: what libvirt says now; ``None`` where libvirt has no such domain or wasn't asked.
    :ivar looked_at: when looking began.
    """

    uuid: str
    pin: Pin | None
    guest: Guest | None
    domain: Domain | None = None
    looked_at: str = ""

    def __str__(self) -> str:
        known = self.domain or self.guest
        return printable(known.name) if known else self.uuid

    @property
    def machine(self) -> str | None:
        """The pin, ``None`` without one."""
        return self.pin.machine if self.pin else None

    @property
    def summary(self) -> Summary | None:
        """What the domain runs, else what it is defined as."""
        return (self.domain.running or self.domain.defined) if self.domain else None

    @property
    def arch(self) -> str | None:
        """The guest's architecture, where anything tells it."""
        return next(
            (known.arch for known in (self.summary, self.guest, self.pin) if known and known.arch),
            None,
        )

    @property
    def windows(self) -> bool:
        """Whether the guest is a Windows, as far as its definition tells."""
        known = self.summary or self.guest
        return bool(known and known.windows)

    @property
    def active(self) -> bool:
        """Whether the guest runs; as last seen, where libvirt wasn't asked."""
        if self.domain is not None:
            return self.domain.active
        return (
            self.guest is not None
            and self.guest.gone_since is None
            and self.guest.running is not None
        )

    @property
    def managed_save(self) -> bool:
        """Whether the next start resumes a saved image; as last seen, if libvirt wasn't asked."""
        known = self.domain or self.guest
        return known is not None and known.managed_save


def uuid_of(text: str) -> str | None:
    """Return a UUID as libvirt and Nova write it, ``None`` for what isn't shaped like one."""
    try:
        return canonical_uuid(text)
    except DomainXMLError:
        return None


def look_up(text: str, catalog: Catalog, host: Host | None = None) -> Instance:
    """Return the instance of a UUID or a name; what is shaped like a UUID is first taken as one.

    :param host: libvirt, to be asked as well: the catalog knows names as the last sync saw them.
    :raises NotFound: there is none.
    :raises AmbiguousName: there are several.
    :raises HostError: libvirt refused.
    """
    at = now()
    uuid = uuid_of(text)
    if uuid is not None:
        instance = _instance(catalog, uuid, _domain(host, uuid))
        if instance.domain or instance.pin or instance.guest:
            return replace(instance, looked_at=at)
    return replace(_by_name(text, catalog, host), looked_at=at)


def see(catalog: Catalog, instance: Instance) -> None:
    """Let the catalog know an instance as libvirt has it: what it pins it must be able to name."""
    guest = instance.domain.as_guest() if instance.domain else None
    if guest is not None:
        catalog.see_guest(guest, instance.looked_at)


def _by_name(name: str, catalog: Catalog, host: Host | None) -> Instance:
    domain = _domain(host, name, by_name=True)
    guests = [guest for guest in catalog.find(name) if guest.name == name]
    present = [guest for guest in guests if guest.gone_since is None] or guests
    uuids = {guest.uuid for guest in present} | ({domain.uuid} if domain else set())
    if not uuids:
        raise NotFound(f"no instance has the UUID or name '{printable(name)}'")
    if len(uuids) > 1:
        raise AmbiguousName(
            f"several guests are called '{printable(name)}', say which: {', '.join(sorted(uuids))}"
        )
    uuid = uuids.pop()
    return _instance(catalog, uuid, domain or _domain(host, uuid))


def _domain(host: Host | None, text: str, *, by_name: bool = False) -> Domain | None:
    if host is None:
        return None
    from mthook.host import domains

    with contextlib.suppress(NotFound):
        return (domains.find_domain if by_name else domains.get_domain)(host, text)
    return None


def _instance(catalog: Catalog, uuid: str, domain: Domain | None) -> Instance:
    guest = next((guest for guest in catalog.find(uuid) if guest.uuid == uuid), None)
    return Instance(uuid, catalog.get_pin(uuid), guest, domain)
