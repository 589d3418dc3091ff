# SPDX-License-Identifier: Apache-2.0
"""The proof of guard on a real libvirtd: a start that the hook didn't see is reported, whatever the reason."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Callable

import pytest

from tests.lab import PC, Host, guest_xml
from tests.lab.requirements import EMULATOR
from tests.lab.site import UUID, Site, fresh
from tests.libvirt import slowly

TEXTFILE = "/run/node/mthook.prom"
METRICS = f"[metrics]\ntextfile = {TEXTFILE}\n"
HOOK = "/etc/libvirt/hooks/qemu"
ELSEWHERE = "/etc/mthook/hooks"
OTHER = "3f2c1d3e-0000-4000-8000-000000000002"
#: The commands' side of a host whose libvirtd runs in a container: they see another hooks directory than it does.
OUTSIDE = (
    "unshare",
    "-m",
    "sh",
    "-c",
    f'mount --bind {ELSEWHERE} /etc/libvirt/hooks && exec "$@"',
    "sh",
)
PROGRAMS = Path(sys.executable).parent

Way = Callable[[Site], contextlib.AbstractContextManager[Sequence[str]]]


@pytest.fixture
def here(alpha: Host) -> Iterator[Site]:
    """The host with mthook just installed, which is to have figures."""
    site = fresh(alpha)
    site.configure(METRICS)
    alpha.run(["mkdir", "-p", "/run/node"])
    yield site
    alpha.run(["rm", "-rf", "/run/node"])
    alpha.remove_guests()


@contextlib.contextmanager
def wrong_directory(here: Site) -> Iterator[Sequence[str]]:
    here.node.mthook("mthook-admin", "hook", "uninstall")
    refused = here.node.mthook(
        "mthook-admin", "hook", "install", "--hooks-dir", ELSEWHERE, check=False
    )
    assert refused.returncode == 1
    assert "mount this directory there, or say --offline" in refused.stderr
    here.node.mthook("mthook-admin", "hook", "install", "--hooks-dir", ELSEWHERE, "--offline")
    yield ()


@contextlib.contextmanager
def not_reloaded(here: Site) -> Iterator[Sequence[str]]:
    hook = here.node.path(HOOK)
    away = hook.rename(hook.with_name("away"))
    here.node.daemon.reload()
    here.node.run(["sleep", "0.3"])
    away.rename(hook)
    yield ()


@contextlib.contextmanager
def container_without_mount(here: Site) -> Iterator[Sequence[str]]:
    here.node.mthook("mthook-admin", "hook", "uninstall")
    here.node.run(["mkdir", "-p", ELSEWHERE])
    here.node.run([*OUTSIDE, PROGRAMS / "mthook-admin", "hook", "install", "--offline"])
    yield OUTSIDE


@contextlib.contextmanager
def no_execute_bit(here: Site) -> Iterator[Sequence[str]]:
    here.node.path(HOOK).chmod(0o644)
    here.node.daemon.reload()
    here.node.run(["sleep", "0.3"])
    yield ()


@contextlib.contextmanager
def interpreter_gone(here: Site) -> Iterator[Sequence[str]]:
    here.node.run(["sed", "-i", r"s#\bpython=/.*#python=/gone#", HOOK])
    yield ()


@contextlib.contextmanager
def mode_off(here: Site) -> Iterator[Sequence[str]]:
    here.configure(f"[hook]\nmode = off\n{METRICS}")
    yield ()


@contextlib.contextmanager
def denied(here: Site) -> Iterator[Sequence[str]]:
    python = os.path.realpath(sys.executable)
    here.node.run(["mount", "--bind", python, python])
    here.node.run(["mount", "-o", "remount,bind,noexec", python])
    try:
        here.node.boot("db-1", PC, uuid=OTHER)
    finally:
        here.node.run(["umount", python])
    yield ()


@pytest.mark.parametrize(
    ("way", "says"),
    [
        (wrong_directory, "not installed"),
        (not_reloaded, f"Guests started unguarded: 1 guest (db-1 ({OTHER}): "),
        (container_without_mount, "not in the directory that libvirtd (pid "),
        (no_execute_bit, "not executable"),
        (interpreter_gone, f"Guests started unguarded: 1 guest (db-1 ({OTHER}): "),
        (mode_off, "[hook] mode = off: every guest starts unguarded."),
        (denied, f"Guests started unguarded: 1 guest (db-1 ({OTHER}): "),
    ],
)
def test_a_guard_that_is_off_is_reported(here: Site, way: Way, says: str) -> None:
    """By the next sync, by status and by the figures; no guest is harmed."""
    with way(here) as prefix:
        if not here.node.virsh("list", "--name").stdout.split():
            here.node.boot("db-1", PC, uuid=OTHER)
        synced = here.node.run([*prefix, PROGRAMS / "mthook-sync"], check=False)
        status = here.node.run(
            [*prefix, PROGRAMS / "mthook-status", "upgrade", "check", "--json"], check=False
        )

    assert synced.returncode == 1
    assert f"db-1 ({OTHER}): started unguarded at 20" in synced.stderr
    figures = here.node.path(TEXTFILE).read_text()
    assert "\nmthook_guard_proven 0.0\n" in figures
    assert "\nmthook_unguarded_guests 1.0\n" in figures
    assert "\nmthook_unguarded_starts_total 1.0\n" in figures
    found = {one["id"]: one["details"] for one in json.loads(status.stdout)["checks"]}
    assert says in f"{found['hook']} {found['hook_called']}"
    assert (here.node.state("db-1"), here.node.machine("db-1")) == ("running", PC)


def test_a_hook_that_libvirt_may_not_run_is_reported_though_no_guest_starts(here: Site) -> None:
    """libvirtd has found it, then is denied it: it stops each start, so there is never an unguarded guest."""
    here.node.define(guest_xml("db-1", OTHER, PC))
    here.node.run(["mount", "--bind", HOOK, HOOK])
    here.node.run(["mount", "-o", "remount,bind,noexec", HOOK])
    try:
        refused = here.node.virsh("start", "--domain", "db-1", check=False)
        synced = here.node.mthook("mthook-sync", check=False)
        status = here.node.mthook("mthook-status", "upgrade", "check", "--json", check=False)
    finally:
        here.node.run(["umount", HOOK])

    assert "cannot execute binary" in refused.stderr
    assert (synced.returncode, synced.stderr) == (
        1,
        f"mthook-sync: {HOOK}: nobody may run it where it is, so guests don't start: mount its file system"
        " without noexec\n",
    )
    assert "\nmthook_guard_proven 0.0\n" in here.node.path(TEXTFILE).read_text()
    (found,) = [
        one
        for check in json.loads(status.stdout)["checks"]
        for one in check["findings"]
        if check["id"] == "hook"
    ]
    assert (found["severity"], found["facts"]["problem"]) == ("failure", "refused")
    assert here.start("db-1") == ""
    assert here.node.mthook("mthook-sync").stderr == ""


def test_each_start_is_reported_once_and_a_later_one_proves_the_guard_again(here: Site) -> None:
    """Starts by the shortest way through the hook too; also 'list' and the history tell."""
    here.node.boot("web-1", PC, uuid=UUID)
    here.node.virsh("destroy", "web-1")
    here.node.virsh("start", "--domain", "web-1")  # its prepare leaves nothing to do
    assert here.node.mthook("mthook-sync").stderr == ""
    hook = here.node.path(HOOK)
    hook.chmod(0o644)
    here.node.daemon.reload()
    here.node.boot("db-1", PC, uuid=OTHER)

    first, second = (here.node.mthook("mthook-sync", check=False) for _ in range(2))

    assert first.stderr.count("started unguarded") == 1
    assert (second.returncode, second.stderr) == (0, "")
    listed = here.node.mthook("mthook-admin", "list", "-f", "value")
    assert listed.stderr == "guests started unguarded: 1 (db-1)\n"
    assert ["unguarded", PC, PC] in here.events(OTHER)
    hook.chmod(0o755)
    here.node.daemon.reload()
    here.node.virsh("destroy", "web-1")
    here.node.virsh("start", "--domain", "web-1")
    status = here.node.mthook("mthook-admin", "hook", "status", "-f", "value", "-c", "Called")
    assert (status.stdout, status.stderr) == ("True\n", "")
    here.node.daemon.stop()
    here.node.daemon.start()  # it calls the hook for each guest that runs
    assert here.node.mthook("mthook-admin", "list", "-f", "value").stderr == ""


def test_a_pid_file_of_a_guest_that_crashed_tells_no_start(here: Site) -> None:
    """Its number is another process's by now, which was started later than the hook was installed."""
    here.node.boot("web-1", PC, uuid=UUID)
    here.node.virsh("destroy", "web-1")
    here.node.mthook("mthook-sync")
    here.node.daemon.stop()
    here.node.daemon.start()
    left = here.node.path("/run/libvirt/qemu/web-1.pid")
    left.write_text(here.node.run(["pidof", "-s", "libvirtd"]).stdout)

    listed, synced = (
        here.node.mthook("mthook-admin", "list", "-f", "value"),
        here.node.mthook("mthook-sync"),
    )

    left.unlink()
    assert (listed.stderr, synced.stderr) == ("", "")


def slow_guest(node: Host) -> Callable[[], object]:
    """Define a guest whose QEMU takes its time, and return what starts it."""
    slowly.provide(node)
    node.define(guest_xml("db-1", OTHER, PC).replace(EMULATOR, slowly.SLOW))
    return lambda: node.virsh("start", "--domain", "db-1")


@pytest.mark.parametrize("saved", [False, True])
def test_a_start_under_way_is_no_unguarded_one(here: Site, saved: bool) -> None:
    """Neither a cold one nor one from a saved image."""
    start = slow_guest(here.node)
    if saved:
        start()
        here.node.virsh("managedsave", "db-1")

    with slowly.under_way(here.node, start):
        early = here.node.mthook("mthook-sync")

    assert (early.stderr, here.node.mthook("mthook-sync").stderr) == ("", "")


def test_a_start_is_under_way_until_the_hook_has_answered(here: Site) -> None:
    """Though libvirt's word for the guest is 'running' by then."""
    hook = here.node.path(HOOK)
    waiting = f'if [ "$2" = started ]; then {slowly.WAIT}; fi\ncase $2 in\n'
    hook.write_text(hook.read_text().replace("case $2 in\n", waiting, 1))
    start = partial(here.node.boot, "db-1", PC, uuid=OTHER)

    with slowly.under_way(here.node, start):
        status = here.node.path("/run/libvirt/qemu/db-1.xml").read_text()
        said = here.node.mthook("mthook-admin", "hook", "status", check=False).stderr

    assert "<domstatus state='running'" in status
    assert "unguarded" not in said
    assert here.node.mthook("mthook-sync").stderr == ""


def test_a_slow_start_without_the_hook_is_told_once_it_is_over(here: Site) -> None:
    """Nobody knows before."""
    start = slow_guest(here.node)
    with no_execute_bit(here), slowly.under_way(here.node, start):
        early = here.node.mthook("mthook-sync")

    late = here.node.mthook("mthook-sync", check=False)

    assert early.stderr == ""
    assert f"db-1 ({OTHER}): started unguarded at 20" in late.stderr
