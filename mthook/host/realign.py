# SPDX-License-Identifier: Apache-2.0
"""Bring a domain's definition back to its pin, through libvirt's API.

Only the definition, which the *next* cold start boots, can be changed. Nobody can change what a
guest runs or what a saved image holds, because libvirt compares machine types when it migrates or
restores one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from mthook import policy
from mthook.catalog.offers import Offer, Offers
from mthook.catalog.records import Pin
from mthook.catalog.store import Catalog
from mthook.errors import ConversionError, Error, HostError, Refused
from mthook.host import capabilities, domains, watching
from mthook.host.connection import Host
from mthook.machinetype import nearest
from mthook.policy import Refusal
from mthook.text import now, printable
from mthook.xmlrewrite import kept, pipeline
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.secrets import without_secrets
from mthook.xmlrewrite.summary import Summary


@dataclass(frozen=True)
class Realignment:
    """A definition and what is to become of it.

    :ivar old: the machine type it has.
    :ivar new: the machine type it is to have.
    :ivar domain: whose definition it is; read without the XML.
    :ivar since: since when the pin holds.
    :ivar before: the definition.
    :ivar after: the rewritten definition.
    :ivar changes: what differs, a line each.
    :ivar converted: whether the domain changes to another family.
    """

    old: str
    new: str
    domain: domains.Domain = field(repr=False)
    since: str = field(repr=False)
    before: Definition = field(repr=False)
    after: Definition = field(repr=False)
    changes: Sequence[str] = field(repr=False)
    converted: bool = field(repr=False)


def prepare(
    host: Host,
    pin: Pin,
    offers: Offers,
    originals: Catalog | None = None,
    *,
    snapshots: bool = False,
    secrets: bool = True,
    asked: bool = True,
) -> Realignment | None:
    """Look at a pin's domain as it is now and work out how to realign it; change nothing.

    :param offers: what the emulators of this host offer.
    :param originals: keeps what guests were before they changed family, and their last definitions
        that satisfied the pin; ``None``: nothing is kept.
    :param snapshots: realign a domain even if it has snapshots. They keep machine types of their
        own: the new one lasts until the next revert, but the domain can be started until then.
    :param secrets: False: to be shown, not to be carried out; see :func:`.domains.definition`.
    :param asked: somebody wants this guest converted. Otherwise it can only become what it was,
        unless it is a Nova guest, which Nova makes anew at every start.
    :return: ``None`` when there is nothing to do: no persistent definition, or one that satisfies
        the pin.
    :raises Refused: saved state forbids it, or this host can't run what the pin says.
    :raises ConversionError: the pinned machine type doesn't support something that the domain has,
        or would give it hardware that it never had, and nobody has asked for that.
    """
    domain = domains.get_domain(host, pin.uuid, xml=False)
    if not domain.persistent:
        return None
    before = domains.definition(host, pin.uuid, secrets=secrets)
    offer = offers.of(before.summary)
    if pin.machine is None or is_aligned(pin, before.summary, offer):
        return None
    _check_state(host, domain, snapshots, before.summary, offer)
    original = _original(pin.machine, before, originals, pin.uuid)
    target = pipeline.Target(
        pin.machine,
        pin.uuid,
        pin.updated_at,
        ports=host.ports,
        libvirt=host.version,
        original=original,
    )
    planned = pipeline.rewrite(before, target)
    if planned.converted and not (asked or planned.restored or before.summary.nova):
        _refuse_unasked(pin.uuid, pin.machine, before.summary.machine)
    _check_offer(host, domain, pin, before.summary, offer)
    return Realignment(
        old=before.summary.machine or "",
        new=pin.machine,
        domain=domain,
        since=pin.updated_at,
        before=before,
        after=Definition(planned.xml, planned.tree),
        changes=planned.changes,
        converted=planned.converted,
    )


def _original(
    machine: str, before: Definition, originals: Catalog | None, uuid: str
) -> pipeline.Original | None:
    if originals is None:
        return None
    return kept.way_back(originals.original(uuid), originals.kept(uuid), before, machine)


def _refuse_unasked(uuid: str, pin: str, found: str | None) -> None:
    raise ConversionError(
        "its earlier definition isn't kept, and mthook changes its hardware only if asked:"
        f" 'mthook-admin set {uuid} {pin}' converts it,"
        f" 'mthook-admin set {uuid} {found} --force' accepts what it is now",
        "os/type",
    )


def realign(
    host: Host,
    pin: Pin,
    realignment: Realignment,
    offers: Offers,
    originals: Catalog | None = None,
) -> None:
    """Redefine a pin's domain so that its definition satisfies the pin.

    If the family changes, the old definition is kept, to lead the guest back one day.

    Where the guest runs something else, or carries another pin, it carries this one from now on.

    :param pin: the one that was prepared for, or a later one with the same machine type.
    :param realignment: as :func:`prepare` returned it.
    :raises HostError: libvirt refused, or the definition changed meanwhile; it is unchanged then.
    :raises NotFound: the domain was undefined meanwhile; it stays so.
    """
    _redefine(host, pin, realignment, originals)
    with contextlib.suppress(Error):  # the guest may have ended; its definition is right
        carry(host, pin, offers, None, domains.running(host, pin.uuid))


def _redefine(host: Host, pin: Pin, realignment: Realignment, originals: Catalog | None) -> None:
    after = realignment.after
    if pin.updated_at != realignment.since:
        assert pin.machine == realignment.new
        after = pipeline.carrying(after, pipeline.Target(realignment.new, pin.uuid, pin.updated_at))
    # libvirt can't be told to redefine only what is unchanged: look again at the last moment, so
    # that nobody else's definition is overwritten.
    with watching.still_there(host, pin.uuid):
        if domains.definition(host, pin.uuid).xml != realignment.before.xml:
            raise HostError(f"{realignment.domain}: changed meanwhile, try again")
        if realignment.converted and originals is not None:
            _convert(host, pin.uuid, realignment.before, after, originals)
        else:
            domains.redefine(host, pin.uuid, after.xml)


def _convert(
    host: Host, uuid: str, before: Definition, after: Definition, originals: Catalog
) -> None:
    """Redefine a domain in another family; keep what it was and what libvirt made of it."""
    earlier, at = originals.original(uuid), now()
    planned = pipeline.Original(without_secrets(before), without_secrets(after), at)
    originals.keep_original(uuid, planned)
    try:
        domains.redefine(host, uuid, after.xml)
    except Error:
        originals.keep_original(uuid, earlier)
        raise
    with contextlib.suppress(Error):  # the definition is right; what was planned is kept
        # The addresses that libvirt chose exist only now.
        made = without_secrets(domains.definition(host, uuid))
        originals.keep_original(uuid, pipeline.Original(planned.before, made, at))


def carry(
    host: Host, pin: Pin, offers: Offers, defined: Summary | None, running: Summary | None
) -> None:
    """Let a guest carry its pin where it carries another one, or runs something else.

    A host that it comes to, by migration or with its definition, takes what it carries for its pin.

    :param defined: its definition, None: it needn't be looked at; ``running``: what it runs.
    """
    if pin.machine is None:
        return
    mine = pin.machine, pin.updated_at
    live = False
    if running is not None and running.travelled != mine:
        # One that runs what it should needs none, and keeps none that is outdated.
        live = running.travelled is not None or not is_aligned(pin, running, offers.of(running))
    in_definition = defined is not None and defined.travelled not in (None, mine)
    if live or in_definition:
        domains.carry(host, pin.uuid, *mine, live=live, defined=in_definition)


def is_aligned(pin: Pin, summary: Summary, offer: Offer) -> bool:
    """Tell whether a domain's XML says what its pin wants.

    A released pin wants nothing, nor does that of a guest that was rebuilt and hasn't started yet.
    """
    if pin.machine is None or policy.is_rebuilt(pin.root_image, summary.root_image):
        return True
    return summary.machine is not None and policy.satisfied(
        pin.machine, summary.machine, seen=pin.seen, aliases=offer.aliases
    )


def _check_state(
    host: Host, domain: domains.Domain, snapshots: bool, summary: Summary, offer: Offer
) -> None:
    """Refuse a domain that keeps a machine type elsewhere: a start or revert brings that back."""
    if domain.managed_save:
        raise Refused(
            f"{domain}: left alone: it has a managed-save image, which holds its own machine type"
            f"{about_image(host, domain, summary, offer)}",
            Refusal.SAVED,
        )
    if domain.snapshots and not snapshots:
        raise Refused(
            f"{domain}: left alone: it has snapshots ({domain.snapshots}), which hold machine types of"
            " their own",
            Refusal.SAVED,
        )


def about_image(host: Host, domain: domains.Domain, summary: Summary, offer: Offer) -> str:
    """Return what to do about a managed-save image that this host can't restore; '' if it can."""
    machine = domains.saved_machine(host, domain.uuid)
    if machine is None or offer.has(machine) or capabilities.supports(host, summary, machine):
        return ""
    return (
        f"; its machine type is {printable(machine)}, which QEMU doesn't offer on this host, so that it"
        f" can't be restored here: 'virsh managedsave-remove {domain.uuid}' discards it and with it the"
        " guest's memory, as a power cut does"
    )


def _check_offer(
    host: Host, domain: domains.Domain, pin: Pin, summary: Summary, offer: Offer
) -> None:
    """Refuse a machine type that the domain's emulator lacks, or has only from another vendor."""
    machine = pin.machine or ""
    # A machine type that libvirt's capabilities leave out may still exist: ask.
    if not offer.has(machine) and not capabilities.supports(host, summary, machine):
        known = ", ".join(nearest(machine, offer.names)) or "none"
        raise Refused(
            f"{domain}: pinned to {machine}, which {printable(summary.emulator or '')}"
            f" ({summary.virt_type}) doesn't offer on this host; nearest: {known}",
            Refusal.UNSUPPORTED,
        )
    stands_for = offer.stands_for(machine)
    if not policy.satisfied(machine, stands_for, seen=pin.seen, aliases=offer.aliases):
        raise Refused(
            f"{domain}: pinned to {machine}, seen as {pin.seen}; here that is {stands_for}, "
            "which is another vendor's",
            Refusal.UNSUPPORTED,
        )
