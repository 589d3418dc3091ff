# SPDX-License-Identifier: Apache-2.0
"""The rules, in the order in which they apply."""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

from mthook.errors import ConversionError
from mthook.xmlrewrite.family import (
    arguments,
    buses,
    checks,
    disks,
    extras,
    firmware,
    identity,
    known,
    virtio,
)
from mthook.xmlrewrite.family.board import Conversion, Disks, disks_by_bus

Check = Callable[[etree._Element, Conversion], None]

#: What can't be converted: refused first, with the element named.
CHECKS = (
    known.check_known,
    checks.check_vcpus,
    checks.check_iommu,
    checks.check_expanders,
    arguments.check_arguments,
    arguments.check_overrides,
    checks.check_encryption,
    firmware.check_secure_boot,
    firmware.check_loader,
)
#: Likewise, of the disks.
DISK_CHECKS = (checks.check_wwn, checks.check_ide)
#: What some libvirts refuse or misread, but not all: a guest that had it on the same board before may have it again.
OF_LIBVIRT = (checks.check_watchdog, firmware.check_choice)
#: What changes. Disks move before controllers that nothing uses any more go; addresses go after
#: the bridges they were behind, and new ports come last.
PASSES = (
    disks.ide_to_sata,
    disks.sata_to_ide,
    disks.drop_built_in,
    extras.drop_watchdog,
    firmware.drop_tseg,
    firmware.drop_secure_boot,
    firmware.fix_choice,
    virtio.keep_platform_access,
    buses.drop_pci_controllers,
    buses.drop_hotplug,
    buses.drop_pci_addresses,
    extras.add_root_ports,
    extras.set_property,
)
#: What changes for the guest though nothing in the XML shows it.
NOTES = (
    virtio.note_versions,
    firmware.note_choice,
    extras.note_ports,
)


def convert(domain: etree._Element, conversion: Conversion) -> list[str]:
    """Turn a domain into one of the other family.

    :return: what was changed and what changes for the guest, a line each.
    :raises ConversionError: see :func:`change`.
    """
    disks = disks_by_bus(domain)
    orders = identity.Orders(domain, disks)
    changes = change(domain, conversion, disks)
    changes += [*identity.note_usb_serials(domain, disks), *orders.note(conversion)]
    return changes + [line for note in NOTES for line in note(domain, conversion)]


def check(
    domain: etree._Element,
    conversion: Conversion,
    disks: Disks,
    before: etree._Element | None = None,
) -> None:
    """Refuse what can't be converted.

    :param before: see :func:`change`.
    :raises ConversionError: see :func:`change`.
    """
    for of_domain in CHECKS:
        of_domain(domain, conversion)
    for of_libvirt in OF_LIBVIRT:
        if before is None or not _refuses(of_libvirt, before, conversion):
            of_libvirt(domain, conversion)
    for of_disks in DISK_CHECKS:
        of_disks(disks, conversion)


def _refuses(one: Check, domain: etree._Element, conversion: Conversion) -> bool:
    try:
        one(domain, conversion)
    except ConversionError:
        return True
    return False


def change(
    domain: etree._Element,
    conversion: Conversion,
    disks: Disks,
    before: etree._Element | None = None,
) -> list[str]:
    """Likewise, but say only what was changed.

    The machine type itself isn't part of it, see :func:`mthook.xmlrewrite.machine.set_machine`.

    :param disks: the domain's, as :func:`.disks_by_bus` returns them.
    :param before: the domain as it was on that board before, if it is to be that again.
    :raises ConversionError: the other board can't have something that the domain has; the tree may
        be half converted then.
    """
    check(domain, conversion, disks, before)
    serials = identity.own_serials(disks, conversion.old.family)
    changes = [line for one in PASSES for line in one(domain, conversion)]
    return changes + identity.keep_serials(domain, conversion, serials)
