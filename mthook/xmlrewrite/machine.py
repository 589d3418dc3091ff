# SPDX-License-Identifier: Apache-2.0
"""The step that gives a domain its machine type.

Within a family the attribute is all there is to change: libvirt 9.0 with QEMU 7.2 defines and
starts a guest with every version of its family unchanged, except what :mod:`versions
<mthook.xmlrewrite.versions>` lists. Another family means other controllers, addresses and buses:
:mod:`mthook.xmlrewrite.family`.
"""

from __future__ import annotations

import functools

from lxml import etree

from mthook.errors import ConversionError
from mthook.machinetype import MachineType, is_convertible
from mthook.text import printable
from mthook.xmlrewrite.family.arguments import check_machine
from mthook.xmlrewrite.family.board import PC, Q35
from mthook.xmlrewrite.target import Target
from mthook.xmlrewrite.versions import check_version

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
#: What libvirt makes of a domain that names no machine type (src/qemu/qemu_capabilities.c,
#: ``preferredMachines``); without an architecture it is the host's, assumed to be x86.
_DEFAULTS = {
    **dict.fromkeys(("", "x86_64", "i686"), "pc"),
    **dict.fromkeys(("aarch64", "armv7l", "riscv64"), "virt"),
    "s390x": "s390-ccw-virtio",
    **dict.fromkeys(("ppc64", "ppc64le"), "pseries"),
}


def set_machine(domain: etree._Element, target: Target) -> list[str]:
    """Set ``os/type@machine``.

    :return: the change in words, nothing when there is none.
    :raises ConversionError: if the domain has no ``os/type``; the change is one of architecture, or
        of a family that can't be converted; the version can't have a device of the domain; an
        argument for QEMU names another machine type, which would win.
    :raises MachineTypeError: if the target isn't a machine type's name.
    """
    wanted = _read(target.machine)
    os_type = _os_type(domain)
    check_machine(domain, wanted.name)
    present = os_type.get("machine", "")
    if present == wanted.name:
        return []
    _check_arch(os_type.get("arch", ""), wanted)
    old = _present(os_type)
    if old:
        _check_family(old, wanted)
    check_version(domain, wanted)
    os_type.set("machine", wanted.name)
    return [f"machine type: {present or 'none'} → {wanted}"]


def change_of_family(
    domain: etree._Element, target: Target
) -> tuple[MachineType, MachineType] | None:
    """Return from which machine type to which a domain has to be converted, None if not at all.

    :raises ConversionError: if the domain has no ``os/type``.
    :raises MachineTypeError: if the target isn't a machine type's name.
    """
    wanted = _read(target.machine)
    os_type = _os_type(domain)
    old = _present(os_type)
    return (old, wanted) if old and {old.family, wanted.family} == {PC, Q35} else None


#: A host's guests have few different ones.
_read = functools.lru_cache(maxsize=256)(MachineType.parse)


def _present(os_type: etree._Element) -> MachineType | None:
    """Return the machine type that a domain has or gets from libvirt, None where nobody knows."""
    name = os_type.get("machine") or _DEFAULTS.get(os_type.get("arch", ""))
    return _read(name) if name else None


def _os_type(domain: etree._Element) -> etree._Element:
    os_type = domain.find("os/type")
    if os_type is None:
        raise ConversionError("the domain has no <os><type> to carry a machine type", "os/type")
    return os_type


def _check_arch(arch: str, wanted: MachineType) -> None:
    if wanted.family in _KNOWN and wanted.family not in _FAMILIES.get(arch, _KNOWN):
        raise ConversionError(f"{wanted} isn't a machine type of {printable(arch)}", "os/type")


def _check_family(present: MachineType, wanted: MachineType) -> None:
    if not is_convertible(present, wanted):
        raise ConversionError(
            f"can't convert {present} ({present.family}) to {wanted} ({wanted.family}): only i440fx"
            " and q35 can be turned into each other",
            "os/type",
        )
