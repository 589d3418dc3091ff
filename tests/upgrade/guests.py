# SPDX-License-Identifier: Apache-2.0
"""Guests of every kind that an upgrade of QEMU may meet. None has an operating system."""

from __future__ import annotations

from dataclasses import dataclass

from tests.lab.guests import VIRT_TYPE
from tests.lab.hypervisor import Hypervisor
from tests.lab.requirements import EMULATOR

IMAGES = "/var/lib/libvirt/images"
OFF, RUNS, SAVED, TRANSIENT = "shut off", "runs", "saved", "transient"
_TEMPLATE = """\
<domain type='{virt_type}'>
  <name>{name}</name>
  <uuid>3f2c1d3e-0000-4000-8000-0000000000{number:02}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os{firmware}>
    <type arch='x86_64'{machine}>hvm</type>
    {os}
  </os>
  <features>{features}</features>
  <cpu mode='custom' match='exact' check='none'>
    <model fallback='forbid'>qemu64</model>
  </cpu>
  <devices>
    <emulator>{emulator}</emulator>
    <memballoon model='none'/>
    {devices}
  </devices>
</domain>
"""
_ACPI, _NO_USB = "<acpi/><apic/>", "<controller type='usb' model='none'/>"
_TPM = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
_SECURE = "<firmware><feature enabled='{}' name='secure-boot'/></firmware>"
_DISK = f"""\
<disk type='file' device='disk'>
  <driver name='qemu' type='qcow2'/>
  <source file='{IMAGES}/{{name}}.qcow2'/>
  <target dev='{{target}}' bus='{{bus}}'/>
</disk>"""


@dataclass(frozen=True)
class Guest:
    """A guest before the upgrade.

    :ivar machine: what its definition asks for; None: nothing.
    :ivar disk: target and bus.
    :ivar snapshot: it has one.
    :ivar late: what the forecast advises is done after the upgrade, not before.
    :ivar edited: what is done in ``virsh edit`` after the upgrade: a sed script. An older libvirt would undo it.
    """

    name: str
    machine: str | None
    state: str = OFF
    secure_boot: str | None = None
    features: str = _ACPI
    devices: str = ""
    disk: tuple[str, str] | None = None
    snapshot: bool = False
    autostart: bool = False
    late: bool = False
    edited: str = ""

    def xml(self, number: int) -> str:
        """Return its definition."""
        disk = ""
        if self.disk:
            disk = _DISK.format(name=self.name, target=self.disk[0], bus=self.disk[1])
        return _TEMPLATE.format(
            # Not every KVM has the System Management Mode that Secure Boot takes.
            virt_type="qemu" if self.secure_boot == "yes" else VIRT_TYPE,
            name=self.name,
            number=number,
            memory=64 if self.secure_boot is None else 256,
            firmware=" firmware='efi'" if self.secure_boot else "",
            machine=f" machine='{self.machine}'" if self.machine else "",
            os=_SECURE.format(self.secure_boot) if self.secure_boot else "",
            features=self.features + ("<smm state='on'/>" if self.secure_boot == "yes" else ""),
            emulator=EMULATOR,
            devices=self.devices + disk,
        )

    @property
    def runs(self) -> bool:
        """Whether it runs through the upgrade."""
        return self.state in (RUNS, TRANSIENT)


GUESTS = (
    Guest("pc", "pc"),
    Guest("q35", "q35"),
    Guest("none", None),
    Guest("pc-runs", "pc", RUNS),
    Guest("q35-runs", "pc-q35-6.2", RUNS),
    Guest("autostart", "pc-q35-5.2", RUNS, autostart=True),
    Guest("transient", "pc-i440fx-6.2", TRANSIENT),
    Guest("pc-old", "pc-i440fx-2.1"),
    Guest("pc-old-late", "pc-i440fx-2.1", late=True),
    Guest("pc-old-runs", "pc-i440fx-2.3", RUNS, late=True),
    Guest("q35-old", "pc-q35-2.4"),
    Guest("isapc", "isapc", features="", devices=_NO_USB),
    # libvirt 9.0 gives every guest PS/2 devices. 11.3 knows that QEMU has none for this one.
    Guest("microvm", "microvm", features="<acpi/>", devices=_NO_USB, edited="/ps2/d"),
    Guest("uefi", "pc-q35-7.1", secure_boot="no"),
    Guest("secure-boot", "pc-q35-7.1", secure_boot="yes"),
    Guest("tpm", "pc-q35-7.0", devices=_TPM),
    Guest("sata", "pc-q35-4.2", disk=("sda", "sata")),
    Guest("ide", "pc-i440fx-4.2", disk=("hda", "ide")),
    Guest("saved", "pc-i440fx-5.2", SAVED),
    Guest("saved-old", "pc-i440fx-2.2", SAVED),
    Guest("snapshot", "pc-q35-6.0", disk=("vda", "virtio"), snapshot=True),
    Guest("snapshot-old", "pc-i440fx-2.2", disk=("vda", "virtio"), snapshot=True),
)


def make(host: Hypervisor) -> None:
    """Define all guests and bring them to their states."""
    for number, guest in enumerate(GUESTS, 1):
        host.path("/root/guest.xml").write_text(guest.xml(number))
        if guest.disk:
            image = f"{IMAGES}/{guest.name}.qcow2"
            host.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "8M"])
        host.virsh("create" if guest.state == TRANSIENT else "define", "/root/guest.xml")
        if guest.state in (RUNS, SAVED):
            host.virsh("start", guest.name)
        if guest.state == SAVED:
            host.virsh("managedsave", guest.name)
        if guest.snapshot:
            host.virsh("snapshot-create-as", guest.name, "before")
        if guest.autostart:
            host.virsh("autostart", guest.name)
