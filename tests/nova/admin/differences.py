# SPDX-License-Identifier: Apache-2.0
"""Where ``mthook-admin set`` answers otherwise than ``nova-manage libvirt update_machine_type``, and why.

Nova compares names with a fixed list of patterns (nova/virt/libvirt/machine_type_utils.py), which
have no end and whose dots stand for any character.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Difference:
    """One change that the two answer differently.

    :ivar nova: nova-manage's exit code.
    :ivar ours: mthook-admin's.
    :ivar reason: why Nova is wrong.
    """

    existing: Optional[str]
    new: str
    nova: int
    ours: int
    reason: str
    vm_state: str = "stopped"
    force: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


_UNLISTED = "Nova's list lacks a name that QEMU builds have"
_UNLISTED_OTHER = "the same; what is wrong is that the guest would get another board"
_NEVER_COMPARED = "Nova compares nothing with a recorded name that its list lacks"
_CRASH = "Nova fails for want of a version at the new name's end"
_THREE_PARTS = "Nova takes a version of three parts for newer than any of two"
_SUFFIX = "other hardware (suffix or revision) than that of the plain name"
_NO_END = "no QEMU has such a name; Nova's pattern has no end"
_NO_NAME = "no machine type can have such a name, which would end in an error at the next start"
_WINDOWS = "a Windows guest may lose IP addresses, disks and its activation"

DIFFERENCES = (
    Difference(None, "pc-i440fx-focal", 5, 0, _UNLISTED),
    Difference(None, "ubuntu", 5, 0, _UNLISTED),
    Difference(None, "pseries", 5, 0, _UNLISTED),
    Difference(None, "pseries-rhel7.6.0-sxxm", 5, 0, _UNLISTED),
    Difference(None, "virt-rhel9.4.0", 5, 0, _UNLISTED),
    Difference(None, "s390-ccw-virtio-rhel9.6.0", 5, 0, _UNLISTED),
    Difference(None, "pc-q35-rhel10.2.0", 5, 0, _UNLISTED),
    Difference("pseries-8.0", "pseries-9.0", 5, 0, _UNLISTED),
    Difference("virt-rhel9.4.0", "virt-rhel9.6.0", 5, 0, _UNLISTED),
    Difference("pc-q35-rhel9.6.0", "pc-q35-rhel10.2.0", 5, 0, _UNLISTED),
    Difference("pc", "pseries", 5, 4, _UNLISTED_OTHER),
    Difference("pc-i440fx-7.2", "pc-i440fx-jammy", 5, 4, _UNLISTED_OTHER),
    Difference("pseries", "pc", 0, 4, _NEVER_COMPARED),
    Difference("pc-i440fx-focal", "pc-q35-7.2", 0, 4, _NEVER_COMPARED),
    Difference("virt-rhel9.4.0", "pc-q35-rhel9.6.0", 0, 4, _NEVER_COMPARED),
    Difference("pseries-9.0", "pc", 1, 4, _CRASH),
    Difference("pc-q35-6.2", "pc-q35-7.2-hpb", 1, 4, _CRASH),
    Difference("pc-i440fx-7.2", "pc-i440fx-9.2+pve1", 1, 4, _CRASH),
    Difference("pc-q35-4.0.1", "pc-q35-4.1", 4, 0, _THREE_PARTS),
    Difference("pc-q35-4.0.1", "pc-q35-10.0", 4, 0, _THREE_PARTS),
    Difference("pc-q35-7.2", "pc-q35-4.0.1", 0, 4, _THREE_PARTS),
    Difference("pc-q35-7.2-hpb", "pc-q35-10.0", 0, 4, _SUFFIX),
    Difference("pc-i440fx-9.2+pve1", "pc-i440fx-7.2", 0, 4, _SUFFIX),
    Difference("pc-1.3", "pc-i440fx-2.11", 4, 0, "pc-1.3 is an i440fx, named as before QEMU 1.4"),
    Difference(None, "pc-q35-7.2garbage", 0, 5, _NO_END),
    Difference(None, "pc-i440fx-7x2", 0, 5, "the same, and its dot stands for any character"),
    Difference("pc", "pc q35", 0, 5, _NO_NAME, force=True),
    Difference("pc", "", 0, 5, _NO_NAME, force=True),
    Difference("pc", "pc q35", 3, 5, _NO_NAME, vm_state="active"),
    Difference("pc-q35-6.2", "pc-q35-7.2", 0, 4, _WINDOWS, metadata={"image_os_type": "windows"}),
)
