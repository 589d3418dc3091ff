# SPDX-License-Identifier: Apache-2.0
"""Give every guest that has none its pin, from the best evidence there is."""

from __future__ import annotations

from mthook import reconcile
from mthook.errors import NotFound
from mthook.host.domains import Domain, get_domain
from mthook.nova.instance import NovaInstance
from mthook.operations.sync.novarecords import NovaRecords, arch_of, check_machine
from mthook.operations.sync.pins import Evidence, observe, pin_for, record
from mthook.operations.sync.run import SyncRun


def seed(run: SyncRun) -> None:
    """Record a pin for every guest without a row; for a released one, the next start does that."""
    for domain in run.domains.values():
        with run.isolated(domain):
            if run.catalog.get_pin(domain.uuid) is not None or not run.is_ours(domain):
                continue
            evidence = observe(domain)
            if evidence is not None:
                _seed(run, domain, evidence)


def _seed(run: SyncRun, domain: Domain, evidence: Evidence) -> None:
    """Pin a guest; a pin that it carries itself is its pin, whatever it is now."""
    summary = evidence.summary
    machine, source = pin_for(run, evidence), evidence.source
    if summary.travelled is not None:
        machine, source = summary.travelled[0], "guest metadata"
    seen = evidence.machine
    record(run, domain, machine, source, arch=summary.arch, seen=seen, evidence=evidence)


def seed_without_domain(run: SyncRun, nova: NovaRecords) -> None:
    """Pin the instances that have no domain here, such as shelved ones, to what Nova would give them.

    After the guest, which there is none of, the order of the blueprint "libvirt-default-machine-type": image property,
    configuration, built-in default.
    """
    for instance in nova.instances.values():
        if not nova.works:
            return
        with run.isolated(instance):
            absent = instance.uuid not in run.domains and nova.is_free(instance.uuid)
            unknown = instance.machine is None and run.catalog.get_pin(instance.uuid) is None
            if absent and unknown:
                _seed_without_domain(run, nova, instance)


def _seed_without_domain(run: SyncRun, nova: NovaRecords, instance: NovaInstance) -> None:
    if instance.must_run or _has_come(run, instance.uuid):
        run.leave_alone(instance, "not_found_here")
        return
    with nova.guarded():
        machine, source = _nova_would_give(nova, instance)
        if machine is None:
            run.leave_alone(instance, "no_default", arch_of(instance))
            return
        check_machine(machine)
        record(run, instance, machine, source, arch=arch_of(instance))


def _has_come(run: SyncRun, uuid: str) -> bool:
    """Tell whether a domain has come since the host was looked at."""
    try:
        get_domain(run.host, uuid)
    except NotFound:
        return False
    return True


def _nova_would_give(nova: NovaRecords, instance: NovaInstance) -> tuple[str | None, str]:
    """Return a machine type and where it comes from.

    :raises NovaError: the database fails.
    """
    machine = nova.cells.image_property(instance.uuid)
    if machine is not None:
        return machine, "image property"
    machine = nova.default_machine(instance)
    built_in = reconcile.default_machine(arch_of(instance), ())
    return machine, "built-in default" if machine == built_in else "configuration"
