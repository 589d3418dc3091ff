# SPDX-License-Identifier: Apache-2.0
"""Can this host run what its guests are pinned to?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Optional

from mthook import policy
from mthook.catalog.offers import Offer, key_of
from mthook.catalog.records import Guest, Pin
from mthook.errors import HostError

if TYPE_CHECKING:
    from mthook.catalog.offers import Offers
    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host

#: A pin, its guest where one is known, and what its emulator offers.
Pinned = tuple[Pin, Optional[Guest], Offer]


def pinned(catalog: Catalog, guests: Iterable[Guest], offers: Offers) -> Iterator[Pinned]:
    """Yield the pins that count on this host: not those of guests that have left it.

    :param guests: those that are here.
    :param offers: what its emulators offer.
    """
    present = {guest.uuid: guest for guest in guests}
    gone = {guest.uuid for guest in catalog.guests() if guest.uuid not in present}
    for pin in catalog.pins():
        if pin.machine is not None and pin.uuid not in gone:
            yield with_offer(pin, present.get(pin.uuid), offers)


def with_offer(pin: Pin, guest: Guest | None, offers: Offers) -> Pinned:
    """Return a pin with what its guest's emulator offers; without a guest any emulator may be the one."""
    key = (guest.arch, guest.virt_type, guest.emulator) if guest else (pin.arch,)
    return pin, guest, offers.like(*key)


def unsupported(found: Iterable[Pinned], connect: Callable[[], Host]) -> Iterator[Pinned]:
    """Yield those that their emulators can't run; libvirt is asked for what its capabilities don't list.

    :param connect: returns the connection to libvirt.
    """
    answers: dict[tuple[object, ...], bool] = {}
    for pin, guest, offer in found:
        question = (key_of(guest) if guest else pin.arch, pin.machine, pin.seen)
        if question not in answers:  # many guests ask the same
            answers[question] = _is_offered(pin, offer) or _is_supported(pin, guest, connect)
        if not answers[question]:
            yield pin, guest, offer


def _is_offered(pin: Pin, offer: Offer) -> bool:
    """Tell whether an emulator offers a pin; an alias has to stand for the same vendor's line."""
    machine = pin.machine or ""
    return offer.has(machine) and policy.satisfied(
        machine, offer.stands_for(machine), seen=pin.seen, aliases=offer.aliases
    )


def _is_supported(pin: Pin, guest: Guest | None, connect: Callable[[], Host]) -> bool:
    if guest is None or not guest.emulator:
        return False
    try:
        host = connect()
    except HostError:
        return False
    from mthook.host.capabilities import supports

    return supports(host, guest, pin.machine or "")
