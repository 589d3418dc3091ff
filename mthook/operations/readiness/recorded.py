# SPDX-License-Identifier: Apache-2.0
"""Has every instance a machine type, and every guest a pin?"""

from __future__ import annotations

from mthook import conf as configuration
from mthook.errors import CatalogError, NovaError
from mthook.operations.readiness.findings import Findings, count, listed
from mthook.operations.readiness.sources import Sources

TITLE = "Machine types recorded"


def check(sources: Sources) -> Findings:
    """Count Nova's instances without a machine type, and guests of this host without a pin."""
    findings = Findings()
    if configuration.has_nova(sources.conf):
        _check_nova(sources, findings)
    try:
        _check_guests(sources, findings)
    except CatalogError as error:
        findings.fail(f"{error}.")
    return findings


def _check_nova(sources: Sources, findings: Findings) -> None:
    # Late: only hosts with a database pay for it.
    from mthook.nova.cells import opened

    unset = reached = 0
    try:
        with opened(sources.conf) as cells:
            for cell in cells.all():
                sources.tell(f"database: {cell}")
                try:
                    unset += sum(1 for _ in cell.unset())
                    reached += 1
                except NovaError as error:
                    findings.fail(f"{error}.")
    except NovaError as error:
        findings.fail(f"{error}.")
    if unset:
        findings.warn(
            f"Without a recorded machine type: {count(unset, 'instance')} of Nova's."
            " 'mthook-admin list --unset' lists them, mthook-sync on their hosts records it."
        )
    elif reached:
        findings.note(f"In {count(reached, 'cell')} of Nova's every instance has one.")


def _check_guests(sources: Sources, findings: Findings) -> None:
    guests = sources.guests()
    pinned = {pin.uuid for pin in sources.catalog().pins() if pin.machine is not None}
    without = [guest.name for guest in guests if guest.uuid not in pinned]
    unreachable = sources.unreachable()
    if unreachable:
        findings.warn(unreachable)
    if without:
        # With a database, --unset lists Nova's instances.
        nova = configuration.has_nova(sources.conf)
        command = "'mthook-admin list'" if nova else "'mthook-admin list --unset'"
        findings.warn(
            f"Without a pin: {listed(without, 'guest')} of this host. {command} lists them;"
            " mthook-sync pins them, or their next start where a pin was released."
        )
    else:
        findings.note(f"Of {count(len(guests), 'guest')} on this host none is without a pin.")
