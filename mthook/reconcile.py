# SPDX-License-Identifier: Apache-2.0
"""What becomes of a pin and of Nova's record of an instance's machine type, where the two differ.

Pure, and builtins only: the hook asks it as well as the sync. Nova's record wins, except over a pin that an operator
set here and that Nova hasn't got yet. That the record is missing says nothing: Nova loses it when two of its services
save the same instance (nova/db/main/api.py, ``_instance_metadata_update_in_place``), and fills it in again from its
configuration when nova-compute starts.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Optional

    #: What Nova's database said when a pin was last compared with it: machine type, row, last rebuild.
    Compared = tuple[Optional[str], Optional[int], Optional[int]]

#: Leave both as they are.
KEEP = "keep"
#: Nova's record becomes the pin.
PULL = "pull"
#: The same, over a pin that an operator had set here: somebody changed the record meanwhile.
OVERRULE = "overrule"
#: The pin becomes Nova's record.
PUSH = "push"
#: The pin counts no more, and Nova has no record: only the guest can tell.
ASK_GUEST = "ask the guest"

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


def reconcile(
    pin: str | None,
    recorded: str | None,
    row: int | None,
    *,
    by_operator: bool,
    compared: Compared | None,
    rebuilt: bool,
    default: str | None,
    by_rescue: bool = False,
) -> str:
    """Return what is to be done about an instance: one of this module's words in capitals.

    :param pin: its pin here; None: none, or a released one.
    :param recorded: its machine type in Nova; None: none.
    :param row: the id of the row that holds ``recorded``.
    :param by_operator: an operator set the pin.
    :param compared: what Nova's database said when the pin was last compared with it; None: it never was.
    :param rebuilt: the instance has been rebuilt since the pin was recorded.
    :param default: what Nova would record from its configuration.
    :param by_rescue: ``recorded`` was written while the instance was in rescue.
    """
    if rebuilt or pin is None:
        return ASK_GUEST if recorded is None else PULL
    if recorded == pin:
        return KEEP
    if recorded is None:
        return PUSH
    machine, known_row, _ = compared or (None, None, None)
    if by_operator and machine != pin:
        return PUSH if compared is None or machine == recorded else OVERRULE
    if machine == pin and recorded == default and (by_rescue or row != known_row):
        return PUSH  # Nova lost what it had and recorded its default: nobody asked for that
    return PULL


def is_rebuilt(
    rebuild: int | None,
    began_at: str,
    compared: Compared | None,
    pinned_at: str,
    *,
    by_operator: bool,
) -> bool:
    """Tell whether an instance's pin was recorded before Nova rebuilt it: then it counts no more.

    Rows of ``instance_actions`` are counted rather than clocks compared, where that can be.

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
    """Return the machine type that Nova gives an instance of which nothing else is known.

    :param configured: ``[libvirt] hw_machine_type``: entries such as ``x86_64=q35``; read as literally as by Nova, to
        whom ``x86_64 = q35`` is an architecture with a space at its end.
    :return: None for an architecture for which there is none.
    """
    for entry in configured:
        name, _, machine = entry.partition("=")
        if name == arch and machine:
            return machine
    return _BUILT_IN.get(arch)
