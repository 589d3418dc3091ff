# SPDX-License-Identifier: Apache-2.0
"""What an old version of a board can't have, though a new one can.

libvirt, unaware of it, defines such a guest; QEMU refuses to start it. The limits are
upstream's, measured with QEMU 7.2; vendors' lines number their versions differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lxml import etree

from mthook.errors import ConversionError
from mthook.machinetype import MachineType
from mthook.xmlrewrite.family.board import PC, PC_MAX_VCPUS, Q35

Version = tuple[int, ...]

_COUNTED = ("upstream", "pve")


def _vmcoreinfo(domain: etree._Element) -> bool:
    found = domain.find("features/vmcoreinfo")
    return found is not None and found.get("state", "on") == "on"


def _genid(domain: etree._Element) -> bool:
    return domain.find("genid") is not None


def _slots(domain: etree._Element) -> bool:
    found = domain.find("maxMemory")
    return found is not None and "slots" in found.attrib


def _smbios(table: str) -> Callable[[etree._Element], bool]:
    def has(domain: etree._Element) -> bool:
        smbios = domain.find("os/smbios")
        return (
            smbios is not None
            and smbios.get("mode") == "sysinfo"
            and domain.find(f"sysinfo/{table}") is not None
        )

    return has


def _many_vcpus(domain: etree._Element) -> bool:
    text = (domain.findtext("vcpu") or "").strip()
    return text.isdigit() and int(text) > PC_MAX_VCPUS


#: Element, the test for it, and for each family the oldest version that can have it. QEMU's words:
#: ``vmcoreinfo device requires fw_cfg with DMA``; ``vmgenid requires DMA write support in fw_cfg,
#: which this machine type does not provide``; ``"-memory 'slots|maxmem'" is not supported by:
#: pc-i440fx-2.0``; ``can't process fields for smbios types > 1 on machine versions < 2.1!``; libvirt's:
#: ``Maximum CPUs greater than specified machine type limit 255``.
_LIMITS: tuple[tuple[str, Callable[[etree._Element], bool], dict[str, Version]], ...] = (
    ("features/vmcoreinfo", _vmcoreinfo, {PC: (2, 5), Q35: (2, 5)}),
    ("genid", _genid, {PC: (2, 5), Q35: (2, 5)}),
    ("maxMemory", _slots, {PC: (2, 1), Q35: (2, 1)}),
    ("sysinfo/baseBoard", _smbios("baseBoard"), {PC: (2, 1), Q35: (2, 1)}),
    ("sysinfo/chassis", _smbios("chassis"), {PC: (2, 1), Q35: (2, 1)}),
    ("sysinfo/oemStrings", _smbios("oemStrings"), {PC: (2, 1), Q35: (2, 1)}),
    ("vcpu", _many_vcpus, {Q35: (2, 8)}),
)


def check_version(domain: etree._Element, wanted: MachineType) -> None:
    """Make sure that a version of a machine type can have what the domain has.

    :raises ConversionError: it can't; ``.element`` says what.
    """
    for element, oldest in _missing(domain, wanted):
        what = "more than 255 vCPUs" if element == "vcpu" else f"<{element.rpartition('/')[2]}>"
        raise ConversionError(
            f"{wanted} is too old for {what}: {'.'.join(map(str, oldest))} is the first"
            f" {wanted.family} with it",
            element,
        )


def _missing(domain: etree._Element, wanted: MachineType) -> Iterator[tuple[str, Version]]:
    if wanted.version is None or wanted.vendor not in _COUNTED:
        return
    for element, has, oldest in _LIMITS:
        first = oldest.get(wanted.family)
        if first is not None and wanted.version < first and has(domain):
            yield element, first
