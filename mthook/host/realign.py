# SPDX-License-Identifier: Apache-2.0
"""Bring a domain's definition back to its pin, through libvirt's API.

Only the definition, what the *next* cold start boots, can be changed; nobody can change what a
guest runs or what a saved image holds, for libvirt compares machine types when it restores or
migrates one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from mthook import policy
from mthook.catalog.originals import Originals
from mthook.catalog.records import Pin
from mthook.errors import Error, HostError, NotFound, Refused
from mthook.host import capabilities, domains
from mthook.host.connection import Host
from mthook.machinetype import nearest
from mthook.policy import Refusal
from mthook.text import now, printable
from mthook.xmlrewrite import pipeline, summary
from mthook.xmlrewrite.secrets import without_secrets


@dataclass(frozen=True)
class Realignment:
    """A definition and what becomes of it.

    :ivar old: the machine type it has.
    :ivar new: the machine type it is to have.
    :ivar before: the definition, with its passwords: never to be printed.
    :ivar after: the rewritten definition, likewise.
    :ivar changes: what differs, a line each.
    :ivar converted: whether the domain becomes one of another family.
    """

    old: str
    new: str
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)
    changes: Sequence[str] = field(default=(), repr=False)
    converted: bool = field(default=False, repr=False)


def plan(
    domain_xml: bytes, pin: Pin, originals: Originals | None = None, *, ports: int = 0
) -> pipeline.Rewritten:
    """Return a domain's XML as its pin wants it, and what that changes.

    :param pin: one that names a machine type.
    :param originals: what guests were before their last change of family; ``None``: nothing is
        kept.
    :param ports: see :class:`mthook.host.connection.Host`.
    :raises ConversionError: the pinned machine type can't have something that the domain has.
    :raises DomainXMLError: the XML can't be read.
    """
    assert pin.machine is not None, "a released pin wants nothing"
    original = originals.original(pin.uuid) if originals is not None else None
    target = pipeline.Target(pin.machine, pin.uuid, pin.updated_at, ports=ports, original=original)
    return pipeline.rewrite(domain_xml, target)


def prepare(
    host: Host,
    pin: Pin,
    offers: capabilities.Offers,
    originals: Originals | None = None,
    *,
    snapshots: bool = False,
) -> Realignment | None:
    """Look at a pin's domain as it is now and work out what realigning it means; change nothing.

    :param offers: what the emulators of this host offer.
    :param originals: see :func:`plan`.
    :param snapshots: also a domain that has snapshots. They keep machine types of their own: what
        is realigned lasts until the next revert, but the domain can be started until then.
    :return: ``None`` when there is nothing to do: no persistent definition, or one that satisfies
        the pin.
    :raises NotFound: there is no such domain.
    :raises Refused: saved state forbids it, or this host can't run what the pin says.
    :raises ConversionError: the pinned machine type can't have something that the domain has.
    :raises HostError: libvirt refused.
    """
    domain = domains.get_domain(host, pin.uuid)
    if not domain.persistent:
        return None
    before = domains.definition(host, pin.uuid)
    seen = summary.read(before)
    key = capabilities.key_of(seen)
    offer = offers.get(key, {})
    if is_aligned(pin, seen, offer):
        return None
    _check_state(domain, snapshots)
    planned = plan(before, pin, originals, ports=host.ports)
    _check_offer(host, domain, pin, key, offer)
    return Realignment(
        old=seen.machine or "",
        new=pin.machine or "",
        before=before,
        after=planned.xml,
        changes=planned.changes,
        converted=planned.converted,
    )


def realign(
    host: Host,
    pin: Pin,
    offers: capabilities.Offers,
    originals: Originals | None = None,
    *,
    snapshots: bool = False,
) -> Realignment | None:
    """Redefine a pin's domain so that its definition satisfies the pin.

    Where that takes another family, what the definition was is kept, to lead it back one day.

    Where the guest runs something else, the pin is put into its live metadata as well: a host that
    the guest moves to learns it from there.

    :param originals: where definitions are kept, see :func:`plan`.
    :param snapshots: see :func:`prepare`.
    :return: what was done, or ``None`` when there was nothing to do.
    :raises Error: as :func:`prepare` does, or that the definition changed meanwhile; it is
        unchanged then.
    """
    realignment = prepare(host, pin, offers, originals, snapshots=snapshots)
    if realignment is not None:
        # libvirt can't be told to define only what is there still: look again at the last moment,
        # lest somebody else's definition be overwritten.
        if domains.definition(host, pin.uuid) != realignment.before:
            raise HostError(f"{domains.get_domain(host, pin.uuid)}: changed meanwhile, try again")
        if realignment.converted and originals is not None:
            _convert(host, pin, realignment, originals)
        else:
            domains.redefine(host, pin.uuid, realignment.after)
    with contextlib.suppress(
        HostError, NotFound
    ):  # the guest may have ended; its definition is right
        _carry(host, pin, offers)
    return realignment


def _convert(host: Host, pin: Pin, realignment: Realignment, originals: Originals) -> None:
    """Redefine a domain as one of another family, and keep what it was and what libvirt made of it."""
    kept = originals.original(pin.uuid)
    before, at = domains.definition(host, pin.uuid, secrets=False), now()
    planned = without_secrets(plan(before, pin, originals, ports=host.ports).xml)
    before = without_secrets(before)
    originals.keep_original(pin.uuid, pipeline.Original(before, planned, at))
    try:
        domains.redefine(host, pin.uuid, realignment.after)
    except Error:
        originals.keep_original(pin.uuid, kept)
        raise
    with contextlib.suppress(Error):  # the definition is right; what was planned is kept
        # Only now are there the addresses that libvirt chose.
        after = without_secrets(domains.definition(host, pin.uuid, secrets=False))
        originals.keep_original(pin.uuid, pipeline.Original(before, after, at))


def _carry(host: Host, pin: Pin, offers: capabilities.Offers) -> None:
    running = domains.get_domain(host, pin.uuid).running
    if running is None or pin.machine is None or running.travelled == (pin.machine, pin.updated_at):
        return
    if not is_aligned(pin, running, offers.get(capabilities.key_of(running), {})):
        domains.carry(host, pin.uuid, pin.machine, pin.updated_at)


def is_aligned(pin: Pin, seen: summary.Summary, offer: capabilities.Offer) -> bool:
    """Tell whether a domain's XML says what its pin wants.

    A released pin wants nothing, nor does that of a guest that was rebuilt and hasn't started yet.
    """
    if pin.machine is None or policy.is_rebuilt(pin.root_image, seen.root_image):
        return True
    return seen.machine is not None and policy.satisfied(
        pin.machine, seen.machine, seen=pin.seen, aliases=capabilities.aliases(offer)
    )


def _check_state(domain: domains.Domain, snapshots: bool) -> None:
    """Refuse a domain that keeps a machine type elsewhere: start or revert brings it back."""
    if domain.managed_save:
        raise Refused(
            f"{domain}: left alone: it has a managed-save image, which holds its own machine type",
            Refusal.SAVED,
        )
    if domain.snapshots and not snapshots:
        raise Refused(
            f"{domain}: left alone: it has {domain.snapshots} snapshot(s), which hold their own "
            "machine types",
            Refusal.SAVED,
        )


def _check_offer(
    host: Host, domain: domains.Domain, pin: Pin, key: capabilities.Key, offer: capabilities.Offer
) -> None:
    """Refuse a machine type that the domain's emulator doesn't have, or has from another vendor."""
    machine = pin.machine or ""
    # What libvirt's capabilities leave out may exist all the same: ask.
    if machine not in offer and not capabilities.supports(host, key, machine):
        known = ", ".join(nearest(machine, offer)) or "none"
        raise Refused(
            f"{domain}: pinned to {machine}, which {printable(key[0])} ({key[2]}) doesn't offer on "
            f"this host; nearest: {known}",
            Refusal.UNSUPPORTED,
        )
    stands_for = offer.get(machine) or machine
    if not policy.satisfied(
        machine, stands_for, seen=pin.seen, aliases=capabilities.aliases(offer)
    ):
        raise Refused(
            f"{domain}: pinned to {machine}, seen as {pin.seen}; here that is {stands_for}, "
            "another vendor's",
            Refusal.UNSUPPORTED,
        )
