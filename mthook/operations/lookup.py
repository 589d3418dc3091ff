# SPDX-License-Identifier: Apache-2.0
"""Which instance an operator means, and what the catalog, libvirt and Nova know about it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mthook.catalog.records import Guest, Pin
from mthook.conf import has_nova
from mthook.errors import CatalogError, DomainXMLError, Error, HostError, NotFound
from mthook.hook.answer import REMOVE
from mthook.operations.opening import opened_catalog_if_any, opened_host, opened_nova
from mthook.text import label, may_begin_uuid, now, printable
from mthook.xmlrewrite.summary import canonical_uuid

if TYPE_CHECKING:
    from oslo_config import cfg

    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host
    from mthook.host.domains import Domain
    from mthook.nova.cell import Cell
    from mthook.nova.cells import Cells
    from mthook.nova.instance import NovaInstance
    from mthook.xmlrewrite.summary import Summary


#: How many UUIDs a message lists.
_MAX_NAMED = 5


@dataclass(frozen=True)
class Instance:
    """One instance as this host knows it.

    :ivar host: libvirt, through which its definition follows its pin; ``None``: it stays as it is.
    :ivar pin: its row in the catalog, which may be a released pin.
    :ivar guest: what the last sync or hook saw of it.
    :ivar domain: what libvirt says now; ``None`` where libvirt has no such domain or wasn't asked.
    :ivar looked_at: when looking began.
    :ivar display: its name in Nova, as the last sync saw it, where no guest tells that; '' where nobody knows.
    """

    uuid: str
    catalog: Catalog = field(repr=False)
    host: Host | None = field(default=None, repr=False)
    pin: Pin | None = None
    guest: Guest | None = None
    domain: Domain | None = None
    looked_at: str = ""
    display: str = ""

    def __str__(self) -> str:
        return _label(self.domain or self.guest) or label(self.uuid, display=self.display)

    @property
    def names(self) -> tuple[str | None, str | None]:
        """What libvirt and Nova call it, as far as that is known."""
        known = self.domain.as_guest() if self.domain else self.guest
        display = (known.display if known else None) or self.display or None
        return (known.name if known else None), display

    @property
    def name(self) -> str:
        """What virsh finds it by: its name where that is known, else its UUID."""
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
        known = (self.summary, self.guest, self.pin)
        return next((one.arch for one in known if one and one.arch), None)

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
        guest = self.guest
        return guest is not None and guest.gone_since is None and guest.running is not None

    @property
    def managed_save(self) -> bool:
        """Whether the next start resumes a saved image; as last seen, if libvirt wasn't asked."""
        known = self.domain or self.guest
        return known is not None and known.managed_save


@dataclass(frozen=True)
class CloudInstance:
    """One Nova instance.

    :ivar cell: the one of Nova's databases that has it.
    :ivar catalog: this host's catalog, or why it can't be used.
    :ivar local: the instance as this host knows it; ``None`` where it is on another host, or without a catalog.
    :ivar problem: why libvirt can't be asked here, '' where it can or needn't be.
    :ivar spec: its request spec, where it was read.
    """

    cells: Cells
    cell: Cell
    nova: NovaInstance
    catalog: Catalog | CatalogError
    local: Instance | None = None
    problem: str = ""
    spec: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        known = (self.local.domain or self.local.guest) if self.local else None
        return label(self.nova.uuid, known.name if known else None, self.nova.name)

    @property
    def arch(self) -> str | None:
        """The guest's architecture, where anything tells it."""
        return (self.local.arch if self.local else None) or self.nova.arch


def uuid_of(text: str) -> str | None:
    """Return a UUID as libvirt and Nova write it, ``None`` for what isn't shaped like one."""
    try:
        return canonical_uuid(text)
    except DomainXMLError:
        return None


def look_up(text: str, catalog: Catalog, host: Host | None = None) -> Instance:
    """Return the instance with a UUID, libvirt's name, Nova's name or the beginning of a UUID; in that order.

    Users choose names in Nova, but no name there takes precedence over another guest's name in libvirt.

    :param host: libvirt, to be asked as well: the catalog knows names as the last sync saw them.
    :raises NotFound: there is none; another ``Error``: there are several.
    """
    at, uuid = now(), uuid_of(text)
    if uuid is not None:
        instance = _instance(catalog, host, uuid, _domain(host, uuid), at)
        if instance.domain or instance.pin or instance.guest:
            return instance
    found = _by_name(text, catalog, host, at)
    if found is not None:
        return found
    uuid = _only(text, _alike(text, catalog, host), catalog)
    return _instance(catalog, host, uuid, _domain(host, uuid), at)


def look_up_or_ask(text: str, catalog: Catalog, conf: cfg.ConfigOpts) -> Instance:
    """Return an instance; libvirt is asked only for what the catalog doesn't know, new guests."""
    try:
        return look_up(text, catalog)
    except NotFound as error:
        try:
            with opened_host(conf) as host:
                return replace(look_up(text, catalog, host), host=None)
        except HostError as unreachable:
            raise Error(f"{error} in the catalog, and {unreachable}") from unreachable


@contextlib.contextmanager
def found_in_nova(
    conf: cfg.ConfigOpts, text: str, *, libvirt: bool = False
) -> Iterator[CloudInstance | None]:
    """Look up an instance in Nova's database, and here.

    :param text: its UUID or the beginning of it, its name in Nova, or a name that this host's catalog knows.
    :param libvirt: ask libvirt too, if it is this host's.
    :return: ``None`` without a database, and for a guest on this host that isn't Nova's.
    """
    if not has_nova(conf):
        yield None
        return
    with contextlib.ExitStack() as stack:
        cells = stack.enter_context(opened_nova(conf))
        catalog = stack.enter_context(opened_catalog_if_any(conf))
        found = _of_text(cells, text, catalog)
        if found is not None and _is_here(conf.host, found):
            host, problem = None, ""
            if libvirt and found.nova.host is not None:  # one that is offloaded has no domain
                try:
                    host = stack.enter_context(opened_host(conf))
                except HostError as error:
                    problem = str(error)
            found = replace(found, local=_known_here(found, host), problem=problem)
        yield found


def known_here(found: CloudInstance, here: str, host: Host | None, problem: str) -> CloudInstance:
    """Add what this host knows about a Nova instance, if the instance is on this host.

    :param here: this host, as Nova calls it.
    :param problem: why libvirt can't be asked, if it can't.
    """
    if not _is_here(here, found):
        return found
    if found.nova.host is None:  # one that is offloaded has no domain
        host, problem = None, ""
    return replace(found, local=_known_here(found, host), problem=problem)


def in_nova(cells: Cells, instance: Instance) -> CloudInstance | None:
    """Look up a guest of this host in Nova's database; return ``None`` for one that isn't Nova's.

    :raises NotFound: it is, and Nova has deleted it.
    """
    try:
        cell, nova = cells.find(instance.uuid)
    except NotFound:
        known = instance.summary or instance.guest
        if known is not None and not known.nova:
            return None
        _explain(instance.domain or instance.guest)
        raise
    return CloudInstance(cells, cell, nova, instance.catalog, instance)


def make_known(instance: Instance) -> None:
    """Let the catalog know an instance as libvirt has it: it must be able to name what it pins."""
    guest = instance.domain.as_guest() if instance.domain else None
    if guest is not None:
        instance.catalog.see_guest(guest, instance.looked_at)


def _by_name(name: str, catalog: Catalog, host: Host | None, at: str) -> Instance | None:
    domain = _domain(host, name, by_name=True)
    guests = [guest for guest in catalog.find(name) if guest.name == name]
    present = [guest for guest in guests if guest.gone_since is None] or guests
    uuids = {guest.uuid for guest in present} | ({domain.uuid} if domain else set())
    if not uuids:
        return None
    uuid = _only(name, uuids, catalog)
    return _instance(catalog, host, uuid, domain or _domain(host, uuid), at)


def _alike(text: str, catalog: Catalog, host: Host | None) -> set[str]:
    """Return the UUIDs with this name in Nova, or this beginning: present guests, else any."""
    known = catalog.find_like(text)
    found = {uuid for uuid, present in known if present} or {uuid for uuid, _ in known}
    if host is None:
        return found
    from mthook.host import domains

    return found | {one.uuid for one in domains.list_domains(host) if _is_alike(text, one)}


def _is_alike(text: str, domain: Domain) -> bool:
    begins = may_begin_uuid(text) and domain.uuid.startswith(text.lower())
    return begins or bool(domain.summary and text and domain.summary.display == text)


def _only(text: str, uuids: Collection[str], catalog: Catalog | None = None) -> str:
    """Return the one UUID that a text means.

    :param catalog: knows the names of guests, to tell apart what may be meant.
    :raises NotFound: there is none; another ``Error``: there are several.
    """
    if not uuids:
        raise NotFound(f"no instance has the UUID or name '{printable(text)}'")
    if len(uuids) > 1:
        which = [_label(_guest(catalog, u)) or u if catalog else u for u in sorted(uuids)][
            :_MAX_NAMED
        ]
        more = f" and {len(uuids) - len(which)} more" if len(uuids) > len(which) else ""
        raise Error(
            f"several guests match '{printable(text)}', say which: {', '.join(which)}{more}"
        )
    return next(iter(uuids))


def _domain(host: Host | None, text: str, *, by_name: bool = False) -> Domain | None:
    if host is None:
        return None
    from mthook.host import domains

    with contextlib.suppress(NotFound):
        return (domains.find_domain if by_name else domains.get_domain)(host, text)
    return None


def _instance(
    catalog: Catalog, host: Host | None, uuid: str, domain: Domain | None, at: str
) -> Instance:
    pin, guest = catalog.get_pin(uuid), _guest(catalog, uuid)
    name, _ = ("", "") if guest or domain else catalog.instances().get(uuid, ("", ""))
    return Instance(uuid, catalog, host, pin, guest, domain, at, name)


def _guest(catalog: Catalog, uuid: str) -> Guest | None:
    return next((guest for guest in catalog.find(uuid) if guest.uuid == uuid), None)


def _of_text(cells: Cells, text: str, catalog: Catalog | CatalogError) -> CloudInstance | None:
    uuid = uuid_of(text) or _meant(cells, text, catalog)
    try:
        return CloudInstance(cells, *cells.find(uuid), catalog)
    except NotFound:
        # A guest of this host need not be Nova's.
        guest = None if isinstance(catalog, CatalogError) else _guest(catalog, uuid)
        if guest is not None and not guest.nova:
            return None
        _explain(guest)
        raise


def _meant(cells: Cells, text: str, catalog: Catalog | CatalogError) -> str:
    """Return the UUID of the instance with this name, here or in Nova, or with this beginning."""
    if isinstance(catalog, CatalogError):
        return _only(text, set(cells.named(text)))
    known = _by_name(text, catalog, None, now())
    if known is not None:
        return known.uuid
    return _only(text, _alike(text, catalog, None).union(cells.named(text)), catalog)


def _explain(guest: Domain | Guest | None) -> None:
    """Say what to do about a guest on this host whose instance Nova doesn't have.

    :raises NotFound: there is such a guest.
    """
    if guest is not None and not (isinstance(guest, Guest) and guest.gone_since):
        raise NotFound(
            f"{_label(guest)}: Nova has deleted this instance; when nobody needs its guest any"
            f" more, stop it and remove it: {REMOVE} {printable(guest.name)}"
        )


def _label(known: Domain | Guest | None) -> str:
    """Return what messages call a guest, '' where nothing is known about it."""
    if known is None or isinstance(known, Guest):
        return label(known.uuid, known.name, known.display) if known else ""
    return str(known)


def _is_here(name: str, found: CloudInstance) -> bool:
    """Tell whether an instance is this host's: it is here, or was here and is nowhere else now."""
    if isinstance(found.catalog, CatalogError):
        return False
    if found.nova.host is None:
        return found.catalog.get_pin(found.nova.uuid) is not None
    return found.nova.host == name


def _known_here(found: CloudInstance, host: Host | None) -> Instance:
    assert not isinstance(found.catalog, CatalogError)
    try:
        return look_up(found.nova.uuid, found.catalog, host)
    except NotFound:
        return Instance(found.nova.uuid, found.catalog, host, looked_at=now())
