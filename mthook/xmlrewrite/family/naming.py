# SPDX-License-Identifier: Apache-2.0
"""Devices by the names that operators know them by."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from lxml import etree

from mthook.text import printable

_MAX_NAMED = 8
# How a device of each kind is told from its like: child, then attribute.
_BY = {
    "interface": ("mac", "address"),
    "filesystem": ("target", "dir"),
    "channel": ("target", "name"),
    "serial": ("target", "port"),
    "console": ("target", "port"),
    "parallel": ("target", "port"),
    "sound": (".", "model"),
    "watchdog": (".", "model"),
    "memballoon": (".", "model"),
    "panic": (".", "model"),
    "tpm": (".", "model"),
    "iommu": (".", "model"),
    "rng": (".", "model"),
    "memory": (".", "model"),
    "vsock": (".", "model"),
    "graphics": (".", "type"),
    "input": (".", "type"),
    "shmem": (".", "name"),
    "video": ("model", "type"),
}


def named(device: etree._Element) -> str:
    """Return what to call a device: ``cdrom sda``, ``interface 52:54:00:12:34:56``, ``sound ich6``."""
    if device.tag == "disk":
        target = next(device.iterchildren("target"), None)
        name = target.get("dev", "") if target is not None else ""
        return _join(device.get("device", "disk"), name)
    if device.tag == "controller":
        return _join(f"{device.get('type', '')} controller", device.get("index", ""))
    if device.tag == "hostdev":
        return _join("hostdev", _host_address(device))
    if device.tag not in _BY:
        return _join(str(device.tag), "")
    child, attribute = _BY[str(device.tag)]
    found = device if child == "." else next(device.iterchildren(child), None)
    return _join(str(device.tag), found.get(attribute, "") if found is not None else "")


def first(devices: Iterable[etree._Element]) -> str:
    """Return what to call devices in one line, the first of them where there are many."""
    found = iter(devices)
    names = ", ".join(named(one) for one in itertools.islice(found, _MAX_NAMED))
    return names + (", …" if next(found, None) is not None else "")


def pci_address(address: etree._Element) -> str:
    """Return a PCI address as lspci has it: ``0000:00:03.0``."""
    get = address.get
    domain, bus = get("domain", "0").removeprefix("0x"), get("bus", "0").removeprefix("0x")
    slot, function = get("slot", "0").removeprefix("0x"), get("function", "0").removeprefix("0x")
    return printable(f"{domain:0>4}:{bus:0>2}:{slot:0>2}.{function}", 40)


def _host_address(device: etree._Element) -> str:
    address = device.find("source/address")
    if address is None:
        return device.get("type", "")
    return address.get("uuid") or pci_address(address)


def _join(kind: str, name: str) -> str:
    return printable(f"{kind} {name}".strip(), 80)
