# SPDX-License-Identifier: Apache-2.0
"""Change a pin as an operator asks: checked beforehand, and with the definition following at once.

Where a guest's definition says something else than its pin, its next start is stopped: so both
change, or neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mthook import machinetype, policy
from mthook.catalog.offers import Offers
from mthook.catalog.records import Pin
from mthook.errors import (
    CatalogConflict,
    CatalogError,
    ConversionError,
    Error,
    MachineTypeError,
    Refused,
)
from mthook.locks import uninterrupted
from mthook.operations.lookup import Instance, see
from mthook.policy import Refusal
from mthook.text import now
from mthook.xmlrewrite import safexml

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host
    from mthook.host.realign import Realignment

#: Where a pin set by an operator says it came from.
SOURCE = "operator"


@dataclass(frozen=True)
class Wish:
    """What an operator wants an instance's pin to be.

    :ivar force: override what policy refuses.
    :ivar actor: who.
    :ivar reason: why, in their own words.
    :ivar seen: the versioned name that the guest runs with, where it is known.
    :ivar arch: its architecture, where no guest tells it.
    """

    machine: str
    force: bool
    actor: str
    reason: str | None = None
    seen: str | None = None
    arch: str | None = None


def check(catalog: Catalog, host: Host | None, instance: Instance, wish: Wish) -> list[str]:
    """Check a change against policy and what QEMU supports, by what is known of the instance.

    :param host: libvirt; ``None``: definitions aren't to follow.
    :return: warnings.
    :raises Refused: see :func:`mthook.policy.may_update`.
    :raises CatalogError: the catalog doesn't know yet what QEMU supports.
    """
    names = offers(catalog).like(instance.arch).names
    if not names and not wish.force:
        arch = instance.arch or "any architecture"
        raise CatalogError(
            f"no machine types of {arch} are known yet: run mthook-sync", catalog.path
        )
    try:
        warnings = policy.may_update(
            instance.machine,
            wish.machine,
            stopped=not instance.active,
            supported=wish.machine in names,
            force=wish.force,
            managed_save=instance.managed_save,
            windows=instance.windows,
            nearest=nearest(wish.machine, names),
        )
    except MachineTypeError as error:
        raise Refused(str(error), Refusal.UNSUPPORTED) from error
    except Refused as error:
        raise Refused(f"{instance}: {error}", error.reason) from error
    if wish.force and instance.domain is not None and instance.domain.snapshots:
        warnings.append(
            f"it has {instance.domain.snapshots} snapshot(s), which hold their own machine types: who"
            " reverts to one gets that one's back"
        )
    return warnings + about_age(catalog, instance.arch, wish.machine)


def check_state(instance: Instance, *, force: bool) -> list[str]:
    """Check that an instance's pin may be released: no guest runs that would bring it back at once.

    :return: warnings.
    :raises Refused: one does.
    """
    try:
        return policy.may_update(
            None,
            instance.machine or "",
            stopped=not instance.active,
            managed_save=instance.managed_save,
            supported=True,
            force=force,
        )
    except Refused as error:
        raise Refused(f"{instance}: {error}", error.reason) from error


def foresee(
    catalog: Catalog, host: Host | None, instance: Instance, wish: Wish, *, follow: bool = True
) -> tuple[Realignment | None, list[str]]:
    """Find out whether the instance's definition can follow its pin, before anything is changed.

    :param host: libvirt; ``None``: definitions aren't to follow.
    :param follow: False: it isn't to follow, and only a warning tells where it doesn't fit.
    :return: what :func:`apply` is to do, ``None`` for nothing; and warnings: with ``force``, a
        definition that may not follow stays as it is.
    :raises Refused: it can't follow.
    :raises HostError: libvirt refused.
    """
    if host is None or instance.domain is None:
        return None, []
    from mthook.host import realign

    if not follow:
        return None, _left_behind(catalog, instance, wish)
    try:
        pin = pin_of(instance, wish)
        return realign.prepare(host, pin, offers(catalog), catalog, snapshots=wish.force), []
    except ConversionError as error:
        raise Refused(f"{instance}: {error}", Refusal.UNCONVERTIBLE) from error
    except Refused as error:
        if not wish.force:
            forced = "--force overrides"
            if error.reason != Refusal.SAVED:
                forced = "--force changes the pin alone"
            raise Refused(f"{error} ({forced})", error.reason) from error
        return None, [f"{error}: its definition stays as it is"]


def apply(
    catalog: Catalog,
    host: Host | None,
    instance: Instance,
    wish: Wish,
    realignment: Realignment | None,
) -> Sequence[str]:
    """Change the pin and let the definition follow; when it doesn't, put the old pin back.

    :param host: libvirt; ``None``: the definition stays as it is.
    :param realignment: of the definition, as :func:`foresee` returned it.
    :return: what a change of family changed in the definition, a line each.
    :raises Error: nothing is changed.
    """
    with uninterrupted():
        see(catalog, instance)
        pin = _write(catalog, instance, wish)
        if host is None or instance.domain is None:
            return ()
        from mthook.host import realign

        try:
            realign.realign(host, pin, realignment, offers(catalog), catalog)
        except Error as error:
            _put_back(catalog, instance, wish, f"put back: {error}")
            raise
        if realignment is None:
            return ()
        old, new = realignment.old, realignment.new
        catalog.add_history(pin.uuid, "realigned", actor=wish.actor, old=old, new=new)
        catalog.touch_defined(pin.uuid, new)
        return realignment.changes if realignment.converted else ()


def difference(
    catalog: Catalog, host: Host, instance: Instance, pin: Pin, *, snapshots: bool = False
) -> tuple[Sequence[str], str]:
    """Return what realigning an instance's definition to a pin changes.

    :param snapshots: also that of one that has snapshots.
    :return: what a change of family changes, a line each; and all of it as a unified diff, '' where
        nothing changes.
    :raises Refused: it would be left alone.
    :raises ConversionError: the pinned machine type can't have something that the guest has.
    :raises HostError: libvirt refused.
    """
    from mthook.host import realign

    planned = realign.prepare(
        host, pin, offers(catalog), catalog, snapshots=snapshots, secrets=False
    )
    if planned is None:
        return (), ""
    text = safexml.unified_diff(
        planned.before.tree,
        planned.after.tree,
        f"{instance} as defined",
        f"{instance} with {pin.machine}",
    )
    return planned.changes if planned.converted else (), text


def nearest(machine: str, names: Sequence[str]) -> list[str]:
    """Return supported names to offer in place of one that isn't; of a bare family its newest."""
    return machinetype.nearest(machine, names) or machinetype.nearest(f"{machine}-999.0", names)


def about_age(catalog: Catalog, arch: str | None, machine: str) -> list[str]:
    """Return a warning if this host's QEMU deprecates a machine type."""
    if machine in offers(catalog).like(arch).deprecated:
        return [f"this host's QEMU deprecates {machine}"]
    return []


def offers(catalog: Catalog) -> Offers:
    """Return what the emulators of this host offer, as the last sync saw them."""
    return Offers(catalog.capabilities())


def pin_of(instance: Instance, wish: Wish) -> Pin:
    """Return the pin as a wish would have it."""
    at = now()
    if instance.pin is None:
        return Pin(
            instance.uuid,
            wish.machine,
            instance.arch or wish.arch or "",
            SOURCE,
            wish.actor,
            at,
            at,
            wish.seen,
            wish.reason,
        )
    seen = wish.seen or (instance.pin.seen if instance.machine == wish.machine else None)
    return replace(instance.pin, machine=wish.machine, source=SOURCE, updated_at=at, seen=seen)


def _left_behind(catalog: Catalog, instance: Instance, wish: Wish) -> list[str]:
    """Return a warning if the definition, which stays, doesn't say what the pin will: its start is stopped then."""
    from mthook.host import realign

    defined = instance.domain.defined if instance.domain else None
    if defined is None:
        return []
    if realign.is_aligned(pin_of(instance, wish), defined, offers(catalog).of(defined)):
        return []
    return ["[sync] realign = false: its definition stays as it is"]


def _write(catalog: Catalog, instance: Instance, wish: Wish) -> Pin:
    if instance.pin is None:
        # Only here is the architecture known of a guest that no sync has seen yet.
        host = catalog.host()
        pin = replace(
            pin_of(instance, wish),
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
        wish.machine,
        source=SOURCE,
        actor=wish.actor,
        reason=wish.reason,
        seen=wish.seen,
        expect=instance.machine,
    )


def _put_back(catalog: Catalog, instance: Instance, wish: Wish, reason: str) -> None:
    old = instance.pin
    if old is None or old.machine is None:
        catalog.unset_pin(instance.uuid, actor=wish.actor, reason=reason)
        return
    catalog.set_pin(
        instance.uuid,
        old.machine,
        source=old.source,
        actor=wish.actor,
        reason=reason,
        seen=old.seen,
        expect=wish.machine,
    )
