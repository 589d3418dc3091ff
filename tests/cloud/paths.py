# SPDX-License-Identifier: Apache-2.0
"""What Nova can do to a server, each a path of its own.

A path is a generator: what it does before ``yield`` happens while the default is what it was when the server was made,
what it does afterwards under the new default. What is measured begins at the ``yield``, or at :meth:`Server.mark`.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable, Optional

from tests.cloud.api import ApiError
from tests.cloud.servers import Server, Stuck
from tests.cloud.setups import SetUp
from tests.lab.requirements import LabError

#: What an operator sets: no default of any set-up, of the family that every server has first.
CHOSEN = "pc-i440fx-7.1"
#: HTTP's for what can't be done to a server as it is.
_CONFLICT = 409


class Stage(enum.Enum):
    """When the second part of a path runs."""

    OLD = "with the old default"
    NEW = "with the new default"
    ALONE = "after all others, for it disturbs them"
    FRESH = "seconds after the spawn, with another default on each host"


class Outcome(enum.Enum):
    """What a path may do to the machine type."""

    KEPT = "kept"
    DEFAULT = "the new default: a rebuild gives the old machine type up"
    CHOSEN = "what the operator chose"


@dataclass(frozen=True)
class Path:
    """A path and what is right about it.

    :param record: what Nova's record must be at the end, where that says more than the outcome.
    :param synced: whether a sync has seen the server before the default changes.
    :param with_mthook: whether it needs mthook's commands.
    :param erased: whether Nova forgets in both its databases what the machine type was: a host without them can't
        tell it then.
    :param stopped: whether the hook is to stop a start: neither Nova nor a gate is to have made that right.
    """

    name: str
    run: Callable[[Server], Iterator[None]]
    outcome: Outcome = Outcome.KEPT
    stage: Stage = Stage.NEW
    record: Optional[str] = None
    synced: bool = True
    with_mthook: bool = False
    erased: bool = False
    stopped: bool = False

    def is_for(self, set_up: SetUp) -> bool:
        """Tell whether it is for a set-up."""
        if self.stopped:
            return set_up.database and not set_up.gate
        return set_up.mthook or not self.with_mthook


PATHS: list[Path] = []

_Run = Callable[[Server], Iterator[None]]


def path(name: str, **about: object) -> Callable[[_Run], _Run]:
    """Add a function to the paths."""

    def add(run: _Run) -> _Run:
        PATHS.append(Path(name, run, **about))  # type: ignore[arg-type]
        return run

    return add


@path("soft reboot")
def soft_reboot(server: Server) -> Iterator[None]:
    yield
    server.act("reboot", {"type": "SOFT"})
    server.wait()


@path("restart of nova-compute after a sync, hard reboot")
def restart_synced(server: Server) -> Iterator[None]:
    yield
    server.hard_reboot()


@path("stop, start")
def stop_start(server: Server) -> Iterator[None]:
    yield
    server.stop()
    server.start()


@path("pause, unpause")
def pause(server: Server) -> Iterator[None]:
    yield
    server.act("pause")
    server.wait("paused")
    server.act("unpause")
    server.wait()


@path("suspend, resume")
def suspend(server: Server) -> Iterator[None]:
    yield
    server.act("suspend")
    server.wait("suspended")
    server.act("resume")
    server.wait()


@path("shelve, unshelve")
def shelve(server: Server) -> Iterator[None]:
    server.shelve(offload=False)
    yield
    server.unshelve()


@path("shelve, offload, unshelve")
def shelve_offload(server: Server) -> Iterator[None]:
    server.shelve(offload=True)
    yield
    server.unshelve()


@path("unshelve from an image without type")
def unshelve_without_type(server: Server) -> Iterator[None]:
    server.shelve(offload=True)
    server.forget_type_of_image()
    server.await_cloud_run()
    yield
    server.unshelve()


@path("cold migration, confirm")
def cold_migration(server: Server) -> Iterator[None]:
    yield
    server.cold_migrate()
    server.confirm()


@path("cold migration, revert")
def cold_migration_revert(server: Server) -> Iterator[None]:
    yield
    server.cold_migrate()
    server.revert()


@path("resize, confirm")
def resize(server: Server) -> Iterator[None]:
    yield
    server.resize(server.cloud.other(server.host))
    server.confirm()


@path("resize, revert")
def resize_revert(server: Server) -> Iterator[None]:
    yield
    server.resize(server.cloud.other(server.host))
    server.revert()


@path("stop, resize on the same host, confirm, start")
def resize_stopped(server: Server) -> Iterator[None]:
    yield
    server.stop()
    server.resize(server.host)
    server.confirm("stopped")
    server.start()


@path("live block migration, hard reboot")
def live_migration(server: Server) -> Iterator[None]:
    yield
    server.live_migrate()
    server.hard_reboot()


@path("evacuation, return of the old host", stage=Stage.ALONE)
def evacuation(server: Server) -> Iterator[None]:
    yield
    cloud, old = server.cloud, server.cloud.hosts[server.host]
    old.stop_compute(signal.SIGKILL)
    old.virsh("destroy", "--domain", server.uuid)
    cloud.force_down(old.name, True)
    try:
        server.act("evacuate", {"host": cloud.other(old.name)})
        server.wait()
    finally:
        cloud.bring_back(old)


@path("rescue, unrescue, hard reboot")
def rescue(server: Server) -> Iterator[None]:
    yield
    _rescue(server)
    server.hard_reboot()


def _rescue(server: Server) -> None:
    """Rescue a server, which may run as anything then, and end that."""
    image = {"rescue_image_ref": server.cloud.images["rescue"]}
    server.act("rescue", image)
    server.wait("rescued")
    server.mark()
    server.await_push()
    server.act("unrescue")
    server.wait()


@path("snapshot, hard reboot")
def snapshot(server: Server) -> Iterator[None]:
    yield
    server.act("createImage", {"name": f"{server.name}-snapshot"})
    server.wait()
    server.hard_reboot()


@path("restart of nova-compute before any sync, hard reboot", synced=False)
def restart_unsynced(server: Server) -> Iterator[None]:
    yield
    server.hard_reboot()


@path("record lost, hard reboot")
def lost(server: Server) -> Iterator[None]:
    yield
    server.cloud.records.lose_machine_type(server.uuid)
    server.await_sync()
    server.hard_reboot()


@path("record lost, restart of nova-compute, live migration, hard reboot")
def lost_restart(server: Server) -> Iterator[None]:
    server.cloud.records.lose_machine_type(server.uuid)
    yield
    server.live_migrate()
    server.hard_reboot()


@path("rebuild", outcome=Outcome.DEFAULT)
def rebuild(server: Server) -> Iterator[None]:
    yield
    server.rebuild("second")


@path("refused rebuild, state reset, hard reboot", erased=True)
def refused_rebuild(server: Server) -> Iterator[None]:
    yield
    try:
        server.rebuild("nowhere")
    except Stuck:
        server.act("os-resetState", {"state": "active"})
    else:
        raise LabError("Nova rebuilt it from an image that no host can have.")
    server.await_sync()
    server.hard_reboot()


@path("nova-manage update_machine_type, start", outcome=Outcome.CHOSEN)
def update_machine_type(server: Server) -> Iterator[None]:
    yield
    server.stop()
    _nova_manage(server, "libvirt", "update_machine_type", server.uuid, CHOSEN, "--force")
    server.carry()
    server.start()


@path("nova-manage image_property set, start", outcome=Outcome.CHOSEN)
def image_property(server: Server) -> Iterator[None]:
    yield
    server.stop()
    value = f"hw_machine_type={CHOSEN}"
    _nova_manage(server, "image_property", "set", server.uuid, "--property", value)
    server.carry()
    server.start()


def _nova_manage(server: Server, *argv: str) -> None:
    done = server.cloud.controller.nova_manage(*argv)
    if done.returncode:
        raise LabError(f"nova-manage {argv[1]}: {done.returncode} {done.stdout}{done.stderr}")


@path(
    "mthook-admin set, start, cold migration",
    outcome=Outcome.CHOSEN,
    stage=Stage.OLD,
    with_mthook=True,
)
def admin_set(server: Server) -> Iterator[None]:
    server.stop()
    _mthook_admin(server, "set", server.uuid, CHOSEN, "--force")
    yield
    server.start()
    server.await_watch()
    server.cold_migrate()
    server.confirm()


@path(
    "mthook-admin freeze, cold migration",
    stage=Stage.OLD,
    record="pc-i440fx-7.2",
    with_mthook=True,
)
def admin_freeze(server: Server) -> Iterator[None]:
    if server.set_up.database:
        _mthook_admin(server, "freeze", server.uuid)
    else:  # the controller doesn't know what the guest runs
        _mthook_admin(server, "set", server.uuid, server.starts()[0].machine, "--force")
    yield
    server.await_watch()
    server.cold_migrate()
    server.confirm()


def _mthook_admin(server: Server, *argv: str) -> None:
    """Run mthook-admin where it has the database of the instance's cell, on its host if that can be."""
    if server.set_up.database:
        server.cloud.hosts[server.host].mthook("mthook-admin", *argv)
    else:
        server.cloud.controller.run(["mthook-admin", *argv])
        server.carry()


@path("seconds after the spawn: hard reboot", stage=Stage.FRESH)
def fresh_reboot(server: Server) -> Iterator[None]:
    server.hard_reboot()
    yield


@path("seconds after the spawn: resize, confirm", stage=Stage.FRESH)
def fresh_resize(server: Server) -> Iterator[None]:
    server.await_watch()
    server.resize(server.cloud.other(server.host))
    server.confirm()
    yield


@path("seconds after the spawn: resize, revert", stage=Stage.FRESH)
def fresh_revert(server: Server) -> Iterator[None]:
    server.await_watch()
    server.resize(server.cloud.other(server.host))
    server.revert()
    yield


@path("seconds after the spawn: cold migration, confirm", stage=Stage.FRESH)
def fresh_migration(server: Server) -> Iterator[None]:
    server.await_watch()
    server.cold_migrate()
    server.confirm()
    yield


@path("seconds after the spawn: live migration, hard reboot", stage=Stage.FRESH)
def fresh_live_migration(server: Server) -> Iterator[None]:
    server.live_migrate()
    server.hard_reboot()
    yield


@path("seconds after the spawn: rescue, unrescue, hard reboot", stage=Stage.FRESH)
def fresh_rescue(server: Server) -> Iterator[None]:
    _rescue(server)
    server.hard_reboot()
    yield


@path("stopped at a hard reboot, the way back", stopped=True)
def stopped_reboot(server: Server) -> Iterator[None]:
    yield
    server.cloud.records.lose_machine_type(server.uuid)
    server.come_back(server.hard_reboot)


@path("stopped at a start, the way back", stopped=True)
def stopped_start(server: Server) -> Iterator[None]:
    yield
    server.stop()
    server.cloud.records.lose_machine_type(server.uuid)
    server.come_back(server.start)


@path("stopped at a cold migration, the way back", stopped=True)
def stopped_migration(server: Server) -> Iterator[None]:
    yield
    server.cloud.records.forget_request(server.uuid)
    server.come_back(server.cold_migrate)
    for act in (server.confirm, server.revert):
        _is_refused(act)


def _is_refused(act: Callable[[], None]) -> None:
    try:
        act()
    except ApiError as error:
        if error.status == _CONFLICT:
            return
        raise
    raise LabError("Nova did what it can't.")


@path("stopped at a revert, the way back", stopped=True)
def stopped_revert(server: Server) -> Iterator[None]:
    yield
    server.cold_migrate()
    server.cloud.records.lose_machine_type(server.uuid)
    server.come_back(server.revert)


@path("stopped at an unshelving, the way back", stopped=True)
def stopped_unshelve(server: Server) -> Iterator[None]:
    server.shelve(offload=True)
    yield
    server.forget_type_of_image()
    server.come_back(server.unshelve)
