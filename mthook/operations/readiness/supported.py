# SPDX-License-Identifier: Apache-2.0
"""Can this host's QEMU run every pin?"""

from __future__ import annotations

from collections.abc import Iterator

from mthook import policy
from mthook.catalog.offers import Offer, Offers
from mthook.catalog.records import Guest, Pin
from mthook.errors import HostError
from mthook.machinetype import nearest
from mthook.operations.readiness.findings import Findings, count, listed
from mthook.operations.readiness.sources import Sources
from mthook.text import printable

TITLE = "Pins supported by QEMU"


def check(sources: Sources) -> Findings:
    """Hold every pin against what its guest's emulator offers."""
    findings = Findings()
    catalog = sources.catalog()
    offers = Offers(catalog.capabilities())
    if not offers:
        findings.fail("What this host's QEMU offers isn't known yet: run 'mthook-sync -v'.")
        return findings
    unsupported, deprecated, number = [], [], 0
    for pin, guest in _pins(sources):
        number += 1
        offer = _offer(offers, pin, guest)
        name = printable(guest.name if guest else pin.uuid)
        if not (_is_offered(pin, offer) or _is_supported(sources, pin, guest)):
            near = ", ".join(nearest(pin.machine or "", offer.names)) or "none"
            unsupported.append(f"{name}: {pin.machine}, nearest {near}")
        elif pin.machine in offer.deprecated:
            deprecated.append(f"{name}: {pin.machine}")
    if unsupported:
        findings.fail(
            f"This host's QEMU can't run the pins of {listed(unsupported, 'guest')}: it has to offer"
            " them before their next start, or 'mthook-admin set' changes them."
        )
    if deprecated:
        findings.warn(
            f"This host's QEMU deprecates the pins of {listed(deprecated, 'guest')}:"
            " 'mthook-admin list --deprecated' lists them."
        )
    if findings.well:
        findings.note(f"Of {count(number, 'pin')} this host's QEMU can run all.")
    return findings


def _pins(sources: Sources) -> Iterator[tuple[Pin, Guest | None]]:
    """Yield the pins that count on this host: not those of guests that have left it."""
    present = {guest.uuid: guest for guest in sources.guests()}
    gone = {guest.uuid for guest in sources.catalog().guests() if guest.uuid not in present}
    for pin in sources.catalog().pins():
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


def _is_supported(sources: Sources, pin: Pin, guest: Guest | None) -> bool:
    """Ask libvirt, whose capabilities don't list all that there is."""
    if guest is None or not guest.emulator:
        return False
    try:
        host = sources.host()
    except HostError:
        return False
    from mthook.host.capabilities import supports

    return supports(host, guest, pin.machine or "")
