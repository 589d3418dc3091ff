# SPDX-License-Identifier: Apache-2.0
"""Change a pin as an operator asks: checked beforehand, and with the definition following at once.

Where a guest's definition says something other than its pin, its next start is stopped: so both
change, or neither.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mthook import policy
from mthook.catalog.offers import Offers
from mthook.catalog.records import Pin
from mthook.errors import CatalogConflict, CatalogError, ConversionError, Error, Refused
from mthook.locks import uninterrupted
from mthook.machinetype import MachineType
from mthook.operations.caution import Caution, Kind, about_age, ask_policy, may_release
from mthook.operations.lookup import Instance, make_known
from mthook.policy import ALL, Refusal
from mthook.text import after, now
from mthook.xmlrewrite import safexml
from mthook.xmlrewrite.secrets import masked

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.host.realign import Realignment

#: The source of a pin that an operator sets.
SOURCE = "operator"


@dataclass(frozen=True)
class ChangeRequest:
    """What an operator, the actor, wants an instance's pin to be.

    :ivar allowed: reasons for which policy must not refuse it.
    :ivar accepts: it is what the guest has: policy isn't asked, as nothing changes for the guest.
    :ivar reason: why, in their own words.
    :ivar seen: the versioned name that the guest runs with, where it is known.
    :ivar arch: its architecture, where no guest tells it.
    """

    machine: str
    actor: str
    allowed: frozenset[str] = frozenset()
    reason: str | None = None
    seen: str | None = None
    arch: str | None = None
    accepts: bool = False


@dataclass(frozen=True)
class Plan:
    """A change that is allowed but not yet made.

    :ivar realignment: of its definition; ``None``: none is needed, or wanted.
    """

    instance: Instance
    request: ChangeRequest
    realignment: Realignment | None
    cautions: Sequence[Caution] = ()


def plan(instance: Instance, request: ChangeRequest) -> Plan | None:
    """Check a change, and whether the definition can follow; change nothing.

    ``None``: the pin says that already, and so does the definition, where it follows.

    :raises Refused: policy forbids it, or the definition can't follow.
    """
    if instance.machine == request.machine and not _is_to_follow(instance, request):
        return None
    cautions = check(instance, request)
    if instance.host is None:
        return Plan(instance, request, None, [*cautions, *_left_behind(instance, request)])
    found = foresee(instance, request)
    return replace(found, cautions=[*cautions, *found.cautions])


def check(instance: Instance, request: ChangeRequest) -> list[Caution]:
    """Check a change against policy and what QEMU supports, by what is known of the instance.

    :raises CatalogError: the catalog doesn't know yet what QEMU supports.
    """
    if request.accepts:
        return []
    catalog = instance.catalog
    offer = offers(catalog).like(instance.arch)
    if not offer.names and Refusal.UNSUPPORTED not in request.allowed:
        arch = instance.arch or "any architecture"
        raise CatalogError(
            f"no machine types of {arch} are known yet: run mthook-sync", catalog.path
        )
    try:
        cautions = ask_policy(
            instance,
            instance.machine,
            request.machine,
            stopped=not instance.active,
            names=offer.names,
            supported=request.machine in offer.names,
            allowed=request.allowed,
            shut_off=f"'virsh shutdown {_for_virsh(instance)}'",
            managed_save=instance.managed_save,
            windows=instance.windows,
        )
    except Refused as error:
        raise Refused(f"{error}{_about_image(instance, error)}", error.reason) from error
    snapshots = instance.domain.snapshots if instance.domain else 0
    if snapshots and Refusal.SAVED in request.allowed:
        cautions.append(Caution(Kind.SNAPSHOTS, (snapshots,)))
    return cautions + about_age(offer, request.machine)


def _about_image(instance: Instance, refusal: Refused) -> str:
    """Return what to do about a managed-save image that nothing can restore here, '' for any other."""
    defined = instance.domain.defined if instance.domain else None
    if refusal.reason != Refusal.SAVED or not (instance.host and instance.domain and defined):
        return ""
    from mthook.host import realign

    offer = offers(instance.catalog).of(defined)
    return realign.about_image(instance.host, instance.domain, defined, offer)


def foresee(instance: Instance, request: ChangeRequest) -> Plan:
    """Find out whether the instance's definition can follow its pin; it need not if the reason is allowed.

    :raises Refused: it can't follow.
    """
    try:
        snapshots = Refusal.SAVED in request.allowed
        realignment = prepare(instance, pin_of(instance, request), snapshots=snapshots)
    except ConversionError as error:
        raise Refused(f"{instance}: {error}", Refusal.UNCONVERTIBLE) from error
    except Refused as error:
        if error.reason in request.allowed:
            stays = Caution(Kind.DEFINITION_STAYS, (str(error),))
            return Plan(replace(instance, host=None), request, None, [stays])
        raise Refused(_way_out(instance, error), error.reason) from error
    return Plan(instance, request, realignment)


def _way_out(instance: Instance, refusal: Refused) -> str:
    """Return why a definition can't follow, and what to do about that."""
    allow = f"--allow {policy.allowance(refusal.reason)}"
    snapshots = instance.domain.snapshots if instance.domain else 0
    if refusal.reason != Refusal.SAVED or not snapshots:
        return f"{refusal} ({allow} changes the pin alone)"
    has = "a snapshot, which holds its own machine type: delete it"
    if snapshots > 1:
        has = f"{snapshots} snapshots, which hold their own machine types: delete them"
    return f"{instance} has {has} first, or {allow} to change it all the same; a revert brings the old one back"


def prepare(
    instance: Instance, pin: Pin, *, snapshots: bool, secrets: bool = True
) -> Realignment | None:
    """Work out how the instance's definition would follow a pin; see :func:`mthook.host.realign.prepare`."""
    host, catalog = instance.host, instance.catalog
    if host is None or instance.domain is None:
        return None
    from mthook.host import realign

    return realign.prepare(
        host, pin, offers(catalog), catalog, snapshots=snapshots, secrets=secrets
    )


def apply(plan: Plan) -> Sequence[str]:
    """Change the pin and let the definition follow; when it doesn't, put the old pin back.

    :return: what a change of family changed in the definition, a line each.
    :raises Error: nothing is changed.
    """
    instance, request, realignment = plan.instance, plan.request, plan.realignment
    catalog = instance.catalog
    with uninterrupted():
        make_known(instance)
        pin = _write(instance, request)
        if realignment is None:
            carry(instance, pin)
            return ()
        assert instance.host is not None
        from mthook.host import realign

        try:
            realign.realign(instance.host, pin, realignment, offers(catalog), catalog)
        except Error as error:
            about = {"actor": request.actor, "reason": f"put back: {error}"}
            catalog.put_back(instance.uuid, instance.pin, since=pin.updated_at, **about)
            raise
        _note(catalog, pin, realignment, request.actor)
        return realignment.changes if realignment.converted else ()


def realign(instance: Instance, pin: Pin, realignment: Realignment, actor: str) -> None:
    """Let an instance's definition follow the pin that it has.

    :raises Error: nothing is changed.
    """
    from mthook.host import realign

    catalog = instance.catalog
    assert instance.host is not None
    realign.realign(instance.host, pin, realignment, offers(catalog), catalog)
    _note(catalog, pin, realignment, actor)


def _note(catalog: Catalog, pin: Pin, realignment: Realignment, actor: str) -> None:
    old, new = realignment.old, realignment.new
    catalog.add_history(pin.uuid, "realigned", actor=actor, old=old, new=new)
    catalog.touch_defined(pin.uuid, new)


def preview(plan: Plan) -> tuple[str, Sequence[str]]:
    """Return what :func:`apply` would change in the instance's definition, as :func:`difference` does."""
    snapshots = Refusal.SAVED in plan.request.allowed
    return difference(plan.instance, pin_of(plan.instance, plan.request), snapshots=snapshots)


def difference(
    instance: Instance, pin: Pin, *, snapshots: bool = False
) -> tuple[str, Sequence[str]]:
    """Return what realigning a definition to a pin changes, see :func:`mthook.host.realign.prepare`.

    :return: a unified diff without secrets, '' where nothing changes; and what a change of family changes, a line each.
    """
    planned = prepare(instance, pin, snapshots=snapshots, secrets=False)
    if planned is None:
        return "", ()
    text = safexml.unified_diff(
        masked(planned.before),
        masked(planned.after),
        f"{instance} as defined",
        f"{instance} with {pin.machine}",
    )
    return text, planned.changes if planned.converted else ()


def check_release(instance: Instance, allowed: frozenset[str]) -> list[Caution]:
    """Check that an instance's pin may be released: no guest runs that would bring it back at once."""
    return may_release(
        instance,
        stopped=not instance.active,
        shut_off=f"'virsh shutdown {_for_virsh(instance)}'",
        managed_save=instance.managed_save,
        allowed=allowed,
    )


def _for_virsh(instance: Instance) -> str:
    """Return how a command line names a guest: a name may be taken for an option or an ID, or need quotes."""
    name = instance.name
    plain = name == shlex.quote(name) and not name.startswith("-") and not name.isdigit()
    return name if plain else instance.uuid


def release(instance: Instance, *, actor: str, reason: str | None) -> None:
    """Release an instance's pin, and the one that its guest carries: another host would take that one up."""
    make_known(instance)
    instance.catalog.unset_pin(instance.uuid, actor=actor, reason=reason)
    carry(instance, None)


def carry(instance: Instance, pin: Pin | None) -> None:
    """Let an instance's guest carry the pin that it has now, in place of another one; None: none."""
    host, domain = instance.host, instance.domain
    if host is None or domain is None:
        return
    from mthook.host import domains, realign

    # The pin is what it should be: the next sync sees to the guest.
    with contextlib.suppress(Error):
        if pin is None or pin.machine is None:
            domains.drop_pin(host, instance.uuid)
        else:
            realign.carry(host, pin, offers(instance.catalog), domain.defined, domain.running)


def accepted(instance: Instance, actor: str, reason: str | None) -> ChangeRequest:
    """Return the request that makes an instance's pin what the guest runs, else what it is defined as.

    :raises Error: neither is known.
    """
    guest, known = instance.guest, instance.summary or instance.guest
    seen_as = (guest.running or guest.defined) if guest else None
    machine = instance.summary.machine if instance.summary else seen_as
    if not machine or known is None:
        raise Error(f"{instance}: what it runs or is defined as isn't known: start it once")
    machine = offers(instance.catalog).of(known).stands_for(machine)
    seen = machine if MachineType.parse(machine).is_versioned else None
    return ChangeRequest(machine, actor, ALL, reason, seen=seen, arch=instance.arch, accepts=True)


def offers(catalog: Catalog) -> Offers:
    """Return what the emulators of this host offer, as the last sync saw them."""
    return Offers(catalog.capabilities())


def pin_of(instance: Instance, request: ChangeRequest) -> Pin:
    """Return the pin that the request asks for."""
    at, arch = _moment(instance), instance.arch or request.arch or ""
    pin = instance.pin or Pin(
        instance.uuid, None, arch, SOURCE, request.actor, at, at, reason=request.reason
    )
    seen = request.seen or (pin.seen if instance.machine == request.machine else None)
    return replace(pin, machine=request.machine, source=SOURCE, updated_at=at, seen=seen)


def _is_to_follow(instance: Instance, request: ChangeRequest) -> bool:
    """Tell whether the definition may follow a pin, and doesn't match it yet."""
    defined = instance.domain.defined if instance.domain else None
    if instance.host is None or defined is None:
        return False
    from mthook.host import realign

    offer = offers(instance.catalog).of(defined)
    return not realign.is_aligned(pin_of(instance, request), defined, offer)


def _left_behind(instance: Instance, request: ChangeRequest) -> list[Caution]:
    """Return a caution if the definition, which stays, doesn't say what the pin will: its start is stopped then."""
    if instance.domain is None or instance.domain.defined is None:
        return []
    from mthook.host import realign

    defined = instance.domain.defined
    offer = offers(instance.catalog).of(defined)
    if realign.is_aligned(pin_of(instance, request), defined, offer):
        return []
    return [Caution(Kind.REALIGN_OFF)]


def _write(instance: Instance, request: ChangeRequest) -> Pin:
    catalog = instance.catalog
    if instance.pin is None:
        # The architecture of a guest that no sync has seen yet is known only here.
        host = catalog.host()
        pin = replace(
            pin_of(instance, request),
            qemu_version=host.qemu_version,
            libvirt_version=host.libvirt_version,
        )
        if not catalog.add_pin(pin):
            raise CatalogConflict(
                f"{instance}: its pin has just been recorded, look again", catalog.path
            )
        return pin
    return catalog.set_pin(
        instance.uuid,
        request.machine,
        source=SOURCE,
        actor=request.actor,
        reason=request.reason,
        seen=request.seen,
        expect=instance.machine,
        at=_moment(instance),
    )


def _moment(instance: Instance) -> str:
    """Return the present, or a moment after the pin that the guest itself carries: a clock may have been ahead."""
    at, domain = now(), instance.domain
    for summary in (domain.defined, domain.running) if domain else ():
        if summary is not None and summary.travelled is not None:
            at = after(summary.travelled[1], at)
    return at
