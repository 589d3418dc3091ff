# SPDX-License-Identifier: Apache-2.0
"""Guests, pins, times and files that the tests of the catalog share."""

from __future__ import annotations

import os

from mthook.catalog import files
from mthook.catalog.records import Capability, Pin
from mthook.xmlrewrite.summary import Summary

UUID = "3f2c1d3e-0000-4000-8000-000000000001"
OTHER = "3f2c1d3e-0000-4000-8000-000000000002"
THIRD = "3f2c1d3e-0000-4000-8000-000000000003"
#: Three moments, a second apart.
AT = "2026-11-22T13:00:00.000000Z"
LATER = "2026-11-22T13:00:01.000000Z"
LATEST = "2026-11-22T13:00:02.000000Z"
KVM = "/usr/bin/qemu-system-x86_64"


def summary(uuid: str = UUID, name: str = "web1", nova: bool = False) -> Summary:
    """Return a guest as the hook sees it."""
    guest = Summary()
    guest.uuid, guest.name, guest.nova = uuid, name, nova
    guest.arch, guest.virt_type, guest.emulator = "x86_64", "kvm", KVM
    guest.root_image = "0a000000-0000-4000-8000-00000000000a"
    return guest


def pin(uuid: str = UUID, machine: str | None = "pc-i440fx-7.2", updated_at: str = AT) -> Pin:
    """Return a pin with every field filled."""
    return Pin(
        uuid=uuid,
        machine=machine,
        arch="x86_64",
        source="running guest",
        actor="mthook-sync",
        created_at=AT,
        updated_at=updated_at,
        seen=machine,
        reason="first sync",
        root_image="0a000000-0000-4000-8000-00000000000a",
        qemu_version="7.2.22",
        libvirt_version="9.0.0",
    )


def alias(machine: str, canonical: str | None, emulator: str = KVM) -> Capability:
    """Return a machine type that an emulator offers, an alias where it has a canonical name."""
    return Capability(emulator, "x86_64", "kvm", machine, canonical)


def make_empty(path: str) -> None:
    """Make an empty file where the catalog belongs."""
    files.create_directory(os.path.dirname(path))
    files.create_file(path)


def names(path: str) -> list[str]:
    """Return the names of all files beside the catalog, its own too."""
    return sorted(os.listdir(os.path.dirname(path)))
