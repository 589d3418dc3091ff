# SPDX-License-Identifier: Apache-2.0
"""Take over what Nova has recorded, and release pins from before a rebuild."""

from __future__ import annotations

from mthook import policy, reconcile
from mthook.catalog.records import Pin
from mthook.machinetype import MachineType
from mthook.nova.instance import NovaInstance
from mthook.operations.acts import Act
from mthook.operations.sync.novarecords import NovaRecords, arch_of, check_machine
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
        return  # the hook's or an operator's work meanwhile; what Nova has by now the next run sees
    outcome, rebuilt = nova.compare(instance, pin)
    if instance.machine is not None and outcome in (reconcile.PULL, reconcile.OVERRULE):
        reason = _REBUILT if rebuilt else None
        if outcome == reconcile.OVERRULE:
            reason = "changed in Nova as well as here"
        _take_over(run, instance, instance.machine, pin, reason)
    elif outcome == reconcile.ASK_GUEST and rebuilt and pin is not None:
        _record_anew(run, instance, pin)
    elif outcome == reconcile.PUSH:
        return
    nova.keep_compared(instance, instance.machine, instance.row)


def _take_over(
    run: SyncRun, instance: NovaInstance, machine: str, pin: Pin | None, reason: str | None
) -> None:
    """Make what Nova has recorded the pin."""
    check_machine(machine)
    seen = _runs_as(run, instance, machine, pin)
    if pin is not None:
        replace(run, instance, pin, machine, _SOURCE, reason, seen)
        return
    evidence = observe(run.domains.get(instance.uuid))
    record(run, instance, machine, _SOURCE, arch=arch_of(instance), seen=seen, evidence=evidence)


def _runs_as(run: SyncRun, instance: NovaInstance, machine: str, pin: Pin | None) -> str | None:
    """Return the versioned name that an instance is known to run, or to have run, as a pin's."""
    domain = run.domains.get(instance.uuid)
    if domain is not None and domain.running is not None and domain.running.machine:
        return domain.running.machine
    known = [name for name in (pin.seen, pin.machine) if name] if pin else []
    offered = run.offer(domain.defined).aliases if domain and domain.defined else {}
    for name in known:
        if MachineType.parse(name).is_versioned and policy.satisfied(
            machine, name, aliases=offered
        ):
            return name
    return None


def _record_anew(run: SyncRun, instance: NovaInstance, pin: Pin) -> None:
    """Pin a rebuilt instance, of which Nova says nothing, to what its guest is now."""
    evidence = observe(run.domains.get(instance.uuid))
    if evidence is None:
        if run.catalog.unset_pin(instance.uuid, actor=ACTOR, reason=_REBUILT):
            run.result.add(
                Act("released", instance.uuid, instance.name, pin.machine, reason=_REBUILT)
            )
        return
    machine = pin_for(run, evidence)
    if machine != pin.machine:
        replace(run, instance, pin, machine, evidence.source, _REBUILT, evidence.machine)
