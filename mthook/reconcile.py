# SPDX-License-Identifier: Apache-2.0
"""What becomes of a pin and of Nova's record of an instance's machine type, where the two differ.

Pure, and builtins only: the hook asks it as well as the sync. What an operator put into Nova's record wins, except over
a pin that an operator set here and that Nova hasn't got yet. What Nova wrote there by itself loses: at work on an
instance it makes the guest from the properties of an image other than its own (in a cold migration those of the
request spec, nova/conductor/tasks/migrate.py), and where those name no machine type it records its configured default
(nova/virt/libvirt/driver.py, ``_configure_guest_by_virt_type``). A missing record says nothing: Nova loses it
when two of its services save the same instance (nova/db/main/api.py, ``_instance_metadata_update_in_place``), and fills
it in again when it makes the guest anew, or when nova-compute starts.
"""

from __future__ import annotations

from mthook.errors import MachineTypeError
from mthook.machinetype import MachineType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Optional

    #: What Nova's database said when a pin was last compared with it: machine type, row, last rebuild.
    Compared = tuple[Optional[str], Optional[int], Optional[int]]
    #: A user's action on an instance: its name, when it began, and when it ended; None: it hasn't.
    Action = tuple[str, float, Optional[float]]

#: Leave both as they are.
KEEP = "keep"
#: Nova's record becomes the pin.
PULL = "pull"
#: The same, over a pin that an operator had set here: somebody changed the record meanwhile.
OVERRULE = "overrule"
#: The pin becomes Nova's record.
PUSH = "push"
#: The pin no longer counts, and Nova has no record: only the guest can tell.
ASK_GUEST = "ask the guest"
#: Leave both as they are, and say so: the pin counts, and it isn't known who wrote the record.
UNSURE = "unsure"

#: Who wrote Nova's record: an operator, or nova-api from the image that was asked for.
SOMEBODY = "somebody"
#: Nova by itself, at work on the instance.
NOVA = "Nova"
#: It was missing, and was filled in while nothing was done to the instance: by nova-compute's start, most likely.
FILLED_IN = "filled in"
#: There is no evidence, or it contradicts itself.
NOBODY_KNOWS = "nobody knows"

#: Nobody asked for what these wrote.
UNWISHED = (NOVA, FILLED_IN)

#: A rebuild that the scheduler refused. Not one of Nova's own names: its row has another action's.
REFUSED = "refused rebuild"
#: The actions by which a new instance or a new disk gets its image's properties.
_MADE_ANEW = ("create", "rebuild")
#: The actions in which Nova makes the guest from another image's properties, and overwrites its record.
OVERWRITING = ("migrate", "resize", "rescue", "unshelve", REFUSED)
#: Those in which it makes the guest anew from its record, and fills in a missing one.
FILLING_IN = ("start", "reboot", "resume", "restore", "live-migration", "revertResize", "evacuate")
#: Those that only tell how far back the list of actions reaches. The guest stays, or starts as it was defined.
TELLING = (*_MADE_ANEW, "stop", "shelve", "shelveOffload", "confirmResize", "unrescue")

#: Seconds for which an action may go on after the end in its row: its last save of the instance comes later.
_AFTERMATH = 2.0

#: Nova's own defaults (nova/virt/libvirt/utils.py, ``get_default_machine_type``).
_BUILT_IN = {
    "armv7l": "virt",
    "aarch64": "virt",
    "ppc64le": "pseries",
    "s390": "s390-ccw-virtio",
    "s390x": "s390-ccw-virtio",
    "i686": "pc",
    "x86_64": "pc",
}


def author(
    written: float | None,
    *,
    renewed: bool,
    actions: Iterable[Action],
    moves: Iterable[tuple[float, Optional[float]]],
) -> str:
    """Return who wrote Nova's record of an instance: :data:`SOMEBODY` or another of the words beside it.

    An operator's change leaves no action (``nova-manage libvirt update_machine_type``, ``nova-manage image_property
    set``). All times are those of Nova's controllers, in whole seconds.

    :param written: when it was written; None: that isn't known.
    :param renewed: its row was changed then, not created.
    :param actions: what was done to the instance, of the kinds above.
    :param moves: when its migrations to other hosts began and ended, except live ones; None: one hasn't ended.
    """
    if written is None:
        return NOBODY_KNOWS
    during, reaches_back, unclear = set(), False, False
    for name, began, ended in actions:
        if name in FILLING_IN and renewed and began == written:
            unclear = True  # an operator may have been at it right before the user
            continue
        reaches_back = reaches_back or began <= written
        if _is_within(written, began, ended):
            during.add(name)
    # When Nova saves the instance once more, it writes again what it filled in, over what was put right meanwhile.
    if during.intersection(OVERWRITING) or during.intersection(FILLING_IN):
        return NOVA
    if any(_is_within(written, *move) for move in moves):
        # Its action would say so, unless that was purged or a service died half-way.
        return NOBODY_KNOWS if reaches_back else NOVA
    if renewed:
        return SOMEBODY if reaches_back and not unclear else NOBODY_KNOWS
    return SOMEBODY if during.intersection(_MADE_ANEW) else FILLED_IN


def _is_within(written: float, began: float, ended: float | None) -> bool:
    return began <= written and (ended is None or written <= ended + _AFTERMATH)


def reconcile(
    pin: str | None,
    recorded: str | None,
    row: int | None,
    *,
    by_operator: bool,
    compared: Compared | None,
    rebuilt: bool,
    default: str | None,
    author: str,
) -> str:
    """Return what is to be done about an instance: one of this module's first constants.

    :param pin: its pin here; None: none, or a released one.
    :param recorded: its machine type in Nova; None: none.
    :param row: the id of the row that holds ``recorded``.
    :param by_operator: an operator set the pin.
    :param compared: what Nova's database said when the pin was last compared with it; None: it never was.
    :param rebuilt: the instance has been rebuilt since the pin was recorded.
    :param default: what Nova would record from its configuration.
    :param author: who wrote ``recorded``, see :func:`author`.
    """
    if rebuilt or pin is None:
        return ASK_GUEST if recorded is None else PULL
    if recorded == pin:
        return KEEP
    if recorded is None:
        return PUSH
    machine, known_row, _ = compared or (None, None, None)
    unwritten = by_operator and machine != pin
    if unwritten and (compared is None or machine == recorded):
        return PUSH
    if author == NOVA or (author == FILLED_IN and recorded == default and row != known_row):
        return PUSH
    if author == SOMEBODY:
        return OVERRULE if unwritten else PULL
    # Nova's first record of a new instance is often an alias for what the guest is pinned to.
    return PULL if compared is None and _is_alias_for(recorded, pin) else UNSURE


def _is_alias_for(recorded: str, pin: str) -> bool:
    try:
        record = MachineType.parse(recorded)
        return record.is_alias and record.family == MachineType.parse(pin).family
    except MachineTypeError:
        return False


def is_rebuilt(
    rebuild: int | None,
    began_at: str,
    compared: Compared | None,
    pinned_at: str,
    *,
    by_operator: bool,
) -> bool:
    """Tell whether an instance's pin was recorded before Nova rebuilt it: then it no longer counts.

    Where possible, rows of ``instance_actions`` are compared rather than clocks.

    :param rebuild: the id of its last rebuild; None: there was none.
    :param began_at: when that began, as :func:`mthook.text.now` has it.
    :param compared: what Nova's database said when the pin was last compared with it; None: it never was.
    :param pinned_at: when the pin was recorded.
    :param by_operator: an operator set it.
    """
    if rebuild is None:
        return False
    if compared is None or by_operator:
        return began_at > pinned_at and rebuild != (compared or (None, None, None))[2]
    return rebuild > (compared[2] or 0)


def default_machine(arch: str, configured: Iterable[str]) -> str | None:
    """Return the machine type that Nova gives an instance about which nothing else is known.

    :param configured: ``[libvirt] hw_machine_type``: entries such as ``x86_64=q35``; read as literally as by Nova, to
        whom ``x86_64 = q35`` is an architecture with a space at its end.
    :return: None if there is none for the architecture.
    """
    for entry in configured:
        name, _, machine = entry.partition("=")
        if name == arch and machine:
            return machine
    return _BUILT_IN.get(arch)
