# SPDX-License-Identifier: Apache-2.0
"""Firmware, SMM, virtio, the watchdog of the board, Nova's ports and metadata."""

from __future__ import annotations

import pytest
from lxml import etree

from mthook.xmlrewrite.family import extras, firmware, virtio
from mthook.xmlrewrite.family.board import Conversion

from .trees import NOVA, TO_PC, TO_Q35, nova, ran, ran_on

FEATURE = '<firmware><feature enabled="{}" name="secure-boot"/></firmware>'
FILE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
PATH = f"<loader>{FILE}</loader>"


@pytest.mark.parametrize("conversion", [TO_PC, TO_Q35])
def test_a_firmware_that_libvirt_chooses_is_one_without_secure_boot(conversion: Conversion) -> None:
    """On q35 it would choose another one, and keep the variables."""
    found, changes = ran_on(
        firmware.fix_choice, '<os firmware="efi"><type>hvm</type></os>', conversion
    )

    assert found == f'<os firmware="efi">{FEATURE.format("no")}<type>hvm</type></os>'
    assert changes[0].startswith("firmware: no Secure Boot asked for")


@pytest.mark.parametrize(
    "inside",
    [
        f'<os firmware="efi">{FEATURE.format("no")}</os>',
        f'<os firmware="efi">{FEATURE.format("yes")}</os>',
        '<os firmware="efi"><firmware><feature enabled="yes" name="enrolled-keys"/></firmware></os>',
        f'<os firmware="efi">{PATH}</os>',
        '<os firmware="efi"><loader secure="yes"/></os>',
        '<os firmware="bios"/>',
        f"<os>{PATH}</os>",
        "<os/>",
        "",
    ],
)
def test_a_firmware_that_is_settled_stays(inside: str) -> None:
    """The file, and its variables, are what they were."""
    inside = etree.tostring(etree.fromstring(inside)).decode() if inside else ""

    assert ran_on(firmware.fix_choice, inside, TO_Q35) == (inside, [])


def test_a_loader_without_secure_boot_is_no_choice() -> None:
    """An older libvirt gives a q35 a firmware with Secure Boot in spite of it."""
    loader = '<loader secure="no"/>'

    found, _ = ran_on(firmware.fix_choice, f'<os firmware="efi">{loader}</os>', TO_Q35)

    assert found == f'<os firmware="efi">{FEATURE.format("no")}{loader}</os>'


@pytest.mark.parametrize(
    ("libvirt", "asked", "noted"), [(7_001_000, False, True), (7_002_000, True, False)]
)
def test_a_libvirt_that_doesnt_know_features_isnt_asked_for_them(
    libvirt: int, asked: bool, noted: bool
) -> None:
    """Its schema has no element for them."""
    conversion = Conversion(TO_PC.old, TO_PC.new, libvirt=libvirt)

    found, changes = ran_on(firmware.fix_choice, '<os firmware="efi"/>', conversion)

    assert ("<firmware>" in found, changes != []) == (asked, asked)
    domain = etree.fromstring('<domain><os firmware="efi"/></domain>')
    assert (firmware.note_choice(domain, conversion) != []) == noted


def test_an_empty_list_of_firmware_features_is_added_to() -> None:
    """Other features stay."""
    other = '<feature enabled="no" name="enrolled-keys"/>'

    found, _ = ran_on(
        firmware.fix_choice, f'<os firmware="efi"><firmware>{other}</firmware></os>', TO_Q35
    )

    assert f'{other}<feature enabled="no" name="secure-boot"/></firmware>' in found


@pytest.mark.parametrize(
    ("loader", "left"),
    [
        ('<loader secure="yes"/>', ""),
        (f'<loader secure="yes">{FILE}</loader>', f"<loader>{FILE}</loader>"),
        ('<loader secure="yes" stateless="yes"/>', '<loader stateless="yes"/>'),
    ],
)
def test_optional_secure_boot_is_switched_off(loader: str, left: str) -> None:
    """As Nova does for the same instance, but for what libvirt 9.0 refuses."""
    asked = f'<n:property xmlns:n="{NOVA}" name="os_secure_boot">optional</n:property>'
    metadata = f'<metadata><n:instance xmlns:n="{NOVA}">{asked}</n:instance></metadata>'
    os_element = '<os firmware="efi">{}{}</os>'

    found, changes = ran_on(
        firmware.drop_secure_boot,
        metadata + os_element.format(FEATURE.format("yes"), loader),
        nova(TO_PC),
    )

    assert found.endswith(os_element.format(FEATURE.format("no"), left))
    assert changes == ["firmware: Secure Boot off, i440fx has none"]


def test_extended_smram_goes() -> None:
    """SMM itself is for either board."""
    given = '<features><smm state="on"><tseg unit="MiB">48</tseg></smm></features>'

    assert ran_on(firmware.drop_tseg, given, TO_Q35) == (given, [])
    assert ran_on(firmware.drop_tseg, given, TO_PC) == (
        '<features><smm state="on"/></features>',
        ["smm: extended memory (tseg) removed, i440fx has none"],
    )


DRIVER = '<driver iommu="on"/>'


@pytest.mark.parametrize(
    ("device", "changed"),
    [
        ('<interface><model type="virtio"/>{}</interface>', '<model type="{}"/>'),
        ('<disk>{}<target dev="vda" bus="virtio"/></disk>', '<disk model="{}">'),
        ('<controller type="scsi" model="virtio-scsi">{}</controller>', 'model="{}"'),
        ('<controller type="virtio-serial">{}</controller>', 'model="{}"'),
        ('<memballoon model="virtio">{}</memballoon>', 'model="{}"'),
        ('<rng model="virtio">{}</rng>', 'model="{}"'),
        ("<filesystem>{}</filesystem>", 'model="{}"'),
        ("<vsock>{}</vsock>", 'model="{}"'),
    ],
)
def test_a_device_behind_an_iommu_stays_virtio_1_0(device: str, changed: str) -> None:
    """QEMU would refuse to start it otherwise."""
    found, changes = ran(virtio.keep_platform_access, device.format(DRIVER), TO_PC)

    assert changed.format("virtio-non-transitional") in found
    assert len(changes) == 1
    assert ran(virtio.keep_platform_access, device.format(DRIVER), TO_Q35)[1] == []
    assert ran(virtio.keep_platform_access, device.format(""), TO_PC)[1] == []


@pytest.mark.parametrize(
    "device",
    [
        '<interface><model type="e1000"/><driver iommu="on"/></interface>',
        '<disk><driver iommu="on"/><target dev="sda" bus="scsi"/></disk>',
        '<interface><model type="virtio-non-transitional"/><driver iommu="on"/></interface>',
        '<memballoon model="none"/>',
        '<rng model="virtio"><driver iommu="on"/><address type="ccw"/></rng>',
        '<filesystem><driver type="virtiofs" iommu="on"/></filesystem>',
    ],
)
def test_what_is_no_plain_virtio_on_pci_is_left_alone(device: str) -> None:
    """It has no other model."""
    assert ran(virtio.keep_platform_access, device, TO_PC) == (device, [])


def noted(devices: str, conversion: Conversion) -> list[str]:
    domain = etree.fromstring(f"<domain><devices>{devices}</devices></domain>")
    return virtio.note_versions(domain, conversion)


def test_devices_that_old_drivers_lose_are_named() -> None:
    """Behind a root port they are virtio 1.0 alone; on the root bus they are what they were."""
    kept = '<memballoon model="virtio"><address type="pci" slot="9"/></memballoon>'
    disk = '<disk><target dev="vda" bus="virtio"/></disk>'

    assert noted(disk + kept, TO_Q35) == [
        "virtio 1.0 only, a guest with older drivers can't use them: disk vda"
    ]
    assert noted(disk, TO_PC) == [
        "virtio devices with other PCI ids than on q35, of before virtio 1.0: disk vda"
    ]
    assert noted(kept, TO_Q35) == []
    assert noted('<disk><target dev="vda" bus="virtio"/></disk>' * 9, TO_Q35)[0].endswith(", …")


def test_the_watchdog_of_the_board_goes_with_it() -> None:
    """Others stay."""
    itco, other = '<watchdog model="itco"/>', '<watchdog model="i6300esb"/>'

    assert ran(extras.drop_watchdog, itco + other, TO_PC) == (
        other,
        ["watchdog itco: removed, part of pc-q35-7.2"],
    )
    assert ran(extras.drop_watchdog, itco, TO_Q35) == (itco, [])


def test_ports_are_added_behind_a_named_root() -> None:
    """Where Nova puts them."""
    root = '<controller type="pci" model="pcie-root"/>'
    port = '<controller type="pci" model="pcie-root-port"/>'
    before, after = '<rng model="virtio"/>', '<controller type="usb"/><memballoon model="none"/>'

    assert ran(extras.add_root_ports, before + after, nova(TO_Q35, ports=2)) == (
        before + root + port * 2 + after,
        ["2 PCIe root ports added, as [libvirt] num_pcie_ports says"],
    )
    assert ran(extras.add_root_ports, after, nova(TO_Q35, 1))[0] == root + port + after
    assert ran(extras.add_root_ports, after, nova(TO_PC, 2)) == (after, [])
    assert ran(extras.add_root_ports, after, TO_Q35) == (after, [])


def test_a_domain_without_devices_gets_no_ports() -> None:
    """There is nowhere to put them."""
    assert ran_on(extras.add_root_ports, "<os/>", nova(TO_Q35, 2)) == ("<os/>", [])


def test_novas_note_of_the_machine_type_follows() -> None:
    """Also where it is an alias; not what says neither board."""
    text = (
        f'<metadata><n:instance xmlns:n="{NOVA}">'
        '<n:property name="hw_machine_type">{}</n:property></n:instance></metadata>'
    )

    found, changes = ran_on(extras.set_property, text.format("pc-i440fx-7.2"), nova(TO_Q35))

    assert found == text.format("pc-q35-7.2")
    assert changes == ["nova metadata: hw_machine_type pc-i440fx-7.2 → pc-q35-7.2"]
    assert ran_on(extras.set_property, text.format("pc"), nova(TO_Q35)) == (
        text.format("pc-q35-7.2"),
        ["nova metadata: hw_machine_type pc → pc-q35-7.2"],
    )
    for other in ("q35", "virt", "not a name", ""):
        assert ran_on(extras.set_property, text.format(other), nova(TO_Q35))[1] == []
