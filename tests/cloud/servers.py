# SPDX-License-Identifier: Apache-2.0
"""A server: what is done to it, and what came of it."""

from __future__ import annotations

import time
from typing import Any

from tests.cloud.cloud import BIGGER, SMALL, Cloud
from tests.cloud.hosts import Start
from tests.cloud.records import Instance
from tests.lab.processes import wait_until
from tests.lab.requirements import LabError

_SECONDS = 180
_POLL = 0.3
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
    """An instance of Nova's, from its creation on."""

    def __init__(self, cloud: Cloud, name: str, host: str) -> None:
        """Ask for it, on that host, without a network."""
        self.cloud = cloud
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

    # What people do.

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
