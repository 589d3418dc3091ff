# SPDX-License-Identifier: Apache-2.0
"""What it costs to turn a guest's XML into that of another family, in this process."""

from __future__ import annotations

import time
from pathlib import Path

from bench.timing import medians, report
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.pipeline import Original, Target, rewrite
from mthook.xmlrewrite.secrets import without_secrets

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures" / "domains"
TYPICAL = "a typical domain, i440fx → q35"
NOVA = "one of Nova's, q35 → i440fx"
BACK = "a typical domain, back to what it was"
LARGE = "a domain of 1 MiB with 500 devices, i440fx → q35"
LARGE_BACK = "a domain of 1 MiB with 500 devices, back"
DENSE = "a domain of 1 MiB with 4500 devices, i440fx → q35"
#: Milliseconds of processor time that each may take.
LIMITS = {TYPICAL: 3.0, NOVA: 3.0, BACK: 3.0, LARGE: 50.0, LARGE_BACK: 50.0}
_MIB = 1024 * 1024


def run(rounds: int) -> bool:
    """Measure and print; return whether all limits are kept."""
    typical, converted = _pair("libvirt-pc-everything")
    nova, _ = _pair("nova-config-drive-q35-to-pc")
    large, dense = _large(typical, 500), _large(typical, 10_000)
    large_converted = rewrite(large, Target("pc-q35-7.2")).xml
    original, large_original = _original(typical, converted), _original(large, large_converted)
    things = {
        TYPICAL: lambda: rewrite(typical, Target("pc-q35-7.2")),
        NOVA: lambda: rewrite(nova, Target("pc")),
        BACK: lambda: rewrite(converted, Target("pc-i440fx-7.2", original=original)),
        LARGE: lambda: rewrite(large, Target("pc-q35-7.2")),
        LARGE_BACK: lambda: rewrite(
            large_converted, Target("pc-i440fx-7.2", original=large_original)
        ),
        DENSE: lambda: rewrite(dense, Target("pc-q35-7.2")),
    }
    cost = medians(things, rounds, clock=time.process_time)
    kept = report("Another family for a domain's XML (median processor time)", cost, [])
    for name, limit in LIMITS.items():
        within = cost[name] * 1000 <= limit
        kept = kept and within
        print(f"  {name}: limit {limit:.0f} ms: {'kept' if within else 'EXCEEDED'}")
    return kept


def _original(before: bytes, after: bytes) -> Original:
    """Return what the catalog keeps of a change of family."""
    kept = (without_secrets(Definition(xml)) for xml in (before, after))
    return Original(*kept, at="2026-11-22T13:00:00.000000Z")


def _pair(name: str) -> tuple[bytes, bytes]:
    before, after = (FIXTURES / f"{name}{end}" for end in ("-in.xml", "-out.xml"))
    return before.read_bytes(), after.read_bytes()


def _large(xml: bytes, most: int) -> bytes:
    """Return a domain of 1 MiB: so many disks and network cards, the rest somebody's metadata."""
    device = """
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/var/lib/libvirt/images/{0}.img'/>
      <target dev='vd{1}' bus='virtio'/>
      <address type='pci' domain='0x0000' bus='0x{2:02x}' slot='0x{3:02x}' function='0x0'/>
    </disk>
    <interface type='user'>
      <mac address='52:54:00:00:{2:02x}:{3:02x}'/>
      <model type='virtio'/>
      <address type='pci' domain='0x0001' bus='0x{2:02x}' slot='0x{3:02x}' function='0x0'/>
    </interface>"""
    head, _, tail = xml.decode().partition("</devices>")
    devices: list[str] = []
    size = len(xml)
    while size < _MIB and 2 * len(devices) < most:
        number = len(devices)
        letters = "".join(chr(ord("a") + number // 26**power % 26) for power in (2, 1, 0))
        devices.append(device.format(number, letters, number // 31 + 1, number % 31 + 1))
        size += len(devices[-1])
    note = f"<entry key='owner'>{'somebody in particular, ' * 8}</entry>\n"
    notes = note * ((_MIB - size) // len(note))
    tail = tail.replace(
        "</domain>", f"<metadata><n:notes xmlns:n='urn:n'>{notes}</n:notes></metadata></domain>"
    )
    return (head + "".join(devices) + "</devices>" + tail).encode()
