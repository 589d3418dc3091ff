# SPDX-License-Identifier: Apache-2.0
"""What tells a guest's machine type, and pins that are made or changed by it."""

from __future__ import annotations

from dataclasses import dataclass

from mthook import policy
from mthook.catalog.records import Pin
from mthook.catalog.store import ANY
from mthook.errors import NotFound
from mthook.host.domains import Domain, get_domain
from mthook.nova.instance import NovaInstance
from mthook.operations.acts import Act
from mthook.operations.defaults import arch_of, check_machine, nova_would_give
from mthook.operations.sync.novarecords import NovaRecords
from mthook.operations.sync.run import ACTOR, SyncRun
from mthook.text import is_time, latest, now
from mthook.xmlrewrite.summary import Summary


@dataclass(frozen=True)
class Evidence:
    """What a domain tells.

    :ivar summary: of the XML that tells it.
    :ivar source: the source that a pin gets.
    """

    machine: str
    summary: Summary
    source: str


def observe(domain: Domain | None) -> Evidence | None:
    """Return what a guest really runs, else what its saved image holds, else its definition."""
    summary = domain.summary if domain else None
    if domain is None or summary is None:
        return None
    if domain.running is not None:
        machine, source = summary.machine, "running guest"
    elif domain.managed_save:
        machine, source = domain.saved, "saved image"
    else:
        machine, source = summary.machine, "definition"
    return Evidence(machine, summary, source) if machine is not None else None


def pin_for(run: SyncRun, evidence: Evidence) -> str:
    """Return what a new pin names, in the configured style."""
    aliases = run.offers.of(evidence.summary).aliases
    return policy.pin_for(evidence.machine, run.conf.pin.style, aliases)


def record(
    run: SyncRun,
    guest: Domain | NovaInstance,
    machine: str,
    source: str,
    evidence: Evidence | None = None,
    seen: str | None = None,
    since: str | None = None,
) -> None:
    """Record the pin of an instance that has no row; where it has one by now, that stays.

    :param evidence: what its domain tells, if there is one.
    :param seen: the versioned name that the guest runs, where it is known.
    :param since: since when the pin holds, where it comes from elsewhere.
    """
    at = since or now()
    arch = evidence.summary.arch if evidence else ""
    if evidence is None and isinstance(guest, NovaInstance):
        arch = arch_of(guest)
    pin = Pin(
        uuid=guest.uuid,
        machine=machine,
        arch=arch,
        source=source,
        actor=ACTOR,
        created_at=at,
        updated_at=at,
        seen=seen,
        root_image=evidence.summary.root_image if evidence else None,
        qemu_version=run.facts.qemu_version,
        libvirt_version=run.facts.libvirt_version,
    )
    if run.catalog.add_pin(pin):
        run.result.add(Act("pinned", guest.uuid, guest.name, new=machine, source=source))


def replace(
    run: SyncRun,
    guest: Domain | NovaInstance,
    pin: Pin,
    machine: str,
    source: str,
    reason: str | None,
    seen: str | None = None,
    *,
    at: str | None = None,
    compared: object = ANY,
) -> Pin:
    """Change a pin, if it is still the one to be replaced, and return it as it is then.

    :param at: since when the new one holds, where it comes from elsewhere; None: now.
    :param compared: what Nova's database said when the pin was compared with it.
    :raises CatalogConflict: it is no longer that pin.
    """
    with run.catalog.transaction():
        run.catalog.expect(pin.uuid, pin.updated_at, compared)
        changed = run.catalog.set_pin(
            pin.uuid, machine, source=source, actor=ACTOR, reason=reason, seen=seen, at=at
        )
    run.result.add(
        Act("pinned", guest.uuid, guest.name, pin.machine, machine, source=source, reason=reason)
    )
    return changed


def seed(run: SyncRun) -> None:
    """Record a pin for every guest without a row; for a released one, the next start does that."""
    for domain in run.domains.values():
        with run.isolated(domain):
            if run.catalog.get_pin(domain.uuid) is not None or not run.is_ours(domain):
                continue
            evidence = observe(domain)
            if evidence is None:
                continue
            machine, source, since = pin_for(run, evidence), evidence.source, None
            if evidence.summary.travelled is not None:
                # A pin that it carries itself is its pin, whatever it is now.
                (machine, carried), source = evidence.summary.travelled, "guest metadata"
                since = carried if is_time(carried) and carried <= latest() else None
            record(run, domain, machine, source, evidence, evidence.machine, since)


def seed_without_domain(run: SyncRun, nova: NovaRecords) -> None:
    """Pin the instances that have no domain here, such as shelved ones, to what Nova would give them.

    See :mod:`mthook.operations.defaults`.
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
        of_image = nova.cells.image_property(instance.uuid)
        machine, source = nova_would_give(instance, of_image, run.conf)
        if machine is None:
            run.leave_alone(instance, "no_default", arch_of(instance))
            return
        check_machine(machine)
        record(run, instance, machine, source)


def _has_come(run: SyncRun, uuid: str) -> bool:
    """Tell whether a domain has come since the host was looked at."""
    try:
        get_domain(run.host, uuid)
    except NotFound:
        return False
    return True
