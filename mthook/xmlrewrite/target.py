# SPDX-License-Identifier: Apache-2.0
"""What the pipeline is asked to make of a domain."""

from __future__ import annotations


class Original:
    """A definition from before a guest's last change of family.

    :ivar before: the domain as it was then.
    :ivar after: the domain as libvirt had it right after that change: what differs from it now was
        changed since.
    :ivar at: when that was, as :func:`mthook.text.now` writes it.
    """

    __slots__ = ("after", "at", "before")

    def __init__(self, before: bytes, after: bytes, at: str) -> None:
        self.before = before
        self.after = after
        self.at = at


class Kept:
    """The last definition of a guest that satisfied its pin.

    :ivar checksum: :func:`mthook.xmlrewrite.summary.checksum` of the whole of it.
    :ivar machine: its machine type.
    :ivar at: when it was kept, as :func:`mthook.text.now` writes it.
    :ivar xml: it, as :func:`mthook.xmlrewrite.secrets.without_secrets` leaves it.
    """

    def __init__(self, uuid: str, checksum: int, machine: str, at: str, xml: bytes) -> None:
        self.uuid, self.checksum, self.machine = uuid, checksum, machine
        self.at, self.xml = at, xml


class Target:
    """What a domain is to become.

    :ivar machine: its machine type.
    :ivar instance: its UUID, None to leave no pin in its metadata.
    :ivar since: since when the pin holds, as :func:`mthook.text.now` writes it; None when that
        isn't known.
    :ivar ports: how many PCIe root ports it gets when it becomes a q35, Nova's ``[libvirt]
        num_pcie_ports``; 0 leaves that to libvirt.
    :ivar libvirt: the version of libvirt that is to define it, as libvirt counts it; 0: not known.
    :ivar original: what was kept when it last changed its family, to go back to; None if nothing.
    """

    __slots__ = ("instance", "libvirt", "machine", "original", "ports", "since")

    def __init__(
        self,
        machine: str,
        instance: str | None = None,
        since: str | None = None,
        *,
        ports: int = 0,
        libvirt: int = 0,
        original: Original | None = None,
    ) -> None:
        self.machine = machine
        self.instance = instance
        self.since = since
        self.ports = ports
        self.libvirt = libvirt
        self.original = original
