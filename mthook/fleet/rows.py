# SPDX-License-Identifier: Apache-2.0
"""What the record keeps, as plain values: their fields are the columns of their tables."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

#: Where a guest can be unlike its pin; ``elsewhere``: another host has another pin for it, or runs it as well.
DRIFT = ("running", "defined", "nova", "stopped", "elsewhere")
#: What an administrator can ask a guest's host to do.
WishKind = Literal["set", "accept", "unset"]
#: What became of a wish. ``overtaken``: the pin was changed meanwhile; ``gone``: the guest isn't on the host any more.
OutcomeKind = Literal["done", "refused", "failed", "overtaken", "gone"]


@dataclass(frozen=True)
class Host:
    """A host, how its last sync went, and whether its guard is proven.

    :ivar id: see :func:`mthook.fleet.pushing.key_of`.
    :ivar mode: of its hook.
    :ivar ran_at: when its last whole sync ended; ``succeeded_at``: when one last ended without errors.
    :ivar errors: how many errors that sync had; ``error``: the first one.
    :ivar hook_at: when its hook last recorded something.
    :ivar offer: the digest of what its QEMU offers.
    :ivar guests: how many guests are on it; of those ``running`` aren't shut off, ``unpinned`` have no pin, and the
        machine types of ``deprecated`` are deprecated by their QEMU.
    :ivar drifting: how many instances are unlike their pin.
    :ivar unstartable: how many its QEMU can't start as what they are pinned to; None: nobody knows what it offers.
    """

    id: str
    host: str
    mthook_version: str | None
    qemu_version: str | None
    libvirt_version: str | None
    mode: str | None
    ran_at: str | None
    succeeded_at: str | None
    errors: int
    error: str | None
    hook_installed: bool
    hook_current: bool
    hook_loaded: bool
    hook_at: str | None
    offer: str | None
    guests: int
    running: int
    unpinned: int
    drifting: int
    unstartable: int | None
    deprecated: int


@dataclass(frozen=True)
class Guest:
    """A guest of a host, or a pin whose guest has gone.

    :ivar name: libvirt's, and ``display``: Nova's; untrusted text.
    :ivar state: as ``list`` has it.
    :ivar nova: whether it is a Nova instance.
    :ivar machine: what it runs, or would be started as; an alias resolved as its emulator does.
    :ivar pin: its pin; the fields to ``pinned_at`` are the pin's.
    :ivar recorded: what Nova has recorded.
    :ivar stopped: what a start that was stopped would have had.
    :ivar elsewhere: the pin that another host has for it.
    :ivar drift: some of :data:`DRIFT`, separated by commas.
    :ivar deprecated: it has a machine type that its host's QEMU deprecates.
    :ivar unsupported: it can't start on its host as what it is pinned to.
    """

    uuid: str
    name: str | None
    display: str | None
    arch: str
    virt_type: str
    state: str
    nova: bool
    windows: bool
    running: str | None
    defined: str | None
    machine: str | None
    managed_save: bool
    snapshots: int
    pin: str | None
    seen: str | None
    source: str | None
    actor: str | None
    reason: str | None
    pinned_at: str | None
    recorded: str | None
    stopped: str | None
    elsewhere: str | None
    drift: str
    deprecated: bool
    unsupported: bool

    @property
    def digest(self) -> str:
        """What tells whether the row has changed."""
        return hashlib.sha256(json.dumps(list(vars(self).values())).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Machine:
    """A machine type on one host.

    :ivar guests: how many guests run it or would be started as it; ``running``: those of them that aren't shut off.
    :ivar pins: how many pins say it.
    """

    name: str
    guests: int
    running: int
    pins: int


@dataclass(frozen=True)
class Wish:
    """A change of a guest's pin that its host is to make.

    :ivar token: tells it from every other one.
    :ivar pin: the machine type, with ``set``.
    :ivar allowed: refusals that are to be warnings, separated by commas.
    :ivar expected_at: when the pin was last changed, as the record had it; None: there was none.
    :ivar outcome: what became of it; None: it is pending.
    :ivar detail: why it was refused, or failed.
    """

    uuid: str
    token: str
    kind: WishKind
    pin: str | None
    allowed: str | None
    actor: str
    reason: str | None
    made_at: str
    expected_at: str | None
    outcome: OutcomeKind | None = None
    detail: str | None = None
    done_at: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a wish; see :class:`Wish`."""

    token: str
    outcome: OutcomeKind
    detail: str | None = None
