# SPDX-License-Identifier: Apache-2.0
"""Do definitions, saved images and snapshots have the machine type of the pin?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mthook import policy
from mthook.catalog.offers import Offer, Offers
from mthook.catalog.records import Pin
from mthook.errors import HostError, NotFound
from mthook.operations.readiness.findings import Findings, count, listed
from mthook.operations.readiness.sources import Sources
from mthook.text import printable

if TYPE_CHECKING:
    from mthook.host.connection import Host
    from mthook.host.domains import Domain

TITLE = "Definitions and saved state"


def check(sources: Sources) -> Findings:
    """Compare what each guest's next start, restore or revert would bring with its pin."""
    findings = Findings()
    try:
        domains = sources.domains()
    except HostError as error:
        findings.warn(f"{error}: what guests are defined as can't be looked at.")
        return findings
    offers = Offers(sources.catalog().capabilities())
    unreadable, defined, held = [], [], []
    for domain in domains:
        if domain.problem is not None:
            unreadable.append(domain.problem)
        pin = sources.catalog().get_pin(domain.uuid)
        if pin is None or pin.machine is None or domain.summary is None:
            continue
        offer = offers.of(domain.summary)
        defined += _defined(domain, pin, offer)
        held += _held(sources.host(), domain, pin, offer)
    _tell(findings, unreadable, defined, held)
    if findings.well:
        findings.note(
            f"Of {count(len(domains), 'guest')} none has another machine type than its pin in its"
            " definition, saved image or snapshots."
        )
    return findings


def _tell(findings: Findings, unreadable: list[str], defined: list[str], held: list[str]) -> None:
    if unreadable:
        findings.warn(f"Can't be looked at: {listed(unreadable, 'guest')}.")
    if defined:
        findings.warn(
            f"Defined unlike their pin: {listed(defined, 'guest')}."
            " 'mthook-sync --only realign' mends definitions, with -v it tells which it leaves alone."
        )
    if held:
        findings.warn(
            f"With another machine type in a saved image or in snapshots: {listed(held, 'guest')}."
            " A restore or revert brings it back."
        )


def _defined(domain: Domain, pin: Pin, offer: Offer) -> list[str]:
    from mthook.host.realign import is_aligned

    if domain.defined is None or is_aligned(pin, domain.defined, offer):
        return []
    return [f"{printable(domain.name)}: {domain.defined.machine} instead of {pin.machine}"]


def _held(host: Host, domain: Domain, pin: Pin, offer: Offer) -> list[str]:
    """Return the machine types unlike the pin that a guest's saved state holds."""
    from mthook.host.snapshots import machines_in_snapshots

    machines = {domain.saved} if domain.saved else set()
    if domain.snapshots:
        try:
            machines |= machines_in_snapshots(host, domain.uuid)
        except NotFound:
            return []
    wanted = pin.machine or ""
    others = [
        machine
        for machine in sorted(machines)
        if not policy.satisfied(wanted, machine, seen=pin.seen, aliases=offer.aliases)
    ]
    return [f"{printable(domain.name)}: {', '.join(others)}"] if others else []
