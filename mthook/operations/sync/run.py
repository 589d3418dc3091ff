# SPDX-License-Identifier: Apache-2.0
"""What the steps of one run share: the host as it was found, the catalog, the report."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from oslo_config import cfg

from mthook.catalog.offers import Offer, Offers
from mthook.catalog.records import HostFacts
from mthook.catalog.store import Catalog
from mthook.errors import CatalogConflict, CatalogError, Error, HostError, NotFound, Refused
from mthook.host.capabilities import host_facts, read_capabilities
from mthook.host.connection import Host
from mthook.host.domains import Domain, count_domains, list_domains
from mthook.operations.sync.report import PROGRAM, Report, progress
from mthook.text import now
from mthook.xmlrewrite.summary import Summary

if TYPE_CHECKING:
    from mthook.operations.sync.records import Side

#: Who the history names.
ACTOR = PROGRAM


class Round:
    """One run of mthook-sync on a host that answers.

    :param catalog: the catalog; in a dry run a copy, so that the steps work alike.
    :ivar domains: every domain by UUID, as it was at ``looked_at``.
    :ivar touched: whether a definition or a guest was changed since.
    :ivar nova: Nova's side; None where no database of Nova's is configured.
    """

    nova: Side | None = None

    def __init__(self, host: Host, catalog: Catalog, conf: cfg.ConfigOpts, report: Report) -> None:
        self.host = host
        self.catalog = catalog
        self.conf = conf
        self.report = report
        self.facts: HostFacts = host_facts(host, conf.host)
        self.look()
        self.offers = self._take_capabilities()

    def look(self) -> None:
        """List the domains; those whose XML can't be read are reported."""
        self.looked_at = now()
        self.touched = False
        listed = progress(list_domains(self.host), count_domains(self.host))
        self.domains: dict[str, Domain] = {domain.uuid: domain for domain in listed}
        self.report.guests = len(self.domains)
        for domain in self.domains.values():
            if domain.problem is not None:
                self.report.error(domain.problem)

    def is_ours(self, domain: Domain) -> bool:
        """Tell whether a domain may be pinned and redefined: none of Nova's on which Nova is at work, or elsewhere."""
        seen = domain.running or domain.defined
        if self.nova is None or seen is None or not seen.nova:
            return True
        return self.nova.is_free(domain.uuid)

    def offer(self, summary: Summary) -> Offer:
        """Return what a domain's emulator offers on this host."""
        return self.offers.of(summary)

    @contextlib.contextmanager
    def guest(self, who: object) -> Iterator[None]:
        """Report what goes wrong with one guest and let the others go on.

        :param who: the guest, for messages of rooms that don't know whose XML they work on.
        :raises CatalogError: the catalog fails, as it would for the others.
        :raises HostError: libvirt is gone.
        """
        try:
            yield
        except CatalogConflict as error:
            # A hook or an operator was faster: the next run sees what they made of it.
            self.report.left_alone(f"{who}: {error}")
        except CatalogError:
            raise
        except Error as error:
            if not self.host.is_alive():
                raise
            named = isinstance(error, (HostError, NotFound, Refused))
            self.report.error(str(error) if named else f"{who}: {error}")

    def see_guests(self) -> None:
        """Write down how the guests are now."""
        if self.touched:
            self.look()
        known = {guest.uuid: guest for guest in self.catalog.guests()}
        # Of one that can't be read what was known before.
        seen = (domain.as_guest() or known.get(uuid) for uuid, domain in self.domains.items())
        self.catalog.see_guests([guest for guest in seen if guest is not None], self.looked_at)

    def _take_capabilities(self) -> Offers:
        """Read what the emulators offer and keep it for the hook."""
        found = read_capabilities(self.host, self.domains.values())
        host = self.catalog.host()
        same = dataclasses.replace(
            host,
            hostname=self.facts.hostname,
            qemu_version=self.facts.qemu_version,
            libvirt_version=self.facts.libvirt_version,
        )
        if found != self.catalog.capabilities() or host != same:
            self.catalog.replace_capabilities(found, self.facts)
        return Offers(found)
