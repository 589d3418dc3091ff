# SPDX-License-Identifier: Apache-2.0
"""Nova's words for what an instance is, and for what Nova does with it.

See nova/compute/vm_states.py and task_states.py. Builtins only: the hook reads them as well.
"""

from __future__ import annotations

ACTIVE = "active"
#: Nova hasn't started such an instance yet.
BUILDING = "building"
#: It was resized, and its user hasn't confirmed that yet: until then it may go back to where it was.
RESIZED = "resized"
#: An instance's ``task_state`` while Nova starts a rescue image in the guest's place, and its ``vm_state`` then.
RESCUING, RESCUED = "rescuing", "rescued"

#: What an instance's ``vm_state`` can be but for ``building``.
VM_STATES = (
    ACTIVE,
    "paused",
    "suspended",
    "stopped",
    RESCUED,
    RESIZED,
    "soft-delete",
    "deleted",
    "error",
    "shelved",
    "shelved_offloaded",
)
#: Those in which its guest doesn't run: ``ALLOWED_UPDATE_VM_STATES`` of nova/virt/libvirt/machine_type_utils.py.
STOPPED_STATES = ("stopped", "shelved", "shelved_offloaded")
#: Its ``task_state`` while Nova rebuilds or evacuates it (nova/compute/task_states.py, ``rebuild_states``).
REBUILD_STATES = ("rebuilding", "rebuild_block_device_mapping", "rebuild_spawning")
