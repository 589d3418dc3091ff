# SPDX-License-Identifier: Apache-2.0
"""Real Nova's code, asked over a pipe: each nova-manage takes seconds to start, this does it once.

Run as ``python -m tests.nova.real NOVA_CONF``. Each line of standard input is a call as JSON, name and
arguments; each line of standard output is what it returned, or its error. It ends with its input.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Optional

from nova.cmd import manage  # first of Nova's: it says how threads are made

import nova.conf  # isort: skip
from nova import config, context, objects  # isort: skip
from nova.network.model import NetworkInfo  # isort: skip
from nova.virt import driver  # isort: skip
from nova.virt.libvirt import blockinfo, utils  # isort: skip
from nova.virt.libvirt.driver import LibvirtDriver  # isort: skip

CONF = nova.conf.CONF
_ATTRIBUTES = [
    *("system_metadata", "metadata", "info_cache", "flavor", "numa_topology", "pci_requests"),
    *("pci_devices", "device_metadata", "vcpu_model", "trusted_certs", "resources"),
]


class Calls:
    """What can be asked; what is public is."""

    def __init__(self) -> None:
        self._commands = manage.LibvirtCommands()
        self._properties = manage.ImagePropertyCommands()
        self._loaded: dict[str, Any] = {}

    def get(self, uuid: str) -> tuple[int, str]:
        """``nova-manage libvirt get_machine_type``."""
        return _printed(self._commands.get_machine_type, uuid)

    def update(self, uuid: str, machine: str, force: bool) -> tuple[int, str]:
        """``nova-manage libvirt update_machine_type``."""
        return _printed(self._commands.update_machine_type, uuid, machine, force=force)

    def list_unset(self, cell: Optional[str]) -> tuple[int, str]:
        """``nova-manage libvirt list_unset_machine_type``."""
        context.CELLS = []  # a process remembers the cells it has found once
        return _printed(self._commands.list_unset_machine_type, cell)

    def set_property(self, uuid: str, text: str) -> tuple[int, str]:
        """``nova-manage image_property set``."""
        return _printed(self._properties.set, uuid, [text])

    def show_property(self, uuid: str, which: str) -> tuple[int, str]:
        """``nova-manage image_property show``."""
        return _printed(self._properties.show, uuid, which)

    def make_spec(self, uuid: str) -> None:
        """Keep the request spec of an instance, as nova-api does."""
        with _cell(uuid) as cell:
            instance = _instance(cell, uuid)
        objects.RequestSpec.from_components(
            context.get_admin_context(),
            uuid,
            instance.image_meta,
            instance.flavor,
            None,
            instance.pci_requests,
            {"hint": ["ü"]},
            None,
            "nova",
        ).create()

    def spec(self, uuid: str) -> Any:
        """The request spec as Nova reads it, as data; with what it gives the destination of a resize."""
        spec = objects.RequestSpec.get_by_instance_uuid(context.get_admin_context(), uuid)
        machine = spec.image.properties.get("hw_machine_type")
        return machine, spec.obj_to_primitive()

    def save_spec(self, uuid: str) -> None:
        """Change the request spec and save it, as at a resize."""
        spec = objects.RequestSpec.get_by_instance_uuid(context.get_admin_context(), uuid)
        spec.num_instances += 1
        spec.save()

    def load(self, uuid: str) -> None:
        """Load an instance, for the next save."""
        with _cell(uuid) as cell:
            self._loaded[uuid] = _instance(cell, uuid)

    def save(self, uuid: str, metadata: Mapping[str, Optional[str]]) -> None:
        """Change system metadata and save the instance; None takes a key away."""
        if uuid not in self._loaded:
            self.load(uuid)
        instance = self._loaded.pop(uuid)
        for key, value in metadata.items():
            if value is None:
                instance.system_metadata.pop(key, None)
            else:
                instance.system_metadata[key] = value
        with _cell(uuid) as cell, instance.obj_alternate_context(cell):
            instance.save()

    def request(self, uuid: str) -> None:
        """Keep what was asked for when the instance was made, as nova-api does."""
        with _cell(uuid) as cell:
            instance = _instance(cell, uuid)
        spec = objects.RequestSpec.from_components(
            context.get_admin_context(),
            uuid,
            instance.image_meta,
            instance.flavor,
            *(None, None, {}, None),
            instance.availability_zone,
            project_id=instance.project_id,
            user_id=instance.user_id,
        )
        spec.create()

    def machine(self, uuid: str, hw_machine_type: list[str]) -> Optional[str]:
        """The machine type that a guest would get."""
        with _configured("hw_machine_type", hw_machine_type), _cell(uuid) as cell:
            machine: Optional[str] = utils.get_machine_type(_instance(cell, uuid).image_meta)
        return machine

    def xml(self, uuid: str, hw_machine_type: list[str], connection_uri: str) -> str:
        """The definition that a hard reboot would write, on the host of a libvirtd."""
        with (
            _configured("hw_machine_type", hw_machine_type),
            _configured("connection_uri", connection_uri),
            _cell(uuid) as cell,
        ):
            instance = _instance(cell, uuid)
            image = instance.image_meta
            mapped = objects.BlockDeviceMappingList.get_by_instance_uuid(cell, uuid)
            devices = driver.get_block_device_info(instance, mapped) if mapped else {}
            disks = blockinfo.get_disk_info(CONF.libvirt.virt_type, instance, image, devices)
            network = NetworkInfo([])
            xml: str = LibvirtDriver(None)._get_guest_xml(
                cell, instance, network, disks, image, block_device_info=devices
            )
        return xml


def _printed(command: Callable[..., int], *arguments: Any, **more: Any) -> tuple[int, str]:
    """Return a command's exit code and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = command(*arguments, **more)
    return code, output.getvalue()


@contextlib.contextmanager
def _cell(uuid: str) -> Iterator[Any]:
    """Yield a context in the cell of an instance."""
    administrator = context.get_admin_context()
    mapping = objects.InstanceMapping.get_by_instance_uuid(administrator, uuid)
    with context.target_cell(administrator, mapping.cell_mapping) as cell:
        yield cell


def _instance(cell: Any, uuid: str) -> Any:
    return objects.Instance.get_by_uuid(cell, uuid, expected_attrs=_ATTRIBUTES)


@contextlib.contextmanager
def _configured(option: str, value: Any) -> Iterator[None]:
    """Set an option of ``[libvirt]`` for a while."""
    CONF.set_override(option, value, group="libvirt")
    try:
        yield
    finally:
        CONF.clear_override(option, group="libvirt")


def main() -> None:
    """Answer calls until there are no more."""
    config.parse_args([sys.argv[0], "--config-file", sys.argv[1]], default_config_files=[])
    nova.conf.neutron.register_dynamic_opts(CONF)
    objects.register_all()
    calls = Calls()
    # What Nova prints by itself must not get among the answers.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            name, arguments = json.loads(line)
            try:
                answer = {"result": getattr(calls, name)(**arguments)}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
