# SPDX-License-Identifier: Apache-2.0
"""Devices that are part of one board, and what Nova adds to a q35."""

from __future__ import annotations

from lxml import etree

from mthook.errors import MachineTypeError
from mthook.machinetype import MachineType
from mthook.text import printable
from mthook.xmlrewrite import elements
from mthook.xmlrewrite.family.board import Conversion, controllers, devices, nova_instance

#: Behind which devices Nova puts its root ports (nova/virt/libvirt/driver.py, _get_guest_config).
_BEFORE_PORTS = frozenset(
    (
        *("emulator", "disk", "interface", "serial", "console", "channel", "sound", "graphics"),
        *("video", "input", "rng", "tpm"),
    )
)
_EARLY_CONTROLLERS = ("scsi", "virtio-serial", "sata", "fdc")


def drop_watchdog(domain: etree._Element, conversion: Conversion) -> list[str]:
    """q35's own watchdog, which libvirt 9.1 and newer add to every q35, stays with the board.

    ``itco model of watchdog is only part of q35 machine``
    """
    if conversion.to_q35:
        return []
    found = [one for one in devices(domain, "watchdog") if one.get("model") == "itco"]
    for watchdog in found:
        elements.remove(watchdog)
    return [f"watchdog itco: removed, part of {conversion.old}"] if found else []


def add_root_ports(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Give a q35 as many root ports as Nova does, ``[libvirt] num_pcie_ports``.

    libvirt leaves one port to spare for hot-plugging. The root has to be named first: ``The PCI
    controller with index='0' must be model='pcie-root' for this machine type, but
    model='pcie-root-port' was found instead``.
    """
    models = [one.get("model") for one in controllers(domain, "pci")]
    missing = conversion.ports - models.count("pcie-root-port")
    if not conversion.to_q35 or missing <= 0 or domain.find("devices") is None:
        return []
    ports = [_controller("pcie-root-port") for _ in range(missing)]
    if "pcie-root" not in models:
        ports.insert(0, _controller("pcie-root"))
    _insert(domain, ports)
    return [f"{missing} PCIe root ports added, as [libvirt] num_pcie_ports says"]


def note_ports(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Say how much can be plugged into a q35 that doesn't ask for ports."""
    if not conversion.to_q35 or conversion.ports:
        return []
    return [
        "hot-plugging: libvirt leaves one PCIe port to spare, [libvirt] num_pcie_ports adds more"
    ]


def set_property(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Where Nova has noted the machine type in its metadata, note the new one.

    libvirt doesn't read it; other programs do, and Nova writes it so. It may have noted an alias,
    which libvirt has replaced by a version.
    """
    instance = nova_instance(domain)
    changes = []
    for found in instance.iter("{*}property") if instance is not None else ():
        noted = (found.text or "").strip()
        if found.get("name") == "hw_machine_type" and _family(noted) == conversion.old.family:
            found.text = conversion.new.name
            changes.append(f"nova metadata: hw_machine_type {printable(noted)} → {conversion.new}")
    return changes


def _family(machine: str) -> str | None:
    try:
        return MachineType.parse(machine).family
    except MachineTypeError:
        return None


def _controller(model: str) -> etree._Element:
    controller = etree.Element("controller")
    controller.set("type", "pci")
    controller.set("model", model)
    return controller


def _insert(domain: etree._Element, ports: list[etree._Element]) -> None:
    """Put controllers where Nova does."""
    parent = domain.find("devices")
    assert parent is not None
    anchor = None
    for device in devices(domain):
        early = device.tag == "controller" and device.get("type") in _EARLY_CONTROLLERS
        if device.tag in _BEFORE_PORTS or early:
            anchor = device
    for port in ports:
        if anchor is None:
            elements.insert_first(parent, port)
        else:
            elements.insert_after(anchor, port)
        anchor = port
