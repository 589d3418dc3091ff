# SPDX-License-Identifier: Apache-2.0
"""A forecast for this host: what is gathered for it, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mthook.errors import NovaError
from mthook.operations.forecast import guests, offering, outlook, rehearsal
from mthook.operations.forecast.prospects import Offered, Prospect, Qemu

if TYPE_CHECKING:
    from oslo_config import cfg

    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host
    from mthook.host.domains import Domain


@dataclass(frozen=True)
class Sight:
    """What is known about this host.

    :ivar current: what its QEMU offers now.
    :ivar nova_problem: why Nova's databases can't be asked; what they say isn't in ``guests`` then.
    """

    guests: Sequence[guests.Guest]
    domains: Sequence[Domain]
    current: offering.Offering
    nova_problem: str | None = None


def look(conf: cfg.ConfigOpts, catalog: Catalog, host: Host) -> Sight:
    """Gather what a forecast needs.

    :raises HostError: libvirt can't be asked.
    """
    from mthook.host.domains import list_domains

    domains = sorted(list_domains(host), key=lambda one: (one.name, one.uuid))
    pins = {pin.uuid: pin for pin in catalog.pins()}
    recorded: dict[str, guests.Recorded] = {}
    problem = None
    try:
        recorded = guests.ask_nova(conf)
    except NovaError as error:
        problem = str(error)
    found = tuple(guests.read(domains, host, pins, recorded))
    return Sight(found, domains, _current(conf, catalog, host, domains), problem)


def forecast(
    conf: cfg.ConfigOpts, sight: Sight, qemu: Qemu | None, defaults: Mapping[str, str]
) -> list[outlook.Outlook]:
    """Return what would become of this host's guests.

    :param qemu: the QEMU to come; None: the one that is there.
    :param defaults: the default machine types to come, by architecture.
    """
    current = Offered(sight.current)
    prospect = Prospect(
        qemu=qemu or current,
        current=current,
        enforcing=conf.hook.mode == "enforce",
        nova_defaults=tuple(conf.libvirt.hw_machine_type),
        new_defaults=defaults,
    )
    return list(outlook.forecast(sight.guests, prospect))


def offer(conf: cfg.ConfigOpts, host: Host) -> offering.Offering:
    """Return what this host's QEMU offers now.

    :raises HostError: libvirt can't be asked.
    """
    from mthook.host.domains import list_domains

    return offering.of_host(host, conf.host, list_domains(host))


def rehearse(sight: Sight, host: Host, binary: offering.Offering) -> list[rehearsal.Rehearsed]:
    """Start every distinct definition of this host under a binary, see :mod:`.rehearsal`."""
    arch = min(one.arch for one in binary.capabilities)
    found = rehearsal.scenes(host, sight.domains)
    return list(rehearsal.rehearse(found, binary.name, arch))


def _current(
    conf: cfg.ConfigOpts, catalog: Catalog, host: Host, domains: Sequence[Domain]
) -> offering.Offering:
    """Return what the last sync saw, unless QEMU has changed since, or there was no sync."""
    facts, known = catalog.host(), catalog.capabilities()
    if not known or catalog.changed_archs():
        return offering.of_host(host, conf.host, domains)
    version = facts.qemu_version or ""
    return offering.Offering(conf.host, version, facts.libvirt_version, tuple(known))
