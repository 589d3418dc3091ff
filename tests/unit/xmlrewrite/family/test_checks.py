# SPDX-License-Identifier: Apache-2.0
"""What is refused, by which element and in which words; and what isn't."""

from __future__ import annotations

import pytest
from lxml import etree

from mthook.errors import ConversionError
from mthook.xmlrewrite.family import convert
from mthook.xmlrewrite.family.board import Conversion, disks_by_bus

from .trees import NOVA, TO_PC, TO_Q35, nova

QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
OPTIONAL = (
    f"<metadata><n:instance xmlns:n='{NOVA}'><n:{{}}>optional</n:{{}}></n:instance></metadata>"
)


def arguments(*values: str) -> str:
    args = "".join(f"<qemu:arg value='{value}'/>" for value in values)
    return f"<qemu:commandline {QEMU}>{args}</qemu:commandline>"


def override(alias: str, name: str) -> str:
    inside = (
        f"<qemu:frontend><qemu:property name='{name}' type='unsigned' value='7'/></qemu:frontend>"
    )
    device = f"<qemu:device alias='{alias}'>{inside}</qemu:device>"
    return f"<qemu:override {QEMU}>{device}</qemu:override>"


def by(libvirt: int, conversion: Conversion) -> Conversion:
    return Conversion(conversion.old, conversion.new, libvirt=libvirt)


CHOSEN = "<os firmware='efi'/>"
TOO_OLD = (
    "left to choose, libvirt before 7.2 gives pc-q35-7.2 a firmware with Secure Boot; name the file in <os><loader>"
    " in place of firmware='efi' first"
)
UNKNOWN = (
    "this mthook doesn't know {}, nor what becomes of it on pc-i440fx-7.2: take it out of the definition,"
    " or update mthook"
)


def disk(inside: str, bus: str = "ide") -> str:
    return f"<devices><disk><target dev='hda' bus='{bus}'/>{inside}</disk></devices>"


def check(inside: str, conversion: Conversion) -> None:
    domain = etree.fromstring(f"<domain>{inside}</domain>")
    convert.check(domain, conversion, disks_by_bus(domain))


@pytest.mark.parametrize(
    ("conversion", "inside", "element", "message"),
    [
        (TO_PC, "<vcpu>256</vcpu>", "vcpu", "pc-i440fx-7.2 takes 255 vCPUs, the guest has 256"),
        (
            TO_PC,
            "<devices><iommu model='intel'/></devices>",
            "devices/iommu",
            "iommu intel: pc-i440fx-7.2 has no IOMMU; remove it from the guest first",
        ),
        (
            TO_PC,
            "<devices><controller type='pci' index='3' model='pcie-expander-bus'/></devices>",
            "devices/controller",
            "pci controller 3 is a pcie-expander-bus: pc-i440fx-7.2 can't have it, and the devices on it"
            " would leave their NUMA node",
        ),
        (
            TO_Q35,
            disk("<wwn>5000c50015ea71ac</wwn>"),
            "devices/disk/wwn",
            "disk hda: pc-q35-7.2 has no IDE, and a SATA disk can't have its WWN",
        ),
        (
            TO_Q35,
            disk("<address type='drive' unit='x'/>"),
            "devices/disk/address",
            "disk hda: its drive address can't be read",
        ),
        (
            TO_Q35,
            arguments("-device", "iscsi,password=sesame,bus=pci.0"),
            "qemu:commandline/qemu:arg",
            "argument with pci.0 for QEMU is made for pc-i440fx-7.2",
        ),
        (
            TO_PC,
            arguments("-device", '{"driver":"e1000","bus":"pcie.0"}'.replace('"', "&quot;")),
            "qemu:commandline/qemu:arg",
            "argument with pcie.0 for QEMU is made for pc-q35-7.2",
        ),
        (
            TO_Q35,
            arguments("-device", "ide-hd,bus=ide.0,unit=1,drive=d"),
            "qemu:commandline/qemu:arg",
            "argument with ide.0 for QEMU is made for pc-i440fx-7.2",
        ),
        (
            TO_Q35,
            arguments("-machine", "pc,accel=tcg"),
            "qemu:commandline/qemu:arg",
            "argument with -machine for QEMU is made for pc-i440fx-7.2",
        ),
        (
            TO_Q35,
            override("ide0-0-0", "rotation_rate"),
            "qemu:override/qemu:device",
            "property rotation_rate for QEMU of ide0-0-0 is made for pc-i440fx-7.2",
        ),
        (
            TO_PC,
            override("net0", "addr"),
            "qemu:override/qemu:device",
            "property addr for QEMU of net0 is made for pc-q35-7.2",
        ),
        (
            TO_PC,
            arguments("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"),
            "qemu:commandline/qemu:arg",
            "argument with ICH9-LPC for QEMU is made for pc-q35-7.2",
        ),
        (
            TO_PC,
            arguments("-global", "driver=q35-pcihost,property=pci-hole64-size,value=2G"),
            "qemu:commandline/qemu:arg",
            "argument with q35-pcihost for QEMU is made for pc-q35-7.2",
        ),
        (
            TO_PC,
            arguments("--global", "cfi.pflash01.secure=on"),
            "qemu:commandline/qemu:arg",
            "argument with cfi.pflash01 for QEMU is made for pc-q35-7.2",
        ),
        (
            TO_PC,
            arguments("-device", "intel-iommu,intremap=on"),
            "qemu:commandline/qemu:arg",
            "argument with intel-iommu for QEMU is made for pc-q35-7.2",
        ),
        (
            TO_Q35,
            arguments("-global", "PIIX4_PM.acpi-root-pci-hotplug=off"),
            "qemu:commandline/qemu:arg",
            "argument with PIIX4_PM for QEMU is made for pc-i440fx-7.2",
        ),
        (
            TO_Q35,
            arguments("-global", "i440FX-pcihost.x-pci-hole64-fix=off"),
            "qemu:commandline/qemu:arg",
            "argument with i440FX-pcihost for QEMU is made for pc-i440fx-7.2",
        ),
        (
            TO_Q35,
            arguments("-device", '{"driver":"ide-cd","drive":"d"}'.replace('"', "&quot;")),
            "qemu:commandline/qemu:arg",
            "argument with ide-cd for QEMU is made for pc-i440fx-7.2",
        ),
        (
            TO_Q35,
            arguments("-drive", "file=/srv/side.img,format=raw"),
            "qemu:commandline/qemu:arg",
            "argument with -drive for QEMU is made for pc-i440fx-7.2",
        ),
        (
            TO_Q35,
            arguments("-machine", "hpet=off,x-south-bridge=piix3"),
            "qemu:commandline/qemu:arg",
            "argument with -machine for QEMU is made for pc-i440fx-7.2",
        ),
        (
            TO_Q35,
            arguments("-usb"),
            "qemu:commandline/qemu:arg",
            "argument with -usb for QEMU is made for pc-i440fx-7.2",
        ),
        (
            TO_PC,
            arguments("-readconfig", "/srv/more.cfg"),
            "qemu:commandline/qemu:arg",
            "argument with -readconfig for QEMU is made for pc-q35-7.2",
        ),
        (
            TO_Q35,
            arguments("-set", "device.net0.rombar=0"),
            "qemu:commandline/qemu:arg",
            "argument with -set for QEMU is made for pc-i440fx-7.2",
        ),
        (
            TO_PC,
            "<devices><controller type='pci' index='1' model='pcie-root-port'><alias name='ua-gfx'/>"
            f"</controller></devices>{override('ua-gfx', 'x-speed')}",
            "qemu:override/qemu:device",
            "property x-speed for QEMU of ua-gfx is made for pc-q35-7.2",
        ),
        (
            TO_Q35,
            "<devices><controller type='ide' index='0'><alias name='ua-ide'/></controller></devices>"
            + override("ua-ide", "rotation_rate"),
            "qemu:override/qemu:device",
            "property rotation_rate for QEMU of ua-ide is made for pc-i440fx-7.2",
        ),
        (
            TO_Q35,
            "<devices><watchdog model='ib700'/></devices>",
            "devices/watchdog",
            "watchdog ib700: pc-q35-7.2 has none from libvirt 9.3 on; make it an i6300esb first",
        ),
        *(
            (TO_PC, inside, element, UNKNOWN.format(what))
            for inside, element, what in (
                ("<brandnew/>", "brandnew", "<brandnew>"),
                ("<os><varstore path='/a'/></os>", "os/varstore", "<varstore>"),
                ("<os><shim>/a</shim></os>", "os/shim", "<shim>"),
                ("<features><turbo/></features>", "features/turbo", "<turbo>"),
                ("<devices><gadget/></devices>", "devices/gadget", "<gadget>"),
                (
                    "<devices><controller type='nvme'/></devices>",
                    "devices/controller",
                    "a controller of type nvme",
                ),
            )
        ),
        (
            TO_PC,
            "<launchSecurity type='sev'/>",
            "launchSecurity",
            "pc-i440fx-7.2 has no memory encryption (sev)",
        ),
        (
            TO_PC,
            "<os><loader secure='yes'/></os>",
            "os/loader",
            "pc-i440fx-7.2 has no Secure Boot",
        ),
        (
            TO_PC,
            "<os firmware='efi'><firmware><feature name='secure-boot' enabled='yes'/></firmware></os>",
            "os/firmware/feature",
            "pc-i440fx-7.2 has no Secure Boot",
        ),
        (
            TO_PC,
            "<os><loader>/usr/share/OVMF/OVMF_CODE_4M.secboot.fd</loader></os>",
            "os/loader",
            "firmware /usr/share/OVMF/OVMF_CODE_4M.secboot.fd is built for Secure Boot, which"
            " pc-i440fx-7.2 hasn't",
        ),
        *((by(libvirt, TO_Q35), CHOSEN, "os", TOO_OLD) for libvirt in (7_000_000, 7_001_000)),
        (
            # It ignores the element.
            by(7_000_000, TO_Q35),
            "<os firmware='efi'><firmware><feature name='secure-boot' enabled='no'/></firmware></os>",
            "os",
            TOO_OLD,
        ),
    ],
)
def test_what_the_other_board_cannot_have_is_refused(
    conversion: Conversion, inside: str, element: str, message: str
) -> None:
    """With the element named."""
    with pytest.raises(ConversionError) as caught:
        check(inside, conversion)

    assert (caught.value.element, str(caught.value)) == (element, message)


@pytest.mark.parametrize(
    "path",
    [
        "/usr/share/OVMF/OVMF_CODE.ms.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE_4M.secboot.qcow2",
        "/usr/share/OVMF/OVMF_CODE_4M.snakeoil.fd",
        "/usr/share/qemu/ovmf-x86_64-smm-ms-code.bin",
        "/usr/share/qemu/edk2-x86_64-secure-code.fd",
    ],
)
def test_a_firmware_that_needs_smm_is_known_by_its_name(path: str) -> None:
    """Those of Debian, Fedora, SUSE and QEMU."""
    with pytest.raises(ConversionError):
        check(f"<os><loader>{path}</loader></os>", TO_PC)
    check(f"<os><loader>{path}</loader></os>", TO_Q35)


@pytest.mark.parametrize(
    ("conversion", "inside"),
    [
        (TO_PC, "<vcpu>255</vcpu>"),
        (TO_PC, "<vcpu>many</vcpu>"),
        (TO_Q35, "<vcpu>256</vcpu>"),
        (TO_Q35, disk("<wwn>5000c50015ea71ac</wwn>", "scsi")),
        (TO_PC, disk("<wwn>5000c50015ea71ac</wwn>")),
        (TO_Q35, arguments("-fw_cfg", "name=opt/pci,string=1")),
        (TO_Q35, arguments("-machine", "hpet=off")),
        (TO_Q35, arguments("-drive", "file=/srv/side.0.img,if=virtio")),
        (TO_Q35, arguments("-name", "pc")),
        (TO_Q35, override("ua-ide", "rotation_rate")),
        (TO_PC, override("sata0-0-0", "rotation_rate")),
        (TO_PC, arguments("-global", "PIIX4_PM.disable_s3=1")),
        (TO_Q35, arguments("-global", "ICH9-LPC.disable_s3=1")),
        (TO_Q35, arguments("-global", "ide-hd.rotation_rate=1")),
        (TO_PC, arguments("-global", "virtio-net-pci.x-txburst=1")),
        (TO_PC, arguments("-set", "drive.d.cache=none")),
        (TO_Q35, arguments("-name", "set", "-device", "virtio-rng-pci")),
        (
            TO_Q35,
            "<devices><controller type='usb'><alias name='ua-usb'/></controller></devices>"
            + override("ua-usb", "p2"),
        ),
        (TO_Q35, "<devices><watchdog model='i6300esb'/></devices>"),
        (TO_PC, "<devices><watchdog model='ib700'/></devices>"),
        *((by(libvirt, TO_Q35), CHOSEN) for libvirt in (0, 7_002_000, 12_008_000)),
        (by(7_001_000, TO_PC), CHOSEN),
        (by(7_001_000, TO_Q35), "<os><loader>/usr/share/OVMF/OVMF_CODE_4M.fd</loader></os>"),
        (by(7_001_000, TO_Q35), "<os firmware='bios'/>"),
        (TO_PC, "<n:note xmlns:n='urn:n'/><devices><n:gadget xmlns:n='urn:n'/></devices>"),
        (TO_Q35, "<launchSecurity type='sev'/>"),
        (TO_PC, "<os><loader secure='no'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader></os>"),
        (TO_PC, "<os><loader>/secboot/OVMF_CODE_4M.fd</loader></os>"),
        (TO_PC, "<os><loader>/usr/share/qemu/ovmf-x86_64-ms-code.bin</loader></os>"),
    ],
)
def test_what_either_board_can_have_is_not_refused(conversion: Conversion, inside: str) -> None:
    """Nothing is refused for looking like what is."""
    check(inside, conversion)


@pytest.mark.parametrize(
    "asked", ["property name='os_secure_boot'", "extraSpec name='os:secure_boot'"]
)
def test_optional_secure_boot_of_novas_is_not_refused(asked: str) -> None:
    """Nova itself does without it on i440fx."""
    metadata = OPTIONAL.format(asked, asked.split()[0])

    check(f"{metadata}<os firmware='efi'><loader secure='yes'/></os>", nova(TO_PC))
