# SPDX-License-Identifier: Apache-2.0
"""What Nova has recorded for one instance: the question that is asked before a start is stopped.

On the hook's fast path: what the answer takes is imported where it is asked for.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Recorded:
    """What Nova's database says of an instance at present; what isn't explained here is in :class:`.NovaInstance`.

    :ivar rebuilding: Nova is rebuilding it.
    :ivar rescuing: Nova is starting a rescue image in the guest's place.
    :ivar default: the machine type that Nova would record from its configuration; None: none.
    """

    def __init__(
        self,
        machine: str | None,
        row: int | None,
        by_rescue: bool,
        rebuild: int | None,
        rebuild_at: str,
        rebuilding: bool,
        rescuing: bool,
        default: str | None,
    ) -> None:
        self.machine, self.row, self.by_rescue = machine, row, by_rescue
        self.rebuild, self.rebuild_at, self.rebuilding = rebuild, rebuild_at, rebuilding
        self.rescuing, self.default = rescuing, default

    def values(self) -> tuple[str | int | None, ...]:
        """Return it in the order of the constructor, for a pipe."""
        return tuple(vars(self).values())


def ask(files: Sequence[str], uuid: str) -> Recorded | None:
    """Return what Nova has recorded for an instance; None: Nova has no such instance.

    :param files: the configuration files; one that doesn't exist counts as empty.
    """
    from mthook import conf, reconcile
    from mthook.errors import NotFound
    from mthook.nova import cells, instance

    options = conf.load([path for path in files if os.path.exists(path)])
    with cells.opened(options) as nova:
        try:
            _, found = nova.find(uuid)
        except NotFound:
            return None
    arch = found.arch or os.uname().machine
    return Recorded(
        machine=found.machine,
        row=found.row,
        by_rescue=found.by_rescue,
        rebuild=found.rebuild,
        rebuild_at=found.rebuild_at,
        rebuilding=found.rebuilding and not found.evacuated,
        rescuing=found.task_state == instance.RESCUING,
        default=reconcile.default_machine(arch, options.libvirt.hw_machine_type),
    )
