# SPDX-License-Identifier: Apache-2.0
"""An instance as Nova has it, and Nova's words for its states (nova/compute/vm_states.py, task_states.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Union

from mthook import reconcile

#: The key of the machine type in ``instance_system_metadata``.
MACHINE_KEY = "image_hw_machine_type"
#: The buses that Nova keeps beside it; a change of family can make them invalid.
BUS_KEYS = ("image_hw_cdrom_bus", "image_hw_disk_bus", "image_hw_rescue_bus")

ACTIVE, ERROR = "active", "error"
#: Nova hasn't started such an instance yet.
BUILDING = "building"
#: It was resized, and its user hasn't confirmed that yet: until then it may go back to where it was.
RESIZED = "resized"
#: An instance's ``task_state`` while Nova starts a rescue image in the guest's place, and its ``vm_state`` then.
RESCUING, RESCUED = "rescuing", "rescued"
#: Its ``task_state`` while Nova starts it at a user's request; a start that fails leaves it stopped.
POWERING_ON = "powering-on"
#: It is shelved and on no host.
OFFLOADED = "shelved_offloaded"
#: Its ``vm_state`` while it is shelved, also after an unshelving that failed.
SHELVED_STATES = ("shelved", OFFLOADED)

#: All values of an instance's ``vm_state`` except ``building``.
VM_STATES = (
    ACTIVE,
    "paused",
    "suspended",
    "stopped",
    RESCUED,
    RESIZED,
    "soft-delete",
    "deleted",
    ERROR,
    "shelved",
    OFFLOADED,
)
#: Those in which its guest doesn't run: ``ALLOWED_UPDATE_VM_STATES`` of nova/virt/libvirt/machine_type_utils.py.
STOPPED_STATES = ("stopped", *SHELVED_STATES)
#: Its ``task_state`` while Nova rebuilds or evacuates it (nova/compute/task_states.py, ``rebuild_states``).
REBUILD_STATES = ("rebuilding", "rebuild_block_device_mapping", "rebuild_spawning")
#: Its ``task_state`` during actions in which Nova may write its machine type.
WORKING_STATES = (
    RESCUING,
    POWERING_ON,
    *REBUILD_STATES,
    *("resize_prep", "resize_migrating", "resize_migrated", "resize_finish"),
    *("resize_reverting", "resize_confirming", "unrescuing", "unshelving", "spawning"),
    *("reboot_pending_hard", "reboot_started_hard", "rebooting_hard"),
    *("resuming", "restoring", "migrating"),
)


@dataclass(frozen=True)
class NovaInstance:
    """An instance as Nova has it.

    :ivar host: the host it is on; None for a shelved and offloaded one.
    :ivar machine: the machine type recorded for it; None: none.
    :ivar row: the id of the row that has it.
    :ivar recorded_at: when that was written, as :func:`mthook.text.now` has it; '' if unknown.
    :ivar rows: how many rows for it count; there should be one.
    :ivar arch: the architecture that its image asks for; None: the host's.
    :ivar buses: what is recorded for device buses, by key.
    :ivar rebuild: the id of its last rebuild in ``instance_actions``, refused ones excepted; None: never rebuilt.
    :ivar rebuild_at: when that began, as :func:`mthook.text.now` has it; '' without one.
    :ivar evacuated: an evacuation is more recent than that.
    :ivar updated_at: when Nova last changed its row in ``instances``, as :func:`mthook.text.now` has it.
    :ivar author: who wrote ``machine``, see :func:`mthook.reconcile.author`.
    :ivar shelved_image: the image that it is unshelved from; None: none, as when its root is on a volume.
    :ivar ironic: it is on an ironic node; only lists set this.
    """

    uuid: str
    name: str
    host: str | None
    vm_state: str
    task_state: str | None
    machine: str | None = None
    row: int | None = None
    recorded_at: str = ""
    rows: int = 0
    arch: str | None = None
    windows: bool = False
    buses: Mapping[str, str] = field(default_factory=dict)
    rebuild: int | None = None
    rebuild_at: str = ""
    evacuated: bool = False
    author: str = reconcile.SOMEBODY
    updated_at: str = ""
    shelved_image: str | None = None
    ironic: bool = False

    @property
    def stopped(self) -> bool:
        """Whether its machine type may be changed without ``--force``."""
        return self.vm_state in STOPPED_STATES

    @property
    def must_run(self) -> bool:
        """Whether it must have a domain: it is active, and Nova isn't working on it."""
        return self.vm_state == ACTIVE and self.task_state is None

    @property
    def free(self) -> bool:
        """Whether Nova isn't working on it, and its domain isn't that of a rescue image."""
        return self.task_state is None and self.vm_state != RESCUED

    @property
    def settled(self) -> bool:
        """Whether its host's decisions will last: it is free, and no resize awaits confirmation."""
        return self.free and self.vm_state != RESIZED

    @property
    def offloaded(self) -> bool:
        """Whether it is on no host because it is shelved."""
        return self.host is None and self.vm_state == OFFLOADED

    @property
    def has_guest(self) -> bool:
        """Whether it is or can be a libvirt guest: not ironic's, nor a hostless failed build."""
        return not (self.ironic or (self.host is None and self.vm_state == ERROR))

    @property
    def way_back(self) -> str:
        """The ``openstack server`` subcommand that starts it again once its start was stopped."""
        if self.task_state == POWERING_ON:
            return "start"
        if self.vm_state in SHELVED_STATES:
            return "unshelve"
        return "reboot --hard"

    @property
    def rebuilding(self) -> bool:
        """Whether Nova is rebuilding or evacuating it."""
        return self.task_state in REBUILD_STATES


@dataclass(frozen=True)
class Whereabouts:
    """Where Nova says that an instance is.

    :ivar settled: not on its way from one host to another.
    :ivar busy: Nova is working on it.
    """

    host: str | None
    deleted: bool
    settled: bool
    busy: bool


@dataclass(frozen=True)
class PropertyChange:
    """A row of ``instance_system_metadata`` to be changed.

    :param old: the value that it must have; None: there must be none.
    """

    key: str
    old: str | None
    new: str


@dataclass(frozen=True)
class Disk:
    """What a row of ``block_device_mapping`` says about a disk's place in the guest.

    :ivar name: such as ``/dev/hda``; None: Nova chooses one.
    :ivar bus: None: the image's, or implied by the name.
    """

    row: int
    name: str | None
    bus: str | None

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} on {self.bus or 'any bus'}"


@dataclass(frozen=True)
class DiskChange:
    """A row of ``block_device_mapping`` to be changed; ``old`` is what it must say."""

    old: Disk
    new: Disk

    @property
    def key(self) -> str:
        """How messages call the row."""
        return f"block_device_mapping {self.old.row}"


#: What can be changed beside a machine type.
Change = Union[PropertyChange, DiskChange]


@dataclass(frozen=True)
class Hardware:
    """The part of an instance's hardware that depends on its machine type.

    :ivar asked: image properties by their names, and flavor extra specs by theirs, with a colon.
    """

    disks: Sequence[Disk]
    asked: Mapping[str, str]
