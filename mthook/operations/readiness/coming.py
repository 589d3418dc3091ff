# SPDX-License-Identifier: Apache-2.0
"""Does the next release of QEMU still have the machine types of this host's guests?"""

from __future__ import annotations

from mthook import releases
from mthook.errors import Error, HostError
from mthook.machinetype import MachineType
from mthook.operations.forecast import guests
from mthook.operations.forecast.outlook import FAILS, Outlook, forecast
from mthook.operations.forecast.prospects import Prospect, Released
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import (
    Facts,
    Finding,
    Severity,
    Subject,
    as_success,
    as_warning,
    unavailable,
)


def check(context: Context) -> list[Finding]:
    """Look for guests whose machine types end with the release after this host's, by upstream's rule."""
    version = context.catalog().host().qemu_version
    try:
        present = releases.parse(version or "")
    except Error:
        return [as_success("unknown")]
    coming = releases.following(present)
    release = ".".join(map(str, coming))
    facts: Facts = {"release": release, "due": releases.month(coming)}
    try:
        outlooks = _outlooks(context, present, coming)
    except HostError as error:
        return [unavailable(error, "libvirt_unavailable", Severity.WARNING)]
    ending = [
        Subject(
            one.guest.uuid, one.guest.name, {"machines": _ending(one, coming)}, one.guest.display
        )
        for one in outlooks
        if one.outcome == FAILS and one.end == coming
    ]
    if ending:
        return [as_warning("ends", ending, f"mthook-admin forecast --qemu {release}", **facts)]
    return [as_success(**facts)]


def _outlooks(
    context: Context, present: releases.Release, coming: releases.Release
) -> list[Outlook]:
    pins = {pin.uuid: pin for pin in context.catalog().pins()}
    found = guests.read(context.domains(), context.host(), pins, {})
    return list(forecast(found, Prospect(Released(coming), Released(present))))


def _ending(one: Outlook, coming: releases.Release) -> list[str]:
    return sorted(m for m in one.guest.machines if releases.end(MachineType.parse(m)) == coming)
