# SPDX-License-Identifier: Apache-2.0
"""Show mthook's main job on isolated hosts with real guests.

Every step says what it is about, shows the commands with what they print, and checks that they did what it says.
"""

from __future__ import annotations

import os
import sys
import textwrap
import time

from demo.stage import Stage, Unexpected
from tests.lab import OFFER, Host, LabError, MariaDB, guest_xml, leftovers

UUID = "7d3f0a52-6a0e-4c6f-9f3b-5f0a1c2d3e4f"
_OFFERED = OFFER.releases(deprecated=False) + OFFER.releases(deprecated=True)
#: Older than what `pc` stands for: 6.2 is in every QEMU from 6.2 to 12, Debian 11 has 5.2.
_OLDER = "6.2" if "pc-i440fx-6.2" in _OFFERED else "4.2"
OTHER = f"pc-i440fx-{_OLDER}"
#: Another mainboard altogether.
BOARD = f"pc-q35-{_OLDER}"
CDROM = "<disk type='file' device='cdrom'><target dev='hda' bus='ide'/><readonly/></disk>"
GATE = "qemu+unix:///system?socket=/run/mthook/libvirt-sock"
NEWLY_DEFINED = "/var/lib/libvirt/web-1.xml"


def main() -> int:
    """Run the demonstration; 0 when everything happened as told."""
    begun = time.monotonic()
    try:
        with Stage("alpha", "beta", "desk") as stage:
            show(stage)
            with MariaDB() as server:
                share(stage, server)
    except (Unexpected, LabError) as error:
        print(f"\nmthook's demonstration failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; both hosts are gone", file=sys.stderr)
        return 130
    left = leftovers(os.getpid())
    print(
        f"\nDone in {time.monotonic() - begun:.0f} s. Left behind: {', '.join(left) or 'nothing'}."
    )
    return 1 if left else 0


def show(stage: Stage) -> None:
    """Go through the steps."""
    alpha, beta = stage["alpha"], stage["beta"]
    stage.step("Set mthook up on two libvirt hosts; libvirtd isn't restarted")
    stage.say("Without --mode it would watch: starts are logged, nothing is stopped or changed.")
    for host in (alpha, beta):
        stage.run(host, "mthook-admin", "setup", "--mode", "enforce", "--yes")

    stage.step("A new guest boots for the first time; mthook records what it really runs")
    alpha.define(guest_xml("web-1", UUID, "pc", devices=CDROM))
    stage.run(alpha, "virsh", "start", "web-1")
    pin = alpha.machine("web-1")
    stage.say(
        f"web-1 was defined with machine='pc', whatever that means on this host: today {pin}."
    )
    stage.expect(stage.run(alpha, "mthook-admin", "get", "web-1"), pin)

    stage.step("Somebody redefines the guest with another machine type behind mthook's back")
    stage.run(alpha, "virsh", "destroy", "web-1")
    alpha.define(guest_xml("web-1", UUID, OTHER, devices=CDROM))
    stage.say(
        f"The definition of web-1 now says {OTHER}: its next start would change its mainboard."
    )

    stage.step("The hook stops that start, and says what, why and what to do")
    stage.expect(stage.run(alpha, "virsh", "start", "web-1", fails=True), f"pinned to {pin}")

    stage.step(
        "The repair puts the definition right (under systemd by itself), and starts the guest"
    )
    stage.run(alpha, "mthook-sync", "--only", "repair", "--start", "-v")
    stage.expect(stage.run(alpha, "virsh", "domstate", "web-1"), "running")
    stage.same(alpha.machine("web-1"), pin, "web-1 runs")

    stage.step("The same through the gate: defined as another type, right at the first start")
    stage.run(alpha, "virsh", "destroy", "web-1")
    stage.say(f"{NEWLY_DEFINED} is web-1 with machine type {OTHER}, as Nova might define it anew.")
    with stage.gate(alpha):
        alpha.path(NEWLY_DEFINED).write_text(guest_xml("web-1", UUID, OTHER, devices=CDROM))
        for command in (("define", NEWLY_DEFINED), ("start", "web-1")):
            stage.run(alpha, "virsh", "-c", GATE, *command)
    stage.same(alpha.machine("web-1"), pin, "web-1 runs")
    columns = [word for name in ("Event", "From", "To", "By") for word in ("-c", name)]
    history = stage.run(alpha, "mthook-admin", "history", "web-1", *columns)
    stage.expect(history.splitlines()[-1], "rewritten")

    stage.step("Save and restore: the guest comes back as it was")
    stage.run(alpha, "virsh", "save", "web-1", "/var/lib/libvirt/web-1.save")
    stage.run(alpha, "virsh", "restore", "/var/lib/libvirt/web-1.save")
    stage.same(alpha.machine("web-1"), pin, "web-1 runs")

    stage.step("Live migration to a second host: the pin is known there as soon as the guest is")
    stage.migrate("web-1", alpha, beta)
    stage.same(beta.machine("web-1"), pin, "on beta web-1 runs")
    stage.expect(stage.run(beta, "mthook-admin", "get", "web-1"), pin)

    stage.step("Another mainboard, because an operator wants it; and back, to the very same guest")
    stage.run(beta, "virsh", "destroy", "web-1")
    before = hardware(beta)
    change = ("set", "web-1", BOARD, "--force", "--reason", "needs PCIe")
    stage.expect(stage.run(beta, "mthook-admin", *change), "cdrom hda: bus ide → sata")
    stage.run(beta, "virsh", "start", "web-1")
    stage.same(beta.machine("web-1"), BOARD, "on beta web-1 runs")
    stage.run(beta, "virsh", "destroy", "web-1")
    stage.run(beta, "mthook-admin", "set", "web-1", pin, "--force")
    stage.run(beta, "virsh", "start", "web-1")
    stage.same(beta.machine("web-1"), pin, "on beta web-1 runs")
    if hardware(beta) != before:
        raise Unexpected("the devices and addresses were to be what they were")
    stage.say("✓ with the devices, buses and PCI addresses that it had")

    stage.step("What an operator sees afterwards")
    stage.run(beta, "mthook-sync")
    columns = [
        word for name in ("Name", "State", "Pin", "Running", "Drift") for word in ("-c", name)
    ]
    stage.expect(stage.run(beta, "mthook-admin", "list", *columns), "web-1")
    columns = [word for name in ("When", "Event", "From", "To", "By") for word in ("-c", name)]
    stage.expect(stage.run(alpha, "mthook-admin", "history", UUID, *columns), "stopped")


def share(stage: Stage, server: MariaDB) -> None:
    """Go on with a record that the hosts share."""
    alpha, beta, desk = stage["alpha"], stage["beta"], stage["desk"]
    server.create("mthook")
    stage.step(
        "A record that hosts share, in MariaDB: a third host, without guests, knows them all"
    )
    for host in (alpha, beta, desk):
        with host.path("/etc/mthook/mthook.conf").open("a") as config:
            config.write(f"[fleet]\nconnection = {server.url('mthook', ssl_disabled='true')}\n")
    stage.run(desk, "mthook-admin", "fleet", "init")
    for host in (alpha, beta):
        stage.run(host, "mthook-sync")
    columns = [word for name in ("Host", "Name", "State", "Pin") for word in ("-c", name)]
    stage.expect(stage.run(desk, "mthook-admin", "list", "--all-hosts", *columns), "beta")

    stage.step("A pin is set there; the guest's own host makes it so with its next sync")
    stage.run(beta, "virsh", "destroy", "web-1")
    stage.run(desk, "mthook-admin", "set", "web-1", OTHER, "--allow", "older")
    stage.run(beta, "mthook-sync", "-v")
    stage.expect(stage.run(desk, "mthook-admin", "get", "web-1"), OTHER)

    stage.step("The guest is moved by hand, and its definition is lost: it finds its pin")
    stage.run(beta, "virsh", "undefine", "web-1")
    stage.run(beta, "mthook-sync")
    alpha.define(guest_xml("web-1", UUID, "pc", devices=CDROM))
    stage.expect(stage.run(alpha, "mthook-sync", "-v"), "as it was on beta")
    stage.run(alpha, "virsh", "start", "web-1")
    stage.same(alpha.machine("web-1"), OTHER, "on alpha web-1 runs")
    stage.run(alpha, "mthook-sync")

    stage.step("What whoever decides wants to know of all hosts")
    qemu = ("--qemu", "12.2")
    stage.expect(
        stage.run(desk, "mthook-admin", "forecast", "--all-hosts", *qemu, fails=True), "web-1"
    )
    stage.expect(stage.run(desk, "mthook-admin", "report", "--all-hosts"), "alpha")


def hardware(host: Host) -> list[str]:
    """Return web-1's definition from the machine type on, line by line."""
    lines = host.virsh("dumpxml", "--inactive", "web-1").stdout.splitlines()
    return lines[lines.index("  <os>") :]


if __name__ == "__main__":
    print(textwrap.dedent(__doc__.partition("\n\n")[0]))
    sys.exit(main())
