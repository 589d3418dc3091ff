# SPDX-License-Identifier: Apache-2.0
"""Bring pins and what Nova has recorded together: pull what changed there, push what it lacks or changed here."""

from __future__ import annotations

from collections.abc import Collection

from mthook import policy, reconcile
from mthook.catalog.records import Pin
from mthook.errors import NotFound, NovaConflict
from mthook.locks import uninterrupted
from mthook.machinetype import MachineType
from mthook.nova.instance import NovaInstance
from mthook.operations import specs
from mthook.operations.acts import Act
from mthook.operations.defaults import check_machine
from mthook.operations.sync.novarecords import NovaRecords
from mthook.operations.sync.pins import observe, pin_for, record, replace
from mthook.operations.sync.run import ACTOR, SyncRun

#: Where a pin taken from Nova's database says it came from.
_SOURCE = "Nova"
_REBUILT = "rebuilt in Nova"


def pull(run: SyncRun, nova: NovaRecords) -> None:
    """Compare every instance of this host with its pin."""
    for instance in nova.instances.values():
        with run.isolated(instance):
            if instance.rebuilding:
                run.leave_alone(instance, "being_rebuilt")
            else:
                _pull(run, nova, instance)


def _pull(run: SyncRun, nova: NovaRecords, instance: NovaInstance) -> None:
    pin = run.catalog.get_pin(instance.uuid)
    if pin is not None and nova.is_changed(pin):
        return None  # the hook or an operator was at work; the next run sees what Nova has by now
    outcome, rebuilt = nova.compare(instance, pin)
    if instance.machine is not None and outcome in (reconcile.PULL, reconcile.OVERRULE):
        reason = _REBUILT if rebuilt else None
        if outcome == reconcile.OVERRULE:
            reason = "changed in Nova as well as here"
        _take_over(run, nova, instance, instance.machine, pin, reason)
    elif outcome == reconcile.ASK_GUEST and rebuilt and pin is not None:
        _record_anew(run, nova, instance, pin)
    elif outcome == reconcile.UNSURE:
        return run.leave_alone(instance, "unknown_author", instance.machine)
    elif outcome == reconcile.PUSH:
        return None
    return nova.keep_compared(instance, instance.machine, instance.row)


def _take_over(
    run: SyncRun,
    nova: NovaRecords,
    instance: NovaInstance,
    machine: str,
    pin: Pin | None,
    reason: str | None,
) -> None:
    """Make what Nova has recorded the pin."""
    check_machine(machine)
    seen = _runs_as(run, instance, machine, pin)
    if pin is not None:
        known = nova.known(instance.uuid)
        replace(run, instance, pin, machine, _SOURCE, reason, seen, compared=known)
        return
    evidence = observe(run.domains.get(instance.uuid))
    record(run, instance, machine, _SOURCE, evidence, seen)


def _runs_as(run: SyncRun, instance: NovaInstance, machine: str, pin: Pin | None) -> str | None:
    """Return the versioned name that an instance is known to run, or to have run, for its pin."""
    domain = run.domains.get(instance.uuid)
    if domain is not None and domain.running is not None and domain.running.machine:
        return domain.running.machine
    known = [name for name in (pin.seen, pin.machine) if name] if pin else []
    offered = run.offers.of(domain.defined).aliases if domain and domain.defined else {}
    for name in known:
        if MachineType.parse(name).is_versioned and policy.satisfied(
            machine, name, aliases=offered
        ):
            return name
    return None


def _record_anew(run: SyncRun, nova: NovaRecords, instance: NovaInstance, pin: Pin) -> None:
    """Pin a rebuilt instance, about which Nova says nothing, to what its guest is now."""
    evidence, known = observe(run.domains.get(instance.uuid)), nova.known(instance.uuid)
    if evidence is None:
        with run.catalog.transaction():
            run.catalog.expect(pin.uuid, pin.updated_at, known)
            released = run.catalog.unset_pin(instance.uuid, actor=ACTOR, reason=_REBUILT)
        if released:
            run.result.add(
                Act("released", instance.uuid, instance.name, pin.machine, reason=_REBUILT)
            )
        return
    machine = pin_for(run, evidence)
    if machine != pin.machine:
        reason, seen = _REBUILT, evidence.machine
        replace(run, instance, pin, machine, evidence.source, reason, seen, compared=known)


def push(run: SyncRun, nova: NovaRecords, only: Collection[str] | None = None) -> None:
    """Bring Nova's records of this host's instances, or of only some, to their pins; request specs follow.

    Those are in the API database, which compute hosts usually don't have.
    """
    recorded: dict[str, str] = {}
    for instance in nova.instances.values():
        if not nova.works:
            return
        wanted = only is None or instance.uuid in only
        if wanted and not instance.rebuilding:
            with run.isolated(instance), nova.guarded():
                machine = _push(run, nova, instance)
                if machine and instance.settled:
                    recorded[instance.uuid] = machine
    with nova.guarded():
        instances = [nova.instances[uuid] for uuid in recorded]
        for instance, spec in specs.read(nova.cells, nova.cell, instances):
            specs.agree(nova.cells, instance, spec, recorded[instance.uuid], run.result)


def _push(run: SyncRun, nova: NovaRecords, instance: NovaInstance) -> str | None:
    """Bring one record to its pin; return what both are then, None where they differ."""
    pin = run.catalog.get_pin(instance.uuid)
    if pin is None or pin.machine is None:
        return None
    outcome, _ = nova.compare(instance, pin)
    reason = _why_once_more(instance) if outcome == reconcile.KEEP else None
    if outcome != reconcile.PUSH and reason is None:
        return pin.machine if outcome == reconcile.KEEP else None
    old, new = instance.machine or None, pin.machine
    if not run.result.dry_run:
        try:
            with uninterrupted():
                row = nova.cell.record(
                    instance.uuid, new, expect=instance.machine, host=run.conf.host
                )
                nova.keep_compared(instance, new, row)
        except (NovaConflict, NotFound) as error:
            # Somebody was faster: the next run sees what they made of it.
            run.leave_alone(instance, "changed_meanwhile", error)
            return None
    run.result.add(Act("written", instance.uuid, instance.name, old, new, reason=reason))
    return new


def _why_once_more(instance: NovaInstance) -> str | None:
    """Return why to write again what is recorded for an instance and equals its pin; None: no need.

    Nobody knows if what Nova wrote by itself is wanted: the controller's run leaves the request spec as it is.
    """
    if instance.rows > 1:
        return f"one row in place of {instance.rows}"
    if instance.settled and instance.author in reconcile.UNWISHED:
        return "which Nova had recorded by itself"
    return None
