# SPDX-License-Identifier: Apache-2.0
"""Write to Nova's database the pins that it lacks, and those that operators changed here."""

from __future__ import annotations

from collections.abc import Collection

from mthook import reconcile
from mthook.errors import NotFound, NovaConflict
from mthook.locks import uninterrupted
from mthook.nova.instance import NovaInstance
from mthook.operations.acts import Act
from mthook.operations.sync.novarecords import NovaRecords
from mthook.operations.sync.run import SyncRun


def push(run: SyncRun, nova: NovaRecords, only: Collection[str] | None = None) -> None:
    """Bring Nova's records of this host's instances to their pins.

    :param only: the UUIDs of those that matter; None: all.
    """
    for instance in nova.instances.values():
        if not nova.works:
            return
        wanted = only is None or instance.uuid in only
        if wanted and not instance.rebuilding:
            with run.isolated(instance), nova.guarded():
                _push(run, nova, instance)


def _push(run: SyncRun, nova: NovaRecords, instance: NovaInstance) -> None:
    pin = run.catalog.get_pin(instance.uuid)
    if pin is None or pin.machine is None:
        return
    outcome, _ = nova.compare(instance, pin)
    repeated = outcome == reconcile.KEEP and instance.rows > 1
    if outcome != reconcile.PUSH and not repeated:
        return
    if not run.result.dry_run:
        try:
            _write(run, nova, instance, pin.machine)
        except (NovaConflict, NotFound) as error:
            # Somebody was faster: the next run sees what they made of it.
            run.leave_alone(instance, "changed_meanwhile", error)
            return
    old, new = instance.machine or None, pin.machine
    reason = f"once in place of {instance.rows} times" if old == new else None
    run.result.add(Act("written", instance.uuid, instance.name, old, new, reason=reason))


def _write(run: SyncRun, nova: NovaRecords, instance: NovaInstance, machine: str) -> None:
    with uninterrupted():
        row = nova.cell.record(instance.uuid, machine, expect=instance.machine, host=run.conf.host)
        nova.keep_compared(instance, machine, row)
