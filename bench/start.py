# SPDX-License-Identifier: Apache-2.0
"""What the hook costs a real guest's start, on a real libvirtd."""

from __future__ import annotations

from bench.timing import Ratio, medians, report
from tests.lab import Host, guest_xml

WITHOUT = "virsh start, no hook"
WITH = "virsh start, mthook's hook, pin satisfied"
#: What a small guest in a cloud has, disk, network and screen included.
DISK = "/var/lib/libvirt/bench.img"
DEVICES = f"""
<disk type='file' device='disk'><source file='{DISK}'/><target dev='vda' bus='virtio'/></disk>
<interface type='user'><model type='virtio'/></interface>
<serial type='pty'/>
<input type='tablet' bus='usb'/>
<graphics type='vnc' autoport='yes' listen='127.0.0.1'/>
<video><model type='virtio'/></video>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
"""
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
            host.run(["truncate", "--size=1G", DISK])
            host.define(guest_xml("web-1", UUIDS[what], devices=DEVICES, memory_mib=512))
        with_hook.mthook("mthook-sync")
        with_hook.mthook("mthook-admin", "hook", "install")
        things = {WITHOUT: lambda: _start(without), WITH: lambda: _start(with_hook)}
        # Ending the guest again is no part of a start.
        between = {WITHOUT: lambda: _destroy(without), WITH: lambda: _destroy(with_hook)}
        cost = medians(things, rounds, between)
    return report(
        "A start of a real guest: 512 MiB, disk, network, screen (median)",
        cost,
        [Ratio(WITH, WITHOUT, 1.1)],
    )


def _start(host: Host) -> None:
    host.virsh("start", "web-1")


def _destroy(host: Host) -> None:
    host.virsh("destroy", "web-1")
