# SPDX-License-Identifier: Apache-2.0
"""Small guests: no disk, 64 MiB, up in a second."""

from __future__ import annotations

import os
from xml.sax.saxutils import escape, quoteattr

from tests.lab.requirements import EMULATOR

#: The machine type of a guest whose test doesn't care; QEMU 7.2 and newer have it.
MACHINE = "pc-i440fx-7.2"


def _virt_type() -> str:
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return "qemu"
    return "kvm"


#: ``kvm`` where this machine has it, else ``qemu``: software emulation.
VIRT_TYPE = _virt_type()


def guest_xml(
    name: str,
    uuid: str,
    machine: str = MACHINE,
    *,
    metadata: str = "",
    devices: str = "",
    virt_type: str = VIRT_TYPE,
    memory_mib: int = 64,
) -> str:
    """Return the definition of a guest without disks.

    :param metadata: XML inside its ``<metadata>``.
    :param devices: XML to add to its ``<devices>``.
    """
    # A CPU of its own: host-model doesn't start on every machine that runs tests.
    return f"""\
<domain type='{virt_type}'>
  <name>{escape(name)}</name>
  <uuid>{uuid}</uuid>
  <metadata>{metadata}</metadata>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine={quoteattr(machine)}>hvm</type>
  </os>
  <cpu mode='custom' match='exact' check='none'>
    <model fallback='forbid'>qemu64</model>
  </cpu>
  <devices>
    <emulator>{EMULATOR}</emulator>
    <memballoon model='none'/>
    {devices}
  </devices>
</domain>
"""
