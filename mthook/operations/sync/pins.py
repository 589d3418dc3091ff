# SPDX-License-Identifier: Apache-2.0
"""What tells a guest's machine type, and pins that are made or changed by it."""

from __future__ import annotations

from dataclasses import dataclass

from mthook import policy
from mthook.catalog.records import Pin
from mthook.host.domains import Domain
from mthook.operations.acts import Act
from mthook.operations.sync.run import ACTOR, Named, SyncRun
from mthook.text import now
from mthook.xmlrewrite.summary import Summary


@dataclass(frozen=True)
class Evidence:
    """What a domain tells.

    :ivar summary: of the XML it is told by.
    :ivar source: the one that a pin gets.
    """

    machine: str
    summary: Summary
    source: str


def observe(domain: Domain | None) -> Evidence | None:
    """Return what a guest really runs, else what its saved image holds, else its definition.

    ``None`` when nothing tells.
    """
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
    known = run.offer(evidence.summary).aliases
    return policy.pin_for(evidence.machine, run.conf.pin.style, known)


def record(
    run: SyncRun,
    guest: Named,
    machine: str,
    source: str,
    *,
    arch: str,
    seen: str | None = None,
    evidence: Evidence | None = None,
) -> None:
    """Record the pin of an instance that has no row; where it has one by now, that stays.

    :param arch: its architecture, where no domain tells that.
    :param seen: the versioned name that the guest runs, where it is known.
    :param evidence: what its domain tells, if there is one.
    """
    at = now()
    pin = Pin(
        uuid=guest.uuid,
        machine=machine,
        arch=evidence.summary.arch if evidence else arch,
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
    guest: Named,
    pin: Pin,
    machine: str,
    source: str,
    reason: str | None,
    seen: str | None = None,
) -> Pin:
    """Change a pin, and return it as it is then.

    :raises CatalogConflict: it isn't the one that was to be replaced.
    """
    changed = run.catalog.set_pin(
        guest.uuid,
        machine,
        source=source,
        actor=ACTOR,
        reason=reason,
        seen=seen,
        expect=pin.machine,
    )
    run.result.add(
        Act("pinned", guest.uuid, guest.name, pin.machine, machine, source=source, reason=reason)
    )
    return changed
