# SPDX-License-Identifier: Apache-2.0
"""Move an instance's pin from an alias to the versioned name that it really runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mthook import policy
from mthook.catalog.offers import Offer
from mthook.errors import Error
from mthook.machinetype import MachineType
from mthook.operations import change, novachange
from mthook.operations.caution import Caution
from mthook.operations.change import ChangeRequest
from mthook.operations.lookup import CloudInstance, Instance, look_up
from mthook.text import printable

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host


def aliased(catalog: Catalog, host: Host) -> Iterator[Instance]:
    """Yield the instances that are pinned to an alias; one without a domain is no longer on this host.

    Machine types that have no versions in QEMU, such as isapc, are left out.
    """
    for pin in catalog.pins():
        if pin.machine and MachineType.parse(pin.machine).is_alias:
            instance = look_up(pin.uuid, catalog, host)
            if not has_no_versions(instance, pin.machine):
                yield instance


def has_no_versions(instance: Instance, machine: str) -> bool:
    """Tell whether a machine type is one that the instance's emulator offers in a single form, such as isapc."""
    known = instance.summary or instance.guest
    offer = change.offers(instance.catalog).of(known) if known else Offer()
    return offer.has(machine) and offer.stands_for(machine) == machine


def freeze(
    instance: Instance,
    found: CloudInstance | None,
    here: str,
    actor: str,
    *,
    dry_run: bool = False,
) -> tuple[str, Sequence[Caution]]:
    """Freeze one instance, first in Nova if it is a Nova instance; return what its pin is now, or would be.

    :param found: the instance in Nova's database; None: it isn't a Nova instance.
    :param dry_run: check whether it can be frozen, change nothing.
    :raises Error: it can't be frozen, and nothing is changed.
    """
    old = instance.machine
    if old is None:
        raise Error(f"{instance}: no pin")
    if found is not None:
        _check_recorded(found, old, here)
    if MachineType.parse(old).is_versioned or has_no_versions(instance, old):
        return old, ()
    new = _runs(instance, old)
    request = ChangeRequest(new, actor, reason="frozen", seen=new)
    if found is None:
        local = change.foresee(instance, request)
        if not dry_run:
            change.apply(local)
        return new, local.cautions
    plan = novachange.foresee(found, request)
    _, cautions = ((), []) if dry_run else novachange.record(plan)
    return new, [*plan.cautions, *cautions]


def _check_recorded(found: CloudInstance, machine: str, here: str) -> None:
    """Make sure that Nova has an instance on this host, and its pin recorded."""
    nova = found.nova
    if nova.host != here:
        where = f"on {printable(nova.host)}" if nova.host else "on no host"
        raise Error(f"{found}: Nova has it {where}, not here ([DEFAULT] host = {here})")
    if nova.machine != machine:
        raise Error(
            f"{found}: pinned to {machine}, but Nova has {printable(nova.machine or 'none')}:"
            " run mthook-sync first"
        )


def _runs(instance: Instance, alias: str) -> str:
    """Return the versioned name that an instance is to keep."""
    domain, pin = instance.domain, instance.pin
    running, defined = (domain.running, domain.defined) if domain else (None, None)
    evidence = (  # the best first
        running.machine if running else None,
        pin.seen if pin else None,
        defined.machine if defined else None,
    )
    machine = next((one for one in evidence if one), None)
    if machine is None or MachineType.parse(machine).is_alias:
        raise Error(f"{instance}: which version of {alias} it runs isn't known: start it once")
    known = instance.summary or instance.guest
    aliases = instance.catalog.aliases(known.emulator, known.arch, known.virt_type) if known else {}
    seen = pin.seen if pin else None
    if not policy.satisfied(alias, machine, seen=seen, aliases=aliases):
        raise Error(f"{instance}: runs {machine}, which its pin {alias} doesn't stand for")
    return machine
