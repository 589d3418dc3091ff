# SPDX-License-Identifier: Apache-2.0
"""Do guests, their definitions and saved state, and Nova say what the pins do, and can QEMU run them?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

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
from mthook.operations.support import Pinned, pinned, unsupported

if TYPE_CHECKING:
    from mthook.host.connection import Host
    from mthook.host.domains import Domain

#: What gets rid of an image that can't be restored.
_DISCARD = "virsh managedsave-remove"


def check_drift(context: Context) -> list[Finding]:
    """Look for what ``mthook-admin list --drift`` lists, with guests as they are now."""
    guests = context.guests()
    subjects = [
        Subject(row.uuid, row.guest.name if row.guest else None, {"drift": row.drift}, row.display)
        for row in instances(context.catalog(), guests)
        if row.drift
    ]
    if not subjects:
        return [_well(context)]
    return [as_warning("unlike_pin", subjects, "mthook-admin list --drift", guests=len(guests))]


def check_supported(context: Context) -> list[Finding]:
    """Check whether each pin is among what its guest's emulator offers."""
    catalog, listing = context.catalog(), "mthook-admin list --deprecated"
    offers = context.offers()
    if not offers:
        return [Finding("offers_unknown", Severity.FAILURE, remedy="mthook-sync -v")]
    found = list(pinned(catalog, context.guests(), offers))
    lacking = list(unsupported(found, context.host))
    saved = [one for one in lacking if one[1] is not None and one[1].managed_save]
    without = {pin.uuid for pin, *_ in lacking}
    deprecated = [
        _subject(pin, guest, {"pin": pin.machine})
        for pin, guest, offer in found
        if pin.machine in offer.deprecated and pin.uuid not in without
    ]
    aliases = [
        _subject(pin, guest, {"pin": pin.machine, "seen": pin.seen})
        for pin, guest, offer in found
        if pin.machine in offer.aliases and context.conf.pin.style != "alias"
    ]
    facts: Facts = {"pins": len(found)}
    possible = [
        Finding("unsupported", Severity.FAILURE, _lacking(lacking), facts, "mthook-admin set"),
        Finding("unsupported_saved", Severity.FAILURE, _lacking(saved), facts, _DISCARD),
        as_warning("deprecated", deprecated, listing, **facts),
        as_warning("aliases", aliases, "mthook-admin freeze", **facts),
    ]
    return [one for one in possible if one.subjects] or [_well(context, **facts)]


def _well(context: Context, **facts: Any) -> Finding:
    """Return that all is well with so many pinned guests; a failure where there are guests but no pinned one."""
    pins = {pin.uuid for pin in context.catalog().pins() if pin.machine is not None}
    guests = context.guests()
    number = sum(guest.uuid in pins for guest in guests)
    if guests and not number:
        facts = {"guests": len(guests)}
        return Finding("nothing_pinned", Severity.FAILURE, (), facts, "mthook-sync")
    return as_success(**(facts or {"guests": number}))


def _subject(pin: Pin, guest: Guest | None, facts: Facts) -> Subject:
    if guest is None:
        return Subject(pin.uuid, None, facts)
    return Subject(pin.uuid, guest.name, facts, guest.display)


def _lacking(found: Iterable[Pinned]) -> list[Subject]:
    return [
        _subject(
            pin, guest, {"pin": pin.machine, "nearest": nearest(pin.machine or "", offer.names)}
        )
        for pin, guest, offer in found
    ]


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
    return [one for one in possible if one.subjects] or [_well(context)]


def _unlike(context: Context, domains: Sequence[Domain]) -> tuple[list[Subject], list[Subject]]:
    """Return the guests with a definition unlike their pin, and those with a saved state unlike it."""
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
            defined.append(Subject(domain.uuid, domain.name, facts, domain.display))
        machines = _saved_unlike(context.host(), domain, pin, offer)
        if machines:
            facts = {"pin": pin.machine, "saved": machines}
            saved.append(Subject(domain.uuid, domain.name, facts, domain.display))
    return defined, saved


def _saved_unlike(host: Host, domain: Domain, pin: Pin, offer: Offer) -> list[str]:
    """Return the machine types in a guest's saved image and snapshots that don't match its pin."""
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
