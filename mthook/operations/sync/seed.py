# SPDX-License-Identifier: Apache-2.0
"""Give every guest that has none its pin, from the best evidence there is."""

from __future__ import annotations

from mthook import policy
from mthook.catalog.records import Pin
from mthook.host.domains import Domain
from mthook.operations.sync.run import ACTOR, Round
from mthook.text import now, printable
from mthook.xmlrewrite.summary import Summary

#: A machine type, the XML it is told by, and the source that the pin gets.
Evidence = tuple[str, Summary, str]


def seed(round_: Round) -> None:
    """Record a pin for every guest without a row; for a released one, the next start does that."""
    for domain in round_.domains.values():
        with round_.guest(domain):
            if round_.catalog.get_pin(domain.uuid) is not None or not round_.is_ours(domain):
                continue
            evidence = observe(domain)
            if evidence is not None:
                _record(round_, domain, evidence)


def observe(domain: Domain) -> Evidence | None:
    """Return what a guest really runs, else what its saved image holds, else its definition.

    ``None`` when nothing tells.
    """
    seen = domain.running or domain.defined
    if seen is None:
        return None
    if domain.running is not None:
        machine, source = seen.machine, "running guest"
    elif domain.managed_save:
        machine, source = domain.saved, "saved image"
    else:
        machine, source = seen.machine, "definition"
    return (machine, seen, source) if machine is not None else None


def record(
    round_: Round,
    uuid: str,
    machine: str,
    source: str,
    seen: str | None,
    evidence: Evidence | None,
    arch: str,
) -> bool:
    """Record the pin of an instance that has no row.

    :param seen: the versioned name that the guest runs, where it is known.
    :param evidence: what its domain tells, if there is one.
    :param arch: its architecture, where no domain tells that.
    :return: False where it has a row by now, which stays.
    """
    at = now()
    return round_.catalog.add_pin(
        Pin(
            uuid=uuid,
            machine=machine,
            arch=evidence[1].arch if evidence else arch,
            source=source,
            actor=ACTOR,
            created_at=at,
            updated_at=at,
            seen=seen,
            root_image=evidence[1].root_image if evidence else None,
            qemu_version=round_.facts.qemu_version,
            libvirt_version=round_.facts.libvirt_version,
        )
    )


def _record(round_: Round, domain: Domain, evidence: Evidence) -> None:
    """Pin a guest; a pin that it carries itself is its pin, whatever it is now."""
    machine, seen, source = evidence
    known = round_.offer(seen).aliases
    wanted = policy.pin_for(machine, round_.conf.pin.style, known)
    if seen.travelled is not None:
        wanted, source = seen.travelled[0], "guest metadata"
    if record(round_, domain.uuid, wanted, source, machine, evidence, seen.arch):
        words = "its own metadata" if source == "guest metadata" else f"the {source}"
        round_.report.done("pinned", f"pin {domain} to {printable(wanted)}, from {words}")
