# SPDX-License-Identifier: Apache-2.0
"""What Nova keeps beside an instance's machine type and not every board has: buses, and features of q35."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mthook.errors import Refused
from mthook.machinetype import MachineType
from mthook.nova.image import IDE, IDE_FAMILY, IN_PLACE_OF_IDE, on_board
from mthook.nova.instance import (
    Change,
    Disk,
    DiskChange,
    Hardware,
    NovaInstance,
    PropertyChange,
)
from mthook.operations.caution import Caution, Kind
from mthook.policy import Refusal
from mthook.text import printable

#: How the names of disks on either begin.
_IDE_NAME, _SATA_NAME = "hd", "sd"
_DEVICES = "/dev/"
#: As oslo.utils has it, ``bool_from_string``.
_TRUE = ("1", "t", "true", "on", "y", "yes")


def changes(instance: NovaInstance, hardware: Hardware | None, machine: str) -> list[Change]:
    """Return what must change in the device buses that Nova keeps for an instance.

    See :func:`mthook.nova.image.on_board`; disks and volumes on IDE are kept one by one.

    :param hardware: ``None``: it wasn't asked for.
    :param machine: the new machine type.
    """
    if MachineType.parse(machine).family == IDE_FAMILY:
        return []
    fitting = on_board(instance.buses, machine)
    found = sorted(instance.buses.items())
    buses = [PropertyChange(key, bus, fitting[key]) for key, bus in found if bus != fitting[key]]
    return [*buses, *(_disks(hardware.disks) if hardware else ())]


def _disks(disks: Sequence[Disk]) -> Iterator[DiskChange]:
    taken = {(disk.name or "").removeprefix(_DEVICES) for disk in disks}
    for disk in disks:
        name = (disk.name or "").removeprefix(_DEVICES)
        # For a volume without a bus Nova takes the one that goes with its name (nova/virt/libvirt/blockinfo.py,
        # ``get_info_from_bdm``): a new name alone would make that SCSI.
        if disk.bus == IDE or (not disk.bus and name.startswith(_IDE_NAME)):
            new = disk.name
            if name.startswith(_IDE_NAME):
                free = _free(name, taken)
                taken.add(free)
                new = (disk.name or "").replace(name, free)
            yield DiskChange(disk, replace(disk, name=new, bus=IN_PLACE_OF_IDE))


def _free(name: str, taken: set[str]) -> str:
    """Return a free name for a disk, with its old letter if possible."""
    letters = string.ascii_lowercase
    pairs = ("".join(pair) for pair in itertools.product(letters, letters))
    wanted = (f"{_SATA_NAME}{end}" for end in (name[len(_IDE_NAME) :], *letters, *pairs))
    return next(one for one in wanted if one not in taken)


def undo(change: Change) -> Change:
    """Return what undoes a change from :func:`changes`."""
    if isinstance(change, DiskChange):
        return DiskChange(change.new, change.old)
    return PropertyChange(change.key, change.new, change.old or "")


def check(what: object, hardware: Hardware, machine: str) -> list[Caution]:
    """Check whether Nova will start an instance that asks for what only q35 has.

    See ``get_mem_encryption_constraint`` in nova/virt/hardware.py, ``_get_iommu_model`` and
    ``_check_secure_boot_support`` in nova/virt/libvirt/driver.py.

    :param what: the instance, as messages call it.
    :raises Refused: it won't.
    """
    if MachineType.parse(machine).family != IDE_FAMILY:
        return []
    asked = hardware.asked
    boot = _given(asked, "os", "secure_boot") if asked.get("hw_firmware_type") == "uefi" else []
    needed = [
        *_mem_encryption(asked),
        *_given(asked, "hw", "viommu_model"),
        *(one for one in boot if asked[one] == "required"),
    ]
    if needed:
        raise Refused(
            f"{what}: {_named(asked, needed)}: Nova starts that only as q35, not as {machine}",
            Refusal.UNCONVERTIBLE,
        )
    lost = [one for one in boot if asked[one] == "optional"]
    return [Caution(Kind.NO_SECURE_BOOT, (_named(asked, lost), machine))] if lost else []


def _mem_encryption(asked: Mapping[str, str]) -> list[str]:
    """Return what asks for SEV, SEV-ES, SEV-SNP or TDX; a model alone does nothing."""
    switches = _given(asked, "hw", "mem_encryption")
    if not any(asked[one].strip().lower() in _TRUE for one in switches):
        return []
    return [*switches, *_given(asked, "hw", "mem_encryption_model")]


def _given(asked: Mapping[str, str], prefix: str, name: str) -> list[str]:
    """Return whichever is set: the flavor's extra spec or the image's property."""
    return [one for one in (f"{prefix}:{name}", f"{prefix}_{name}") if one in asked]


def _named(asked: Mapping[str, str], names: Sequence[str]) -> str:
    return ", ".join(printable(f"{one} = {asked[one]}") for one in names)
