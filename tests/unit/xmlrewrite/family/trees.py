# SPDX-License-Identifier: Apache-2.0
"""Small domains, and what a pass makes of them."""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

from mthook.machinetype import MachineType
from mthook.xmlrewrite.family.board import Conversion

Pass = Callable[[etree._Element, Conversion], list[str]]

TO_Q35 = Conversion(MachineType.parse("pc-i440fx-7.2"), MachineType.parse("pc-q35-7.2"))
TO_PC = Conversion(MachineType.parse("pc-q35-7.2"), MachineType.parse("pc-i440fx-7.2"))
NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"


def nova(conversion: Conversion, ports: int = 0) -> Conversion:
    """Return the same conversion for a guest of Nova's."""
    return Conversion(conversion.old, conversion.new, nova=True, ports=ports)


def ran(change: Pass, devices: str, conversion: Conversion) -> tuple[str, list[str]]:
    """Run a pass on devices, twice; return them as they are then, and what it said.

    The second run changes nothing and says nothing.
    """
    domain = etree.fromstring(f"<domain><devices>{devices}</devices></domain>")
    changes = change(domain, conversion)
    once = etree.tostring(domain).decode()
    assert change(domain, conversion) == []
    assert etree.tostring(domain).decode() == once
    found = domain.find("devices")
    assert found is not None
    return "".join(etree.tostring(device).decode() for device in found), changes


def ran_on(change: Pass, inside: str, conversion: Conversion) -> tuple[str, list[str]]:
    """Likewise for what stands beside the devices."""
    domain = etree.fromstring(f"<domain>{inside}</domain>")
    changes = change(domain, conversion)
    once = etree.tostring(domain).decode()
    assert change(domain, conversion) == []
    assert etree.tostring(domain).decode() == once
    return once[len("<domain>") : -len("</domain>")], changes
