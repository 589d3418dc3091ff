# SPDX-License-Identifier: Apache-2.0
"""What guests are measured by: another QEMU, known by its offer or by upstream's rule alone, or another default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional, Protocol

from mthook import reconcile, releases
from mthook.errors import MachineTypeError
from mthook.machinetype import MachineType
from mthook.operations.forecast.guests import Guest
from mthook.operations.forecast.offering import Offering

#: Whether a QEMU has a machine type, None where nothing tells; and the versioned name that it has for it.
Answer = tuple[Optional[bool], str]


class Qemu(Protocol):
    """A QEMU that guests might come to."""

    @property
    def release(self) -> releases.Release | None:
        """Which upstream release it is, as far as that is known."""

    @property
    def libvirt(self) -> releases.Release | None:
        """Which libvirt runs it, as far as that is known."""

    def answer(self, guest: Guest, machine: str) -> Answer:
        """Tell whether it has a machine type for a guest."""

    def names(self, guest: Guest) -> list[str] | None:
        """Return what it has for a guest; None: it has no list."""

    def deprecates(self, guest: Guest, machine: str) -> bool:
        """Tell whether it deprecates a machine type that it has."""


@dataclass(frozen=True)
class Offered:
    """One whose list of machine types is known: that alone counts."""

    offering: Offering

    @property
    def release(self) -> releases.Release | None:
        """The release of its version."""
        return _release(self.offering.qemu_version)

    @property
    def libvirt(self) -> releases.Release | None:
        """The release of libvirt's version; a binary has none."""
        return _release(self.offering.libvirt_version or "")

    def answer(self, guest: Guest, machine: str) -> Answer:
        """Tell by the list."""
        offer = self.offering.like(guest.arch, guest.virt_type)
        if offer is None:
            return None, machine
        return offer.has(machine), offer.stands_for(machine)

    def names(self, guest: Guest) -> list[str]:
        """Return the list."""
        offer = self.offering.like(guest.arch, guest.virt_type)
        return offer.names if offer else []

    def deprecates(self, guest: Guest, machine: str) -> bool:
        """Tell by the list."""
        offer = self.offering.like(guest.arch, guest.virt_type)
        return offer is not None and machine in offer.deprecated


def _release(version: str) -> releases.Release | None:
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


@dataclass(frozen=True)
class Released:
    """An upstream release, known by its number alone: the rule counts, and vendors' lines can't be judged."""

    release: releases.Release
    libvirt = None

    def answer(self, guest: Guest, machine: str) -> Answer:  # noqa: ARG002
        """Tell by the rule."""
        try:
            found = releases.has(self.release, MachineType.parse(machine))
        except MachineTypeError:
            found = None
        return found, releases.stands_for(self.release, machine)

    def names(self, guest: Guest) -> None:  # noqa: ARG002
        """Return no list: there is none."""

    def deprecates(self, guest: Guest, machine: str) -> bool:  # noqa: ARG002
        """Tell by the rule."""
        return releases.is_deprecated(self.release, MachineType.parse(machine))


@dataclass(frozen=True)
class Prospect:
    """What is to come.

    :ivar qemu: the QEMU that guests will run in.
    :ivar current: the one that they run in now.
    :ivar enforcing: starts are held to the pins.
    :ivar nova_defaults: ``[libvirt] hw_machine_type``.
    :ivar new_defaults: the defaults to be, by architecture.
    """

    qemu: Qemu
    current: Qemu
    enforcing: bool = True
    nova_defaults: tuple[str, ...] = ()
    new_defaults: Mapping[str, str] = field(default_factory=dict)

    def default(self, arch: str) -> str | None:
        """Return what Nova gives an instance that has nothing recorded."""
        return self.new_defaults.get(arch) or reconcile.default_machine(arch, self.nova_defaults)
