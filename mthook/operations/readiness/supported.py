# SPDX-License-Identifier: Apache-2.0
"""Can this host's QEMU run every pin?"""

from __future__ import annotations

from collections.abc import Iterator

from mthook import policy
from mthook.catalog.offers import Offer, Offers
from mthook.catalog.records import Guest, Pin
from mthook.errors import HostError
from mthook.machinetype import nearest
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Finding, Severity, Subject, about

CHECK = "pins_supported"


def check(context: Context) -> list[Finding]:
    """Look whether each pin is among what its guest's emulator offers."""
    offers = Offers(context.catalog().capabilities())
    if not offers:
        return [Finding(CHECK, "offers_unknown", Severity.FAILURE, remedy="mthook-sync -v")]
    unsupported, deprecated, number = [], [], 0
    for pin, guest in _pins(context):
        number += 1
        name = guest.name if guest else None
        offer = _offer(offers, pin, guest)
        if not (_is_offered(pin, offer) or _is_supported(context, pin, guest)):
            near = nearest(pin.machine or "", offer.names)
            unsupported.append(Subject(pin.uuid, name, {"pin": pin.machine, "nearest": near}))
        elif pin.machine in offer.deprecated:
            deprecated.append(Subject(pin.uuid, name, {"pin": pin.machine}))
    facts = {"pins": number}
    listing = "mthook-admin list --deprecated"
    return [
        *about(unsupported, CHECK, "unsupported", Severity.FAILURE, facts, "mthook-admin set"),
        *about(deprecated, CHECK, "deprecated", Severity.WARNING, facts, listing),
    ] or [Finding(CHECK, "ok", Severity.SUCCESS, facts=facts)]


def _pins(context: Context) -> Iterator[tuple[Pin, Guest | None]]:
    """Yield the pins that count on this host: not those of guests that have left it."""
    present = {guest.uuid: guest for guest in context.guests()}
    gone = {guest.uuid for guest in context.catalog().guests() if guest.uuid not in present}
    for pin in context.catalog().pins():
        if pin.machine is not None and pin.uuid not in gone:
            yield pin, present.get(pin.uuid)


def _offer(offers: Offers, pin: Pin, guest: Guest | None) -> Offer:
    """Return what a guest may run by; without a guest any emulator may be the one."""
    if guest is None:
        return offers.like(pin.arch)
    return offers.like(guest.arch, guest.virt_type, guest.emulator)


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
