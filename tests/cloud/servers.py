# SPDX-License-Identifier: Apache-2.0
"""A server: what is done to it, and what came of it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Callable

from tests.cloud.cloud import BIGGER, SMALL, Cloud
from tests.cloud.hosts import Start
from tests.cloud.records import Instance
from tests.cloud.setups import SetUp, versioned
from tests.lab.processes import wait_until
from tests.lab.requirements import LabError

_SECONDS = 180
_POLL = 0.3
# What the hook's message says of an instance whose start it stopped.
_WAY_BACK = re.compile(
    r"(?:'openstack image set (?P<image>[^']+)' gives its shelved image the pin, then )?"
    r"'openstack server (?P<command>[a-z -]+) [0-9a-f-]{36}'"
)
_PROPERTY = re.compile(r"--property (\w+)=(\S+)")
_TYPE = "/hw_machine_type"
#: Nova's vm_state and what its API calls it.
STATES = {
    "active": "ACTIVE",
    "building": "BUILD",
    "paused": "PAUSED",
    "suspended": "SUSPENDED",
    "stopped": "SHUTOFF",
    "rescued": "RESCUE",
    "resized": "VERIFY_RESIZE",
    "shelved": "SHELVED",
    "shelved_offloaded": "SHELVED_OFFLOADED",
    "error": "ERROR",
}


class Stuck(LabError):
    """A server didn't become what it was to become."""


class Server:
    """An instance of Nova's, from its creation on.

    :ivar waited: what mthook had done by the time that it mattered, where the set-up needs that; '' for nothing.
    """

    def __init__(self, cloud: Cloud, set_up: SetUp, name: str, host: str) -> None:
        """Ask for it, on that host, without a network."""
        self.cloud = cloud
        self.set_up = set_up
        self.name = name
        asked = {
            "name": name,
            "imageRef": cloud.images["first"],
            "flavorRef": SMALL,
            "networks": "none",
            "host": host,
        }
        self.uuid: str = cloud.api.nova("POST", "/servers", {"server": asked})["server"]["id"]
        self.marked = 0
        self.waited = ""

    @property
    def instance(self) -> Instance:
        """What Nova's database says about it."""
        found = self.cloud.records.instance(self.uuid)
        if found is None:
            raise Stuck("deleted")
        return found

    @property
    def host(self) -> str:
        """The host it is on."""
        host = self.instance.host
        if host is None:
            raise Stuck("on no host")
        return host

    @property
    def state(self) -> str:
        """Its status, and what Nova is doing to it, if anything."""
        instance = self.instance
        status = STATES.get(instance.vm_state, instance.vm_state)
        return f"{status} {instance.task_state}" if instance.task_state else status

    def act(self, action: str, arguments: Any = None, **more: Any) -> None:
        """Ask for an action."""
        self.cloud.api.nova("POST", f"/servers/{self.uuid}/action", {action: arguments}, **more)

    def wait(self, vm_state: str = "active") -> None:
        """Wait until Nova is done and the server in a state.

        :raises Stuck: it ended in ERROR, or Nova takes too long.
        """
        deadline = time.monotonic() + _SECONDS
        while True:
            instance = self.cloud.records.instance(self.uuid)
            # A new one isn't there before it has a host.
            if instance and instance.task_state is None:
                if instance.vm_state == vm_state:
                    return
                failed = self.cloud.records.failed_action(self.uuid)
                if instance.vm_state == "error" or failed:
                    raise Stuck(f"{failed or 'what was done'} failed")
            if time.monotonic() > deadline:
                raise Stuck(f"not {vm_state} within {_SECONDS} s")
            time.sleep(_POLL)

    def mark(self) -> None:
        """Let what is measured begin here: starts until now aren't looked at."""
        self.marked = len(self.starts())

    def starts(self) -> list[Start]:
        """Return all its starts on all hosts, the first one first."""
        domain = f"instance-{self.instance.id:08x}"
        hosts = self.cloud.hosts.values()
        return sorted(start for host in hosts for start in host.starts(domain))

    def delete(self) -> None:
        """Ask for its end."""
        self.cloud.api.nova("DELETE", f"/servers/{self.uuid}")

    def await_end(self) -> None:
        """Wait until Nova has deleted it."""
        records = self.cloud.records
        wait_until(
            f"Nova doesn't delete {self.name}",
            lambda: records.instance(self.uuid) is None,
            lambda: self.state,
        )

    # What mthook does by itself a while later, where a compute host can't know better by itself.

    def await_watch(self) -> None:
        """Wait until the controller's watch has written the request spec."""
        if not self.set_up.knows_at_once:
            self.waited = "after the watch"
            records = self.cloud.records
            wait_until(
                f"the watch doesn't see {self.name}",
                lambda: records.requested(self.uuid) == records.machine_type(self.uuid),
                lambda: self.state,
            )

    def await_push(self) -> None:
        """Wait until the push of its host, or the watch, has put right what is recorded; the gate needs no record."""
        if not self.set_up.knows_at_once and not self.set_up.gate:
            self.waited = "after the push"
            right = self.starts()[0].machine
            wait_until(
                f"what is recorded for {self.name} isn't put right",
                lambda: versioned(self.cloud.records.machine_type(self.uuid)) == right,
                lambda: self.state,
            )

    def await_cloud_run(self) -> None:
        """Let the controller's timer run."""
        if not self.set_up.knows_at_once:
            self.waited = "after the cloud run"
            self.cloud.controller.sync()

    def await_sync(self) -> None:
        """Let the timer of its host run; the gate needs no record."""
        if not self.set_up.knows_at_once and not self.set_up.gate:
            self.waited = "after the next sync"
            self.cloud.hosts[self.host].sync()

    def carry(self) -> None:
        """Carry what Nova has recorded to its host, where that has no database."""
        if self.set_up.mthook and not self.set_up.database:
            host = self.host
            self.waited = "after mthook-admin import"
            pins = self.cloud.controller.run(["mthook-admin", "export", "--host", host]).stdout
            self.cloud.hosts[host].run(["mthook-admin", "import", "-"], input=pins)

    def come_back(self, act: Callable[[], None]) -> None:
        """Do what the hook is to stop, and then what its message says."""
        try:
            act()
        except Stuck:
            self._follow(self.cloud.records.fault(self.uuid))
        else:
            raise LabError("It wasn't stopped.")

    def _follow(self, fault: str) -> None:
        found = _WAY_BACK.search(fault)
        if found is None:
            raise LabError(f"No way back in: {fault[-500:]}")
        self.await_push()  # Nova writes once more at the end of what failed
        for name, value in _PROPERTY.findall(found["image"] or ""):
            self.change_image({"op": "add", "path": f"/{name}", "value": value})
        self.waited = f"after {found['command']}"
        {"start": self.start, "unshelve": self.unshelve, "reboot --hard": self.hard_reboot}[
            found["command"]
        ]()

    # What people do.

    def forget_type_of_image(self) -> None:
        """Take the machine type out of the image that it is to be unshelved from."""
        self.change_image({"op": "remove", "path": _TYPE})

    def change_image(self, change: Mapping[str, str]) -> None:
        api = self.cloud.api
        (image,) = api.glance("GET", f"/images?name={self.name}-shelved")["images"]
        patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        api.glance("PATCH", f"/images/{image['id']}", [change], **patch)

    def hard_reboot(self) -> None:
        self.act("reboot", {"type": "HARD"})
        self.wait()

    def stop(self) -> None:
        self.act("os-stop")
        self.wait("stopped")

    def start(self) -> None:
        self.act("os-start")
        self.wait()

    def cold_migrate(self) -> None:
        self.act("migrate", {"host": self.cloud.other(self.host)})
        self.wait("resized")

    def live_migrate(self) -> None:
        host = self.cloud.other(self.host)
        self.act("os-migrateLive", {"host": host, "block_migration": "auto"})
        self.wait()
        if self.host != host:
            raise Stuck(f"not migrated to {host}")

    def resize(self, host: str) -> None:
        self.act("resize", {"flavorRef": BIGGER[host]})
        self.wait("resized")

    def confirm(self, vm_state: str = "active") -> None:
        self.act("confirmResize")
        self.wait(vm_state)

    def revert(self) -> None:
        self.act("revertResize")
        self.wait()

    def shelve(self, *, offload: bool) -> None:
        self.act("shelve")
        self.wait("shelved")
        if offload:
            self.act("shelveOffload")
            self.wait("shelved_offloaded")

    def unshelve(self) -> None:
        self.act("unshelve")
        self.wait()

    def rebuild(self, image: str) -> None:
        self.act("rebuild", {"imageRef": self.cloud.images[image]})
        self.wait()
