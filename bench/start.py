# SPDX-License-Identifier: Apache-2.0
"""What the hook costs a real guest's start, on a real libvirtd."""

from __future__ import annotations

from bench.timing import Ratio, medians, report
from tests.lab import Host, guest_xml

WITHOUT = "virsh start, no hook"
WITH = "virsh start, mthook's hook, pin satisfied"
UUIDS = {
    WITHOUT: "3f2c1d3e-0000-4000-8000-000000000001",
    WITH: "3f2c1d3e-0000-4000-8000-000000000002",
}


def run(rounds: int) -> bool:
    """Measure and print; return whether the limit is kept.

    Two hosts, one with the hook and one without: taking the hook away and back in one would cost
    more than what is measured.
    """
    with Host("without") as without, Host("with") as with_hook:
        with_hook.path("/etc/mthook").mkdir(exist_ok=True)
        for host, what in ((without, WITHOUT), (with_hook, WITH)):
            host.define(guest_xml("web-1", UUIDS[what]))
        with_hook.mthook("mthook-sync")
        with_hook.mthook("mthook-admin", "hook", "install")
        things = {WITHOUT: lambda: _start(without), WITH: lambda: _start(with_hook)}
        # Ending the guest again is no part of a start.
        between = {WITHOUT: lambda: _destroy(without), WITH: lambda: _destroy(with_hook)}
        cost = medians(things, rounds, between)
    return report("A start of a real guest (median)", cost, [Ratio(WITH, WITHOUT, 1.1)])


def _start(host: Host) -> None:
    host.virsh("start", "web-1")


def _destroy(host: Host) -> None:
    host.virsh("destroy", "web-1")
