# SPDX-License-Identifier: Apache-2.0
"""One upgrade: what mthook said before, what became of each guest, and whether mthook still holds them."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from tests.lab import roots
from tests.lab.hypervisor import Hypervisor
from tests.lab.processes import ENVIRONMENT
from tests.lab.table import log
from tests.packages import services, ways
from tests.upgrade.guests import GUESTS, TRANSIENT, Guest, make

_HOST = [
    *("libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "python3-libvirt"),
    *("ovmf", "swtpm", "swtpm-tools", "qemu-utils", "python3-venv", "ca-certificates"),
    *("dbus", "procps", "systemd-sysv"),
]
_LIBVIRT = "11.3.0"
_OFFER = Path(__file__).parents[1] / "fixtures" / "offers" / "trixie.json"
_SOURCES = "".join(
    f"deb http://deb.debian.org/{name} main\n"
    for name in ("debian trixie", "debian trixie-updates", "debian-security trixie-security")
)
_TRANSIENT = "/root/transient.xml"
#: The timer's run, or the repair, may be at work just then.
_SYNC = "mthook-sync; while [ $? = 3 ]; do sleep 1; mthook-sync; done"
#: While packages are new, old, and of no use yet: does a client of a gate that is restarted just then reach libvirtd?
#: Only where that runs before and after.
_IN_BETWEEN = f"""\
exec >/dev/null 2>&1
direct() {{ timeout 20 virsh -q -c qemu:///system list; }}
while sleep 1; do
	direct || continue
	systemctl reset-failed mthook-gate.service
	systemctl restart mthook-gate.service
	state="cut off"
	for try in 1 2 3 4 5 6 7 8 9 10; do
		if timeout 20 {services.CLIENT} list; then
			state=$(systemctl is-active mthook-gate.service)
			break
		fi
		sleep 1
	done
	direct && echo "$state" >>/root/in-between
done
"""


@dataclass(frozen=True)
class Row:
    """What became of a guest.

    :ivar forecast: the outcome of its next start, or of the worst that can happen to it.
    :ivar advice: what the forecast advised, and when that was followed.
    :ivar start: of the first start after the upgrade.
    :ivar after: its machine type then.
    :ivar wrong: what mustn't be so; '' if all is well.
    """

    guest: str
    machine: str
    state: str
    forecast: str
    advice: str
    start: str
    after: str
    wrong: str


class Trial:
    """A host with guests that mthook holds, before and after.

    :ivar wrong: what is wrong apart from single guests.
    """

    def __init__(self, host: Hypervisor, way: Union[ways.Package, ways.Venv]) -> None:
        self.host = host
        self.wrong: list[str] = []
        make(host)
        self.machines = {guest.name: host.machine(guest.name) for guest in GUESTS}
        host.run(["sh", "-c", f"virsh dumpxml --migratable transient > {_TRANSIENT}"])
        way.install(host)
        host.admin("setup", "--yes")
        host.admin("setup", "--yes", "--mode", "enforce")
        host.run(["sh", "-c", way.gate])
        host.run(["systemctl", "daemon-reload"])
        host.run(["systemctl", "enable", "--now", "mthook-gate.socket"])
        services.await_clients(host)
        self.told = self._forecast()

    def _forecast(self) -> dict[str, Any]:
        """Return what the new QEMU's offer tells, guest by guest; its number has to tell it, too."""
        # A binary was asked for it; that of a host names its libvirt.
        offer = {**json.loads(_OFFER.read_text()), "libvirt_version": _LIBVIRT}
        self.host.path("/root/new.json").write_text(json.dumps(offer))
        told, by_rule = self._ask("--offer", "/root/new.json"), self._ask("--qemu", "10.0")
        self.wrong += [
            f"{name}: 'forecast --qemu 10.0' doesn't name it"
            for name, one in told.items()
            if one["breaks"] and not (one["refused"] or by_rule[name]["breaks"])
        ]
        return told

    def _ask(self, *argv: str) -> dict[str, Any]:
        command = ["mthook-admin", "forecast", *argv, "-f", "json"]
        done = self.host.run(command, check=False)
        return {one["name"]: one for one in json.loads(done.stdout)}

    def prepare(self) -> None:
        """Follow what the forecast advises, but for the guests that are to fail first."""
        for guest in GUESTS:
            if not (guest.late or guest.edited):
                self._follow(guest)

    def _follow(self, guest: Guest) -> None:
        for command in self.told[guest.name]["cures"]:
            # A guest without a system doesn't hear that it is to shut down.
            command = command.replace("virsh shutdown", "virsh destroy")
            editor = {**ENVIRONMENT, "EDITOR": f"sed -i {guest.edited}"}
            self.host.run(["sh", "-c", command], env=editor)

    def upgrade(self) -> None:
        """Do what Debian's release notes say, and restart the daemon."""
        host, keep = self.host, ("-o", "Dpkg::Options::=--force-confold")
        host.start("restarts", ["sh", "-c", _IN_BETWEEN])
        before = {guest.name: host.process(guest.name) for guest in GUESTS if guest.runs}
        shutil.rmtree(host.path("/etc/apt/sources.list.d"))
        host.path("/etc/apt/sources.list").write_text(_SOURCES)
        host.apt("update")
        for step in (("upgrade", "--without-new-pkgs"), ("full-upgrade",), ("autoremove",)):
            host.apt(*keep, *step)
        host.stop("restarts")
        host.run(["systemctl", "restart", "libvirtd"])
        self.wrong += [
            f"{name}: its process isn't what it was"
            for name, process in before.items()
            if host.process(name) != process
        ]
        self._check_between()

    def _check_between(self) -> None:
        """Whenever the gate was restarted meanwhile, its clients reached libvirtd."""
        states = self.host.path("/root/in-between").read_text().splitlines()
        counts = ", ".join(f"{state}: {states.count(state)}" for state in sorted({*states}))
        log(f"the gate, restarted over and over meanwhile: {counts}")
        if "cut off" in states:
            self.wrong.append("the gate's clients were cut off during the upgrade")

    def check_clients(self) -> None:
        """Clients of a gate that is restarted now reach libvirtd, whether or not it can start."""
        self.host.run(services.RESTART, check=False)
        services.await_clients(self.host)

    def check_gate(self) -> None:
        """It rewrites."""
        host, right = self.host, self.machines["q35"]
        host.run(["sh", "-c", f"{services.CLIENT} define /root/wrong.xml"])
        found = [one["kind"] for one in services.findings(host, "gate")]
        if (host.machine("q35", "--inactive"), found) != (right, ["ok"]):
            self.wrong.append(f"the gate doesn't rewrite, and doctor finds {found}")
        host.virsh("define", "/root/right.xml")

    def check_hook(self) -> None:
        """A start with another machine type is stopped, before anything of mthook's is done anew."""
        host, right = self.host, self.machines["q35"]
        host.run(["sh", "-c", "virsh dumpxml --inactive q35 > /root/right.xml"])
        host.run(["sh", "-c", f"sed s/{right}/pc-q35-7.1/ /root/right.xml > /root/wrong.xml"])
        host.virsh("define", "/root/wrong.xml")
        done = host.try_virsh("start", "q35")
        if done.returncode == 0 or f"is pinned to {right}" not in done.stderr:
            self.wrong.append(f"a start with another machine type isn't stopped: {done.stderr}")
            host.virsh("destroy", "q35")
        host.virsh("define", "/root/right.xml")

    def check_mthook(self) -> None:
        """Commands and catalog work with the new Python; sync and status name what can't start."""
        host, late = self.host, {guest.name for guest in GUESTS if guest.late}
        host.admin("hook", "status")
        said = host.run(["sh", "-c", _SYNC], check=False).stderr
        done = host.run(["mthook-status", "upgrade", "check", "--json"], check=False)
        (check,) = (
            one for one in json.loads(done.stdout)["checks"] if one["id"] == "pins_supported"
        )
        (finding,) = (one for one in check["findings"] if one["kind"] == "unsupported")
        named = {one["name"] for one in finding["subjects"]}
        if named != late or not all(name in said for name in late):
            self.wrong.append(f"mthook-status names {named}, mthook-sync says {said}")
        self._check_pins({guest.name: self._pinned(guest) for guest in GUESTS})

    def check_timer(self) -> None:
        """The sync that systemd runs finds all well in the end."""
        self.host.run(["systemctl", "is-active", "mthook-sync.timer"])
        self.host.run(["systemctl", "start", "mthook-sync.service"])
        self._check_pins({guest.name: self._target(guest) for guest in GUESTS})

    def _check_pins(self, wanted: dict[str, str]) -> None:
        pins = {name: self.host.admin("get", name) for name in wanted}
        self.wrong += [
            f"{name}: pinned to {pins[name]}" for name in pins if pins[name] != wanted[name]
        ]

    def _pinned(self, guest: Guest) -> str:
        return self.machines[guest.name] if guest.late else self._target(guest)

    def _target(self, guest: Guest) -> str:
        """Return what a guest is in the end: what it was, unless the operator followed advice to set another one."""
        words = " ".join(self.told[guest.name]["cures"]).split()
        return words[words.index("set") + 2] if "set" in words else self.machines[guest.name]

    def try_guest(self, guest: Guest) -> Row:
        """Start a guest, after it was stopped if it ran; where that fails, do what is advised and start it again."""
        host, wrong = self.host, ""
        if guest.runs:
            host.virsh("destroy", guest.name)
        start = ("create", _TRANSIENT) if guest.state == TRANSIENT else ("start", guest.name)
        error = host.try_virsh(*start).stderr.strip()
        if error and not self.told[guest.name]["breaks"]:
            wrong = "nothing named this failure before"
        elif bool(error) != (guest.late or bool(guest.edited)):
            wrong = "it fails though it was mended" if error else "it starts, against the forecast"
        if error:
            self._follow(guest)
            host.virsh("start", guest.name)
        after = host.machine(guest.name)
        if guest.state != TRANSIENT:
            host.virsh("destroy", guest.name)
        if after != self._target(guest):
            wrong = f"that isn't {self._target(guest)}"
        return self._row(guest, _shortened(error) or "works", after, wrong)

    def _row(self, guest: Guest, start: str, after: str, wrong: str) -> Row:
        told = self.told[guest.name]
        outcomes = [told[kind] for kind in ("start", "restore", "revert", "migration")]
        state = "snapshot" if guest.snapshot else "autostart" if guest.autostart else guest.state
        forecast = "fails" if "fails" in outcomes else told["start"]
        advice = "afterwards: " if guest.late or guest.edited else ""
        advice += "; ".join(told["cures"])
        machine = self.machines[guest.name]
        return Row(guest.name, machine, state, forecast, advice, start, after, wrong)


def run(way: Union[ways.Package, ways.Venv]) -> tuple[list[Row], list[str]]:
    """Upgrade a host; return what became of the guests, and what else is wrong."""
    host = Hypervisor("upgrade", [_root()])
    try:
        trial = Trial(host, way)
        log("Debian 12: guests are made, mthook is set up, the forecast is recorded")
        trial.prepare()
        trial.upgrade()
        python = host.run(["python3", "--version"]).stdout.strip()
        log(f"Debian 13: {python}; {host.virsh('version').splitlines()[-1]}")
        trial.check_hook()
        trial.check_clients()
        trial.wrong += way.renew(host)
        trial.check_gate()
        trial.check_mthook()
        rows = [trial.try_guest(guest) for guest in GUESTS]
        trial.check_timer()
        return rows, trial.wrong
    finally:
        host.close()


def _root() -> Path:
    return roots.debian(
        "guests-bookworm",
        "bookworm",
        [_HOST],
        f"Making Debian 12 with libvirt in {roots.cache()}, once. Nothing is installed on this machine.",
    )


def _shortened(error: str) -> str:
    """Return the last part of libvirt's message."""
    return error.splitlines()[-1].rpartition(": ")[2] if error else ""
