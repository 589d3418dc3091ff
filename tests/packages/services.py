# SPDX-License-Identifier: Apache-2.0
"""The services under a real systemd: the gate that hangs or doesn't start, and what answers hooks in containers."""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mthook.nova import tables
from mthook.nova.instance import MACHINE_KEY
from tests.lab import MariaDB
from tests.lab.hypervisor import Hypervisor
from tests.lab.processes import wait_until
from tests.lab.table import log
from tests.packages import building

#: A client of the gate.
CLIENT = "virsh -q -c 'qemu:///system?socket=/run/mthook/libvirt-sock'"
_READER = "virsh -q -r -c 'qemu:///system?socket=/run/mthook/libvirt-sock-ro' list"
RESTART = ["systemctl", "restart", "mthook-gate.service"]
_GATE, CONFIG, _HOOK = "mthook-gate.service", "/etc/mthook/mthook.conf", "/root/qemu"
_NOVA_CONF, _NOBODY = "/etc/nova/nova.conf", 65534
_HOOK_STATUS = ["hook", "status", "-f", "value", "-c"]
_PACKAGES = "/usr/lib/python3/dist-packages"
_GUIDE = Path(__file__).parents[2] / "docs" / "security.rst"
_NOVA = (
    '<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">'
    '<nova:root type="image" uuid="5d9a1c5e-0000-4000-8000-00000000abcd"/></nova:instance></metadata>'
)


class Wrong(Exception):
    """Something did what it mustn't: one sentence."""


def pid(host: Hypervisor, service: str) -> str:
    """Return the id of a service's main process; '0': it doesn't run."""
    return host.run(["systemctl", "show", "--property=MainPID", "--value", service]).stdout.strip()


def _reaches_libvirtd(host: Hypervisor) -> bool:
    return host.run(["sh", "-c", f"{CLIENT} list"], check=False, timeout=150).returncode == 0


def await_clients(host: Hypervisor) -> None:
    """Wait until the gate's clients reach libvirtd, be it through the gate or past it."""
    said = lambda: host.run(["journalctl", "-n", "50"]).stdout  # noqa: E731
    wait_until("the gate's clients don't reach libvirtd", lambda: _reaches_libvirtd(host), said)


def await_log(host: Hypervisor, name: str, text: str) -> None:
    """Wait until an error is logged."""
    said = lambda: host.run(["journalctl", "-t", name, "-p", "err", "-o", "cat"]).stdout  # noqa: E731
    wait_until(f"the log of {name} lacks {text!r}", lambda: text in said(), said)


def findings(host: Hypervisor, check: str) -> list[Mapping[str, Any]]:
    """Return what a check of the doctor's finds."""
    said = host.run(["mthook-admin", "doctor", "-f", "json"], check=False).stdout
    return next(one["findings"] for one in json.loads(said)["checks"] if one["id"] == check)


def bypass(host: Hypervisor) -> None:
    """The clients of a gate that doesn't start reach libvirtd, and everybody says so, until it starts again."""
    host.run(["systemctl", "stop", _GATE])
    host.run(["systemctl", "enable", "--now", "mthook-gate-ro.socket"])
    host.run(["chmod", "-x", "/usr/sbin/mthook-gate"])
    host.run(RESTART, check=False)
    await_clients(host)
    host.run(["sh", "-c", _READER])
    await_log(
        host, "mthook-gate", "the gate doesn't start: its clients reach /run/libvirt/libvirt-sock"
    )
    found = [one["kind"] for one in findings(host, "gate")]
    said = host.run(["mthook-sync"], check=False).stderr
    if found != ["bypassed"] or "what they define passes unjudged" not in said:
        raise Wrong(f"doctor finds {found}, mthook-sync says {said}")
    host.run(["chmod", "+x", "/usr/sbin/mthook-gate"])
    host.run(RESTART)
    await_clients(host)
    host.run(["sh", "-c", _READER])
    found = [one["kind"] for one in findings(host, "gate")]
    if found != ["ok"] or pid(host, _GATE) == "0":
        raise Wrong(f"the gate is mended, and doctor finds {found}")


def deny(host: Hypervisor) -> None:
    """With [hook] on_error = deny they reach nothing, rather than a libvirtd that takes what nobody has judged."""
    config = host.path(CONFIG).read_text()
    host.path(CONFIG).write_text(config.replace("[hook]\n", "[hook]\non_error = deny\n"))
    host.run(["chmod", "-x", "/usr/sbin/mthook-gate"])
    host.run(RESTART, check=False)
    await_log(host, "mthook-gate", "[hook] on_error = deny: its clients reach nothing")
    if _reaches_libvirtd(host):
        raise Wrong("with on_error = deny clients get past the gate")
    host.path(CONFIG).write_text(config)
    host.run(["chmod", "+x", "/usr/sbin/mthook-gate"])
    host.run(RESTART)
    await_clients(host)


def hang(host: Hypervisor) -> None:
    """systemd ends a gate that hangs, and starts another one; clients connect again."""
    shorter = host.path("/etc/systemd/system/mthook-gate.service.d/shorter.conf")
    shorter.parent.mkdir()
    shorter.write_text("[Service]\nWatchdogSec=10\n")
    host.run(["systemctl", "daemon-reload"])
    host.run(RESTART)
    before = pid(host, _GATE)
    host.run(["kill", "-STOP", before])
    wait_until("the watchdog lets it hang", lambda: pid(host, _GATE) not in (before, "0"), str)
    await_clients(host)
    shutil.rmtree(shorter.parent)


def renew_hook(host: Hypervisor) -> None:
    """With the package's next version a hook of another version becomes the package's, with the files that it has."""
    path = host.admin(*_HOOK_STATUS, "Hook")
    before = host.path(path).read_text()
    host.path(path).write_text(f"{before}# of another version\n")
    _expect_current(host, "False")
    host.apt("install", f"/root/debs/mthook_{building.NEXT}_all.deb")
    _expect_current(host, "True")
    host.admin("hook", "status")
    if host.path(path).read_text() != before or host.path(path).stat().st_mode & 0o777 != 0o755:
        raise Wrong(f"{path} isn't what it was before somebody changed it")


def _expect_current(host: Hypervisor, wanted: str) -> None:
    said = host.run(["mthook-admin", *_HOOK_STATUS, "Current"], check=False).stdout.strip()
    if said != wanted:
        raise Wrong(f"the hook is current: {said}")


def lose_python(host: Hypervisor) -> None:
    """Where no program of mthook's runs, the journal says so; with a new Python the gate starts again."""
    host.run(["mv", f"{_PACKAGES}/mthook", "/root/"])
    host.run(["systemctl", "start", "mthook-sync.service"], check=False)
    await_log(host, "mthook", "mthook's programs don't run")
    host.run(["mv", "/root/mthook", f"{_PACKAGES}/"])
    before = host.run(["journalctl", "-t", "mthook"]).stdout.count("programs don't run")
    host.run(["systemctl", "start", "mthook-failure.service"])
    if host.run(["journalctl", "-t", "mthook"]).stdout.count("programs don't run") != before:
        raise Wrong("a program that runs is said not to")
    before = pid(host, _GATE)
    host.run(["dpkg-trigger", "--by-package=python3", "/usr/bin/python3"])
    host.run(["dpkg", "--triggers-only", "--pending"])
    if pid(host, _GATE) in (before, "0"):
        raise Wrong("the gate isn't restarted with the new Python")


def answer_hooks(host: Hypervisor) -> None:
    """The first call of a hook in a container starts mthook-hookd, which may read what it has to."""
    host.run(["systemctl", "enable", "--now", "mthook-hookd.socket"])
    host.run(["sh", "-c", f"mthook-admin hook render >{_HOOK}"])
    if pid(host, "mthook-hookd.service") != "0":
        raise Wrong("mthook-hookd runs although nobody has asked")
    right = host.virsh("dumpxml", "off")
    wrong = right.replace("pc-q35-5.2", "pc-q35-5.1")
    _expect(host, right, stopped=False)
    _expect(host, wrong, stopped=True)
    host.run(["kill", "-KILL", pid(host, "mthook-hookd.service")])
    _expect(host, wrong, stopped=True)
    # All that isn't Python's own, as after an upgrade of Python.
    host.run(
        ["mv", f"{_PACKAGES}/oslo_config", f"{_PACKAGES}/cliff", f"{_PACKAGES}/lxml", "/root/"]
    )
    host.run(["systemctl", "restart", "mthook-hookd.service"])
    _expect(host, wrong, stopped=True)
    host.run(["sh", "-c", f"mv /root/oslo_config /root/cliff /root/lxml {_PACKAGES}/"])
    with MariaDB() as mariadb:
        _ask_nova(host, mariadb, wrong)


def _expect(host: Hypervisor, xml: str, *, stopped: bool) -> str:
    """Call the hook as libvirtd does before a start; return what libvirtd's client is told."""
    done = host.run(["sh", _HOOK, "off", "prepare", "begin", "-"], check=False, input=xml)
    if done.returncode != stopped or stopped != ("is pinned to pc-q35-5.2" in done.stderr):
        raise Wrong(f"a hook in a container ends with {done.returncode}: {done.stderr}")
    return done.stderr


def _ask_nova(host: Hypervisor, mariadb: MariaDB, wrong: str) -> None:
    """mthook-hookd asks Nova's database over the network, and says what only that can tell."""
    mariadb.create("nova")
    record(mariadb.url("nova"), host)
    config = host.path(CONFIG).read_text()
    host.path(CONFIG).write_text(f"{config}\n[database]\nconnection = {mariadb.url('nova')}\n")
    told = _expect(host, re.sub("<metadata>.*?</metadata>", _NOVA, wrong, flags=re.S), stopped=True)
    host.path(CONFIG).write_text(config)
    if "openstack server" not in told:
        raise Wrong(f"mthook-hookd hasn't asked Nova's database: {told}")


def record(url: str, host: Hypervisor) -> None:
    """Have Nova's tables, as far as mthook reads them, with one instance that is being started."""
    engine = sa.create_engine(url)
    name, uuid = host.run(["uname", "-n"]).stdout.strip(), host.virsh("domuuid", "off")
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    instance = {"uuid": uuid, "display_name": "off", "host": name, "node": name, "deleted": 0}
    instance.update(vm_state="stopped", task_state="powering-on", updated_at=now, image_ref="")
    row = {"id": 1, "instance_uuid": uuid, "key": MACHINE_KEY, "value": "pc-q35-5.2"}
    with engine.begin() as connection:
        tables.CELL.create_all(connection)
        connection.execute(tables.INSTANCES.insert(), instance)
        connection.execute(tables.PROPERTIES.insert(), {**row, "created_at": now, "deleted": 0})
    engine.dispose()


def read_novas(host: Hypervisor) -> None:
    """Every service reads a nova.conf that is nova's alone."""
    nova = host.path(_NOVA_CONF)
    nova.parent.mkdir(0o750)
    nova.write_text("[libvirt]\nhw_machine_type = x86_64=pc-q35-5.2\n")
    nova.chmod(0o640)
    for path in (nova.parent, nova):
        os.chown(path, _NOBODY, _NOBODY)
    setup = [
        "mthook-admin",
        "setup",
        "--yes",
        "--config-file",
        _NOVA_CONF,
        "--config-file",
        CONFIG,
    ]
    host.run(setup)
    drop_in = host.path("/etc/systemd/system/mthook-hookd.service.d/nova.conf")
    drop_in.parent.mkdir()
    drop_in.write_text(f"[Service]\nEnvironment=CONFIG={_NOVA_CONF}:{CONFIG}\n")
    host.run(["systemctl", "daemon-reload"])
    for unit in ("mthook-sync.service", "mthook-repair.service", "mthook-hookd.service", _GATE):
        host.run(["systemctl", "restart", unit], check=False)
    host.run(["sh", "-c", f"{CLIENT} list"])
    _expect(host, host.virsh("dumpxml", "off"), stopped=False)
    denied = host.run(["journalctl", "-o", "cat", "--grep", _NOVA_CONF], check=False).stdout
    found = [one["kind"] for one in findings(host, "gate")]
    if pid(host, _GATE) == "0" or found != ["ok"] or denied:
        raise Wrong(f"doctor finds {found} of the gate, and the journal has {denied}")
    shutil.rmtree(drop_in.parent)
    shutil.rmtree(nova.parent)


def harden(host: Hypervisor) -> None:
    """What systemd says of the services; those of Debian 12 are the guide's."""
    units = host.run(["sh", "-c", "cd /usr/lib/systemd/system; ls mthook-*.service"])
    told = dict(re.findall(r"``mthook-(\S+)\.service``\s+(\d\.\d)", _GUIDE.read_text()))
    said = host.run(["systemd-analyze", "--no-pager", "security", *units.stdout.split()]).stdout
    found = dict(re.findall(r"Overall exposure level for mthook-(\S+)\.service: (\d\.\d)", said))
    log(", ".join(f"mthook-{name} {figure}" for name, figure in found.items()))
    if 'VERSION_ID="12"' in host.path("/etc/os-release").read_text() and found != told:
        raise Wrong(f"the guide has {told}, systemd says {found}")
