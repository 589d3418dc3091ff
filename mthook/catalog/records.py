# SPDX-License-Identifier: Apache-2.0
"""What the catalog keeps, as plain values. Times are text as :func:`mthook.text.now` makes it.

Their fields are the columns of their tables. Imported where they are used: the hook records without them, which takes
less time than loading :mod:`dataclasses`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pin:
    """The machine type that an instance is to keep.

    :param machine: a versioned name or an alias; None: released, the next boot records anew.
    :param source: where the machine type came from.
    :param actor: who or what recorded it last.
    :param seen: the versioned name that the guest ran with when the pin was recorded.
    :param root_image: UUIDs of the Nova images that the guest's root disk was seen with, separated by spaces.
    :param qemu_version: QEMU's version on the host that recorded it.
    :param libvirt_version: libvirt's version on the host that recorded it.
    """

    uuid: str
    machine: str | None
    arch: str
    source: str
    actor: str
    created_at: str
    updated_at: str
    seen: str | None = None
    reason: str | None = None
    root_image: str | None = None
    qemu_version: str | None = None
    libvirt_version: str | None = None


#: What can happen to a pin.
EVENTS = (
    *("pinned", "changed", "unset", "pruned", "drift", "stopped", "repaired", "realigned"),
    *("rewritten", "imported", "unguarded"),
)


@dataclass(frozen=True)
class HistoryEntry:
    """Something that happened to a pin.

    :param event: one of :data:`EVENTS`.
    :param old: the machine type before, or the pin where a guest was found unlike it.
    :param new: the machine type after, or the one that was found.
    :param change: the change that it is part of, as ``mthook-admin undo`` calls it; None: of none.
    """

    uuid: str
    at: str
    event: str
    actor: str
    old: str | None = None
    new: str | None = None
    source: str | None = None
    reason: str | None = None
    change: str | None = None


@dataclass(frozen=True)
class EventCount:
    """How often something has happened, all guests together.

    :param event: as in :class:`HistoryEntry`.
    :param by_hook: the hook recorded it.
    :param number: how often.
    :param last_at: when it last happened.
    :param operation: libvirt's, for stops and for drift that the hook found; None: for anything else.
    """

    event: str
    by_hook: bool
    number: int
    last_at: str
    operation: str | None = None


@dataclass(frozen=True)
class Repair:
    """A guest whose start was stopped.

    :param pin: the machine type it is to have.
    :param found: the one that its definition had.
    :param nova: a Nova instance: Nova defines it anew at the next start.
    :param restart: it is to be started again once it is repaired.
    """

    uuid: str
    name: str
    at: str
    pin: str
    found: str
    nova: bool
    restart: bool


@dataclass(frozen=True)
class Capability:
    """A machine type that an emulator of this host offers.

    :param virt_type: ``kvm`` or ``qemu``.
    :param canonical: the versioned name, where ``machine`` is an alias.
    :param stamp: of the emulator's file at that time, see :func:`mthook.catalog.lookup.stamp`.
    """

    emulator: str
    arch: str
    virt_type: str
    machine: str
    canonical: str | None = None
    deprecated: bool = False
    stamp: str | None = None


@dataclass(frozen=True)
class Guest:
    """A guest as last seen on this host.

    :param defined: machine type of its persistent definition; None without one.
    :param running: machine type that it runs with; None when it does not run.
    :param state: libvirt's word: ``running``, ``shut off``, ``paused``, …
    :param display: its name in Nova; None without one.
    :param seen_at: when it was last seen; the catalog fills it in.
    :param gone_since: since when it is no longer there; the catalog fills it in.
    """

    uuid: str
    name: str
    arch: str
    virt_type: str
    emulator: str | None = None
    defined: str | None = None
    running: str | None = None
    state: str = "shut off"
    managed_save: bool = False
    snapshots: int = 0
    nova: bool = False
    windows: bool = False
    display: str | None = None
    seen_at: str = ""
    gone_since: str | None = None


@dataclass(frozen=True)
class HostFacts:
    """This host, and how its last sync went.

    :param daemons: JSON text about the hook's installation: when, and which daemons were told to look for it.
    :param steady_since: since when each whole sync has followed shortly after the one before: the clock didn't jump,
        and the host wasn't off for long.
    :param last_sync_errors: JSON text about the errors of the last whole sync, even if it broke off; None: it went
        well. See :func:`mthook.operations.sync.reported.for_catalog`.
    :param ran_at: when the last whole sync ended, even if it broke off.
    :param ran_errors: how many errors it met.
    :param succeeded_at: when a whole sync last ended without errors.
    """

    hostname: str | None = None
    qemu_version: str | None = None
    libvirt_version: str | None = None
    seen_at: str | None = None
    daemons: str | None = None
    last_sync_at: str | None = None
    last_sync_ok: bool | None = None
    steady_since: str | None = None
    last_sync_errors: str | None = None
    ran_at: str | None = None
    ran_errors: int | None = None
    succeeded_at: str | None = None

    @property
    def libvirt(self) -> int:
        """libvirt's version in its own numbering: 9000000 is 9.0.0; 0: not known."""
        major, minor, micro = map(int, (self.libvirt_version or "0.0.0").split("."))
        return major * 1_000_000 + minor * 1_000 + micro


@dataclass(frozen=True)
class Compared:
    """What Nova's database said about an instance when its pin was last compared with it.

    :param machine: the recorded machine type; None: none.
    :param row: the id of the row that holds it: a different one means that the first was lost.
    :param rebuild: the id of the instance's last rebuild in ``instance_actions``; None: there was none.
    """

    uuid: str
    machine: str | None
    row: int | None
    rebuild: int | None
