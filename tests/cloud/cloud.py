# SPDX-License-Identifier: Apache-2.0
"""The whole cloud: one controller, two compute hosts, images and flavors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Optional

from tests.cloud.api import Api, ApiError
from tests.cloud.configuration import HOSTS
from tests.cloud.controller import Controller
from tests.cloud.hosts import ComputeHost
from tests.cloud.prepared import layers
from tests.cloud.records import Records
from tests.cloud.together import together
from tests.lab.machine import Machine
from tests.lab.processes import wait_until

if TYPE_CHECKING:
    from typing_extensions import Self

#: Flavors: any host, then those that are bound to one.
SMALL = "small"
BIGGER = {name: f"bigger-{name}" for name in HOSTS}
#: Images, alike but for their properties.
IMAGES = {
    "first": {},
    "second": {},
    "rescue": {},
    "nowhere": {"trait:CUSTOM_NOWHERE": "required"},  # which no host has
}
# A boot sector that idles, and switches itself off at the power button, which is at the same port on pc and q35.
_BOOT = bytes.fromhex(
    "fa31c08ed0bc007c8ed8" "ba0206b80001ef" "b0fbe621b0fde6a1" "fb"
    "f4ba0006edf6c40174f6" "ba0406b80020ef" "ebed"
)  # fmt: skip
_IMAGE = (_BOOT.ljust(510, b"\0") + b"\x55\xaa").ljust(1024 * 1024, b"\0")


class Cloud:
    """A context manager: all services but nova-compute are up inside the block."""

    def __enter__(self) -> Self:
        roots = layers()
        self._machines: list[Machine] = []
        try:
            self.controller = Controller(roots)
            self._machines.append(self.controller)
            self.controller.up()
            self.hosts: dict[str, ComputeHost] = {}
            for name in HOSTS:
                self.hosts[name] = ComputeHost(name, roots)
                self._machines.append(self.hosts[name])
                self.hosts[name].up()
            self.api, self.records = Api(), Records()
            self._furnish()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for machine in reversed(self._machines):
            machine.close()

    def other(self, host: str) -> str:
        """Return the host that isn't this one."""
        return next(name for name in self.hosts if name != host)

    def restart_compute(self, defaults: Mapping[str, Optional[str]], **how: bool) -> None:
        """Start nova-compute on both hosts, configured so; it ends first where it runs.

        :param defaults: the machine type that each host gives an instance of which nothing is known.
        """

        def restart(host: ComputeHost) -> None:
            host.stop_compute()
            host.configure(defaults[host.name], **how)
            host.start_compute()

        together(restart, self.hosts.values())
        for host in self.hosts.values():
            self.await_compute(host)

    def await_compute(self, host: ComputeHost) -> None:
        """Wait until a nova-compute that was just started says that it is up."""
        begun = time.monotonic()

        def reported() -> bool:
            since = self.records.seconds_since_report(host.name)
            # The database knows whole seconds only.
            return since is not None and since < time.monotonic() - begun - 1

        host.await_daemon("nova-compute", reported)

    def sync(self) -> None:
        """Run mthook's sync on both hosts, then the controller's."""
        together(lambda host: host.sync(), self.hosts.values())
        self.controller.sync()

    def bring_back(self, host: ComputeHost) -> None:
        """Let a host come back that was forced down; evacuated servers are cleared away there when this returns."""
        host.start_compute()
        self.await_compute(host)
        wait_until(f"{host.name} doesn't come back", lambda: self._is_back(host), lambda: "")

    def _is_back(self, host: ComputeHost) -> bool:
        try:
            self.force_down(host.name, False)
        except ApiError:  # Nova wants the evacuated servers cleared away first
            return False
        return True

    def force_down(self, host: str, down: bool) -> None:
        """Say that a host is down, as whoever fences it does, or no longer."""
        services = self.api.nova("GET", f"/os-services?binary=nova-compute&host={host}")
        for service in services["services"]:
            self.api.nova("PUT", f"/os-services/{service['id']}", {"forced_down": down})

    def _furnish(self) -> None:
        """Make flavors, images and what binds flavors to hosts."""
        self.restart_compute(dict.fromkeys(self.hosts))
        wait_until("Nova has no hosts", self._has_hosts, lambda: "")
        quota = {"quota_set": {"instances": -1, "cores": -1, "ram": -1}}
        project = self.api.keystone("GET", "/auth/projects")["projects"][0]["id"]
        self.api.nova("PUT", f"/os-quota-sets/{project}", quota)
        self._add_flavor(SMALL, 64)
        for host, flavor in BIGGER.items():
            self._add_flavor(flavor, 80)
            self._bind(flavor, host)
        self.images = {
            name: self.api.upload(name, _IMAGE, **properties) for name, properties in IMAGES.items()
        }

    def _has_hosts(self) -> bool:
        return self.records.hosts() == set(self.hosts)

    def _add_flavor(self, name: str, memory: int) -> None:
        flavor = {"id": name, "name": name, "ram": memory, "vcpus": 1, "disk": 0}
        self.api.nova("POST", "/flavors", {"flavor": flavor})

    def _bind(self, flavor: str, host: str) -> None:
        """See to it that instances of a flavor are on that host."""
        aggregate = self.api.nova("POST", "/os-aggregates", {"aggregate": {"name": host}})
        action = f"/os-aggregates/{aggregate['aggregate']['id']}/action"
        self.api.nova("POST", action, {"add_host": {"host": host}})
        self.api.nova("POST", action, {"set_metadata": {"metadata": {"bound": host}}})
        specs = {"aggregate_instance_extra_specs:bound": host}
        self.api.nova("POST", f"/flavors/{flavor}/os-extra_specs", {"extra_specs": specs})
