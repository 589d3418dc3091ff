# SPDX-License-Identifier: Apache-2.0
"""Small guests: no disk, 64 MiB, up in a second."""

from __future__ import annotations

import os
import re
import subprocess
from xml.sax.saxutils import escape, quoteattr

from tests.lab.requirements import EMULATOR


class Offer:
    """The i440fx and q35 machine types of this machine's QEMU; without a QEMU there are none."""

    def __init__(self) -> None:
        command = [EMULATOR, "-machine", "help"]
        try:
            self._text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except OSError:
            self._text = ""

    def stands_for(self, alias: str) -> str:
        """Return the versioned name behind an alias."""
        found = re.search(rf"^{alias} .*\(alias of (\S+)\)$", self._text, re.MULTILINE)
        return found.group(1) if found else alias

    def has(self, name: str) -> bool:
        """Tell whether a machine type is among them."""
        return f"\n{name} " in self._text

    def releases(self, *, deprecated: bool) -> list[str]:
        """Return those of i440fx that QEMU deprecates, or doesn't; the newest first."""
        # Before 1.4 there was no other board, and none in the name.
        rows = re.findall(r"^(pc-(?:i440fx-)?[0-9.]+) (.*)$", self._text, re.MULTILINE)
        names = [name for name, text in rows if ("(deprecated)" in text) == deprecated]
        return sorted(names, key=_version, reverse=True)


def _version(name: str) -> list[int]:
    return [int(number) for number in name.rpartition("-")[2].split(".")]


OFFER = Offer()
#: What a guest gets that asks for ``pc`` or for nothing, and for ``q35``: another one with each QEMU.
PC, Q35 = OFFER.stands_for("pc"), OFFER.stands_for("q35")
#: Those of a year ago, which no QEMU deprecates yet, and of one release ago: there are three a year.
OLD_PC, LAST_PC = (next(iter(OFFER.releases(deprecated=False)[ago:]), PC) for ago in (3, 1))
OLD_Q35 = OLD_PC.replace("pc-i440fx", "pc-q35")


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
    machine: str = PC,
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
  {f"<metadata>{metadata}</metadata>" if metadata else ""}
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
