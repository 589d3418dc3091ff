# SPDX-License-Identifier: Apache-2.0
"""What mthook knows of domains: an element of a newer libvirt may be for one board only.

The lists are libvirt's schema (``domaincommon.rng``) from 9.0 to 11, except ``os/shim`` and
``os/varstore``, which belong to the firmware, and that changes with the board.
"""

from __future__ import annotations

from lxml import etree

from mthook.errors import ConversionError
from mthook.text import printable
from mthook.xmlrewrite.family.board import Conversion, devices

_DOMAIN = """
    blkiotune bootloader bootloader_args clock cpu cputune currentMemory defaultiothread description
    devices features genid id idmap iothreadids iothreads keywrap launchSecurity maxMemory memory
    memoryBacking memtune metadata name numatune on_crash on_lockfailure on_poweroff on_reboot os perf
    pm resource seclabel sysinfo throttlegroups title uuid vcpu vcpus
"""
_OS = """
    acpi bios boot bootmenu cmdline dtb firmware init initarg initdir initenv initgroup initrd
    inituser kernel loader nvram root smbios type
"""
_FEATURES = """
    acpi aia apic async-teardown capabilities ccf-assist cfpc gic hap hpt htm hyperv ibs ioapic kvm
    msrs nested-hv pae pmu privnet ps2 pvspinlock ras sbbc smm tcg viridian vmcoreinfo vmport xen
"""
_DEVICES = """
    audio channel console controller crypto disk emulator filesystem graphics hostdev hub input
    interface iommu lease memballoon memory nvram panic parallel pstore redirdev redirfilter rng serial
    shmem smartcard sound tpm video vsock watchdog
"""
_CONTROLLERS = frozenset(
    ("ccid", "fdc", "ide", "isa", "pci", "sata", "scsi", "usb", "virtio-serial", "xenbus")
)
_WITHIN = {"os": _OS, "features": _FEATURES, "devices": _DEVICES}
_KNOWN = {tag: frozenset(words.split()) for tag, words in (("domain", _DOMAIN), *_WITHIN.items())}


def check_known(domain: etree._Element, conversion: Conversion) -> None:
    """mthook can't convert what it doesn't know, and mustn't carry it over as if it could.

    Elements of other namespaces are others' notes, or arguments for QEMU, which are looked at on
    their own.
    """
    for parent in (domain, *domain.iterchildren(*_WITHIN)):
        tags = {child.tag for child in parent.iterchildren("*")}
        for tag in sorted(tags - _KNOWN[str(parent.tag)]):
            if not tag.startswith("{"):
                where = f"{parent.tag}/{tag}".removeprefix("domain/")
                raise _unknown(f"<{tag}>", where, conversion)
    kinds = {controller.get("type") for controller in devices(domain, "controller")}
    for kind in kinds - _CONTROLLERS:
        what = f"a controller of type {kind}"
        raise _unknown(what, "devices/controller", conversion)


def _unknown(what: str, where: str, conversion: Conversion) -> ConversionError:
    return ConversionError(
        f"this mthook doesn't know {printable(what, 60)}, nor what becomes of it on"
        f" {conversion.new}: take it out of the definition, or update mthook",
        printable(where, 60),
    )
