# SPDX-License-Identifier: Apache-2.0
"""What the steps of one run share: the host as it was found, the catalog, Nova's records, the result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Union

from oslo_config import cfg

from mthook.catalog.offers import Offers
from mthook.catalog.records import HostFacts, Repair
from mthook.catalog.store import Catalog
from mthook.errors import CatalogConflict, CatalogError, Error, HostError
from mthook.host.capabilities import host_facts, read_capabilities
from mthook.host.connection import Host
from mthook.host.domains import Domain, count_domains, list_domains
from mthook.nova.instance import NovaInstance
from mthook.operations.acts import Failure, LeftAlone, SyncResult, Why
from mthook.operations.sync.novarecords import NovaRecords
from mthook.text import now

#: Whom the history names.
ACTOR = "mthook-sync"

#: Shows progress through so many things.
Progress = Callable[[Iterable[Domain], int], Iterable[Domain]]

#: What a run goes through.
Named = Union[Domain, NovaInstance, Repair]


@dataclass
class SyncRun:
    """One run of mthook-sync on a host that answers.

    :ivar catalog: in a dry run a copy, so that the steps work alike.
    :ivar nova: None where no Nova database is configured.
    :ivar domains: every domain by UUID, as it was at ``looked_at``.
    :ivar touched: whether a definition or a guest was changed since.
    """

    host: Host
    catalog: Catalog
    conf: cfg.ConfigOpts
    result: SyncResult
    progress: Progress
    nova: NovaRecords | None = None

    def __post_init__(self) -> None:
        """Look at the host."""
        self.facts: HostFacts = host_facts(self.host, self.conf.host)
        known = ((guest.uuid, guest.display) for guest in self.catalog.guests())
        self.result.displays.update((uuid, display) for uuid, display in known if display)
        self.look()
        self.offers = self._take_capabilities()

    @property
    def working_nova(self) -> NovaRecords | None:
        """Nova's records, as long as its database works."""
        return self.nova if self.nova is not None and self.nova.works else None

    def look(self) -> None:
        """List the domains; those whose XML can't be read are reported."""
        self.looked_at = now()
        self.touched = False
        listed = list(self.progress(list_domains(self.host), count_domains(self.host)))
        self.domains: dict[str, Domain] = {domain.uuid: domain for domain in listed}
        self.result.guests = len(self.domains)
        self.result.displays.update((one.uuid, one.display) for one in listed if one.display)
        for domain in self.domains.values():
            if domain.problem is not None:
                self.result.add(Failure(HostError(domain.problem), domain.uuid, domain.name))

    def is_ours(self, domain: Domain) -> bool:
        """Tell whether a domain may be pinned and redefined: not if Nova is at work on it or has it elsewhere."""
        summary = domain.summary
        if self.nova is None or summary is None or not summary.nova:
            return True
        return self.nova.is_free(domain.uuid)

    def leave_alone(self, guest: Named, why: Why, detail: object = None) -> None:
        """Note a guest that is left as it is."""
        text = None if detail is None else str(detail)
        self.result.add(LeftAlone(guest.uuid, guest.name, why, text))

    @contextlib.contextmanager
    def isolated(self, guest: Named) -> Iterator[None]:
        """Note what goes wrong with one guest and let the others go on.

        :raises CatalogError: the catalog fails, as it would for the others.
        :raises HostError: libvirt is gone.
        """
        try:
            yield
        except CatalogConflict as error:
            # A hook or an operator was faster: the next run sees what they made of it.
            self.leave_alone(guest, "changed_meanwhile", error)
        except CatalogError:
            raise
        except Error as error:
            if not self.host.is_alive():
                raise
            self.result.add(Failure(error, guest.uuid, guest.name))

    def see_guests(self) -> None:
        """Write down how the guests are now."""
        if self.touched:
            self.look()
        known = {guest.uuid: guest for guest in self.catalog.guests()}
        # For one that can't be read, what was known before.
        guests = (domain.as_guest() or known.get(uuid) for uuid, domain in self.domains.items())
        self.catalog.see_guests([one for one in guests if one is not None], self.looked_at)

    def _take_capabilities(self) -> Offers:
        """Read what the emulators offer and keep it for the hook."""
        found = read_capabilities(self.host, self.domains.values())
        host, facts = self.catalog.host(), self.facts
        known = (host.hostname, host.qemu_version, host.libvirt_version)
        same = known == (facts.hostname, facts.qemu_version, facts.libvirt_version)
        if found != self.catalog.capabilities() or not same:
            self.catalog.replace_capabilities(found, facts)
        return Offers(found)
