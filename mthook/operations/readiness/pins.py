# SPDX-License-Identifier: Apache-2.0
"""Do guests, their definitions and saved state, and Nova say what the pins do, and can QEMU run them?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mthook import policy
from mthook.catalog.offers import Offer
from mthook.catalog.records import Guest, Pin
from mthook.errors import HostError, NotFound
from mthook.machinetype import nearest
from mthook.operations.inventory import instances
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import (
    Facts,
    Finding,
    Severity,
    Subject,
    as_success,
    as_warning,
    unavailable,
)

if TYPE_CHECKING:
    from mthook.host.connection import Host
    from mthook.host.domains import Domain


def check_drift(context: Context) -> list[Finding]:
    """Look for what ``mthook-admin list --drift`` lists, with guests as they are now."""
    guests = context.guests()
    subjects = [
        Subject(row.uuid, row.guest.name if row.guest else None, {"drift": row.drift})
        for row in instances(context.catalog(), guests)
        if row.drift
    ]
    if not subjects:
        return [as_success(guests=len(guests))]
    return [as_warning("unlike_pin", subjects, "mthook-admin list --drift", guests=len(guests))]


def check_supported(context: Context) -> list[Finding]:
    """Look whether each pin is among what its guest's emulator offers."""
    offers = context.offers()
    if not offers:
        return [Finding("offers_unknown", Severity.FAILURE, remedy="mthook-sync -v")]
    unsupported, deprecated, number = [], [], 0
    for pin, guest in _pins(context):
        number += 1
        name = guest.name if guest else None
        # Without a guest any emulator may be the one.
        of_guest = (guest.arch, guest.virt_type, guest.emulator) if guest else (pin.arch,)
        offer = offers.like(*of_guest)
        if not (_is_offered(pin, offer) or _is_supported(context, pin, guest)):
            near = nearest(pin.machine or "", offer.names)
            unsupported.append(Subject(pin.uuid, name, {"pin": pin.machine, "nearest": near}))
        elif pin.machine in offer.deprecated:
            deprecated.append(Subject(pin.uuid, name, {"pin": pin.machine}))
    facts, listing = {"pins": number}, "mthook-admin list --deprecated"
    possible = [
        Finding("unsupported", Severity.FAILURE, unsupported, facts, "mthook-admin set"),
        as_warning("deprecated", deprecated, listing, pins=number),
    ]
    return [one for one in possible if one.subjects] or [as_success(pins=number)]


def _pins(context: Context) -> Iterator[tuple[Pin, Guest | None]]:
    """Yield the pins that count on this host: not those of guests that have left it."""
    present = {guest.uuid: guest for guest in context.guests()}
    gone = {guest.uuid for guest in context.catalog().guests() if guest.uuid not in present}
    for pin in context.catalog().pins():
        if pin.machine is not None and pin.uuid not in gone:
            yield pin, present.get(pin.uuid)


def _is_offered(pin: Pin, offer: Offer) -> bool:
    """Tell whether an emulator offers a pin; an alias has to stand for the same vendor's line."""
    machine = pin.machine or ""
    return offer.has(machine) and policy.satisfied(
        machine, offer.stands_for(machine), seen=pin.seen, aliases=offer.aliases
    )


def _is_supported(context: Context, pin: Pin, guest: Guest | None) -> bool:
    """Ask libvirt, whose capabilities don't list all that there is."""
    if guest is None or not guest.emulator:
        return False
    try:
        host = context.host()
    except HostError:
        return False
    from mthook.host.capabilities import supports

    return supports(host, guest, pin.machine or "")


def check_definitions(context: Context) -> list[Finding]:
    """Compare what each guest's next start, restore or revert would bring with its pin."""
    try:
        domains = context.domains()
    except HostError as error:
        return [unavailable(error, "libvirt_unavailable", Severity.WARNING)]
    unreadable = [Subject(d.uuid, d.name, {"problem": d.problem}) for d in domains if d.problem]
    defined, saved = _unlike(context, domains)
    realign = "mthook-sync --only realign"
    possible = [
        as_warning("unreadable", unreadable, guests=len(domains)),
        as_warning("defined_unlike_pin", defined, realign, guests=len(domains)),
        as_warning("saved_unlike_pin", saved, guests=len(domains)),
    ]
    return [one for one in possible if one.subjects] or [as_success(guests=len(domains))]


def _unlike(context: Context, domains: Sequence[Domain]) -> tuple[list[Subject], list[Subject]]:
    """Return the guests whose definition, and those whose saved state is unlike their pin."""
    from mthook.host.realign import is_aligned

    offers = context.offers()
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
    return [
        machine
        for machine in sorted(machines)
        if not policy.satisfied(pin.machine or "", machine, seen=pin.seen, aliases=offer.aliases)
    ]
