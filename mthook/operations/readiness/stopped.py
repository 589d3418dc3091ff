# SPDX-License-Identifier: Apache-2.0
"""Does Nova know the pins of its guests here, or does something on the way, such as the gate, put them in?"""

from __future__ import annotations

from collections.abc import Sequence

from mthook import conf as configuration
from mthook import policy
from mthook.catalog.records import Guest
from mthook.errors import HostError
from mthook.operations.readiness import clouds, gate
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import (
    Finding,
    Severity,
    Subject,
    as_success,
    as_warning,
    of_guest,
)

_SYNC = "mthook-sync -v"


def check(context: Context) -> list[Finding]:
    """Check whether what Nova defines anew at a start has the machine type of its pin."""
    guests = [guest for guest in context.guests() if guest.nova]
    if not guests:
        return [as_success("no_nova_guests")]
    use, facts = gate.in_use(context)
    return [_protection(context, guests), as_success(use, **facts)]


def _protection(context: Context, guests: Sequence[Guest]) -> Finding:
    """Return what brings Nova's guests their pins, or that nothing is known to."""
    found = _known_to_nova(context, guests)
    if found.severity and gate.puts_right(context):
        return as_success("gated", _subjects(guests))
    return found


def _known_to_nova(context: Context, guests: Sequence[Guest]) -> Finding:
    if not configuration.has_nova(context.conf):
        return _without_database(context, guests)
    here = {guest.uuid for guest in guests} - {
        guest.uuid for guest in clouds.left_behind(context, guests)
    }
    compared = context.catalog().compared()
    if context.conf.sync.write_back:
        unread = [guest for guest in guests if guest.uuid in here - compared.keys()]
        if unread:
            return Finding("not_compared", Severity.FAILURE, _subjects(unread), remedy=_SYNC)
        return as_success("written_back", _subjects(guests))
    recorded = {uuid for uuid, one in compared.items() if one.machine is not None}
    unset = [guest for guest in guests if guest.uuid in here - recorded]
    if unset:
        return Finding("not_written_back", Severity.FAILURE, _subjects(unset))
    return as_warning("record_unguarded", _subjects(guests))


def _without_database(context: Context, guests: Sequence[Guest]) -> Finding:
    known = _in_definitions(context)
    unknown = [guest for guest in guests if guest.uuid not in known]
    if unknown:
        return Finding("no_database", Severity.FAILURE, _subjects(unknown))
    return as_success("in_definitions", _subjects(guests))


def _in_definitions(context: Context) -> set[str]:
    """Return the guests whose pin Nova has recorded: since release 32 it says so in their definitions."""
    pins = {pin.uuid: pin for pin in context.catalog().pins() if pin.machine is not None}
    try:
        domains = context.domains()
    except HostError:
        return set()
    recorded = {one.uuid: one.summary.recorded for one in domains if one.summary is not None}
    return {
        uuid
        for uuid, machine in recorded.items()
        if machine is not None
        and uuid in pins
        and policy.satisfied(pins[uuid].machine or "", machine, seen=pins[uuid].seen, aliases={})
    }


def _subjects(guests: Sequence[Guest]) -> list[Subject]:
    return [of_guest(guest) for guest in guests]
