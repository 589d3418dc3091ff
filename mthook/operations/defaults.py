# SPDX-License-Identifier: Apache-2.0
"""What Nova would give an instance that has nothing recorded.

The order is that of the blueprint "libvirt-default-machine-type"; without the guest, as there is none: image
property, configuration, built-in default.
"""

from __future__ import annotations

import os

from oslo_config import cfg

from mthook import reconcile
from mthook.errors import Error, MachineTypeError
from mthook.machinetype import MachineType
from mthook.nova.instance import NovaInstance


def arch_of(instance: NovaInstance) -> str:
    """Return an instance's architecture: its image's, else this host's."""
    return instance.arch or os.uname().machine


def default_machine(instance: NovaInstance, conf: cfg.ConfigOpts) -> str | None:
    """Return the machine type that Nova would record from its configuration."""
    return reconcile.default_machine(arch_of(instance), conf.libvirt.hw_machine_type)


def nova_would_give(
    instance: NovaInstance, image_property: str | None, conf: cfg.ConfigOpts
) -> tuple[str | None, str]:
    """Return a machine type and where it comes from."""
    if image_property is not None:
        return image_property, "image property"
    machine = default_machine(instance, conf)
    built_in = reconcile.default_machine(arch_of(instance), ())
    return machine, "built-in default" if machine == built_in else "configuration"


def check_machine(machine: str) -> None:
    """Make sure that the value Nova would have is the name of a machine type.

    :raises Error: it isn't.
    """
    try:
        MachineType.parse(machine)
    except MachineTypeError as error:
        raise Error(
            f"Nova's value isn't valid: {error}: 'mthook-admin set GUEST TYPE --force' replaces it"
        ) from error
