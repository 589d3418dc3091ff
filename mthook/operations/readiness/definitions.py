# SPDX-License-Identifier: Apache-2.0
"""Do definitions, saved images and snapshots have the machine type of the pin?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mthook import policy
from mthook.catalog.offers import Offer, Offers
from mthook.catalog.records import Pin
from mthook.errors import HostError, NotFound
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import (
    Facts,
    Finding,
    Severity,
    Subject,
    about,
    unavailable,
)

if TYPE_CHECKING:
    from mthook.host.connection import Host
    from mthook.host.domains import Domain

CHECK = "definitions_and_saved_state"


def check(context: Context) -> list[Finding]:
    """Compare what each guest's next start, restore or revert would bring with its pin."""
    try:
        domains = context.domains()
    except HostError as error:
        return [unavailable(CHECK, error, "libvirt_unavailable", Severity.WARNING)]
    unreadable = [Subject(d.uuid, d.name, {"problem": d.problem}) for d in domains if d.problem]
    defined, saved = _unlike(context, domains)
    facts = {"guests": len(domains)}
    realign = "mthook-sync --only realign"
    return [
        *about(unreadable, CHECK, "unreadable", Severity.WARNING, facts),
        *about(defined, CHECK, "defined_unlike_pin", Severity.WARNING, facts, realign),
        *about(saved, CHECK, "saved_unlike_pin", Severity.WARNING, facts),
    ] or [Finding(CHECK, "ok", Severity.SUCCESS, facts=facts)]


def _unlike(context: Context, domains: Sequence[Domain]) -> tuple[list[Subject], list[Subject]]:
    """Return the guests whose definition, and those whose saved state is unlike their pin."""
    from mthook.host.realign import is_aligned

    offers = Offers(context.catalog().capabilities())
    pins = {pin.uuid: pin for pin in context.catalog().pins() if pin.machine is not None}
    defined, saved = [], []
    for domain in domains:
        pin, summary = pins.get(domain.uuid), domain.summary
        if pin is None or summary is None:
            continue
        offer = offers.of(summary)
        if domain.defined is not None and not is_aligned(pin, domain.defined, offer):
            facts: Facts = {"pin": pin.machine, "defined": domain.defined.machine}
            defined.append(Subject(domain.uuid, domain.name, facts))
        machines = _saved_unlike(context.host(), domain, pin, offer)
        if machines:
            facts = {"pin": pin.machine, "saved": machines}
            saved.append(Subject(domain.uuid, domain.name, facts))
    return defined, saved


def _saved_unlike(host: Host, domain: Domain, pin: Pin, offer: Offer) -> list[str]:
    """Return the machine types in a guest's saved image and snapshots that are unlike its pin."""
    from mthook.host.domains import machines_in_snapshots

    machines = {domain.saved} if domain.saved else set()
    try:
        machines |= machines_in_snapshots(host, domain.uuid) if domain.snapshots else set()
    except NotFound:
        return []
    wanted = pin.machine or ""
    return [
        machine
        for machine in sorted(machines)
        if not policy.satisfied(wanted, machine, seen=pin.seen, aliases=offer.aliases)
    ]
