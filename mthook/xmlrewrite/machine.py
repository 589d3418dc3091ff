# SPDX-License-Identifier: Apache-2.0
"""The step that gives a domain its machine type.

Within a family the attribute is all there is to change: libvirt 9.0 with QEMU 7.2 defines and
starts a guest with every version of its family unchanged. Another family means other controllers,
addresses and buses.
"""

from __future__ import annotations

from lxml import etree

from mthook.errors import ConversionError
from mthook.machinetype import MachineType
from mthook.text import printable
from mthook.xmlrewrite.target import Target

# Which of the families that mthook knows an architecture has (QEMU, ``hw/*/``).
_X86 = frozenset(("i440fx", "q35", "microvm"))
_FAMILIES = {
    "x86_64": _X86,
    "i686": _X86,
    "aarch64": frozenset(("virt",)),
    "armv7l": frozenset(("virt",)),
    "riscv64": frozenset(("virt",)),
    "s390x": frozenset(("s390-ccw-virtio",)),
    "ppc64": frozenset(("pseries",)),
    "ppc64le": frozenset(("pseries",)),
}
_KNOWN = frozenset().union(*_FAMILIES.values())


def set_machine(domain: etree._Element, target: Target) -> list[str]:
    """Set ``os/type@machine``.

    :return: the change in words, nothing when there is none.
    :raises ConversionError: if the domain has no ``os/type``, or the change is one of family or
        architecture.
    :raises MachineTypeError: if the target isn't a machine type's name.
    """
    wanted = MachineType.parse(target.machine)
    os_type = domain.find("os/type")
    if os_type is None:
        raise ConversionError("the domain has no <os><type> to carry a machine type", "os/type")
    present = os_type.get("machine", "")
    if present == wanted.name:
        return []
    _check_arch(os_type.get("arch", ""), wanted)
    if present:
        _check_family(MachineType.parse(present), wanted)
    os_type.set("machine", wanted.name)
    return [f"machine type: {present or 'none'} → {wanted}"]


def _check_arch(arch: str, wanted: MachineType) -> None:
    if wanted.family in _KNOWN and wanted.family not in _FAMILIES.get(arch, _KNOWN):
        raise ConversionError(f"{wanted} isn't a machine type of {printable(arch)}", "os/type")


def _check_family(present: MachineType, wanted: MachineType) -> None:
    if present.family != wanted.family:
        raise ConversionError(
            f"can't convert {present} ({present.family}) to {wanted} ({wanted.family}):"
            " another family has other controllers and addresses, redefine the guest as one of that"
            " family first",
            "os/type",
        )
