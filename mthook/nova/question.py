# SPDX-License-Identifier: Apache-2.0
"""What Nova has recorded for one instance: read before a start is stopped, corrected afterwards.

On the hook's fast path: modules the answer needs are imported where they are used.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Recorded:
    """What Nova's database says about an instance; for the other fields see :class:`.NovaInstance`.

    :ivar rebuilding: Nova is rebuilding it.
    :ivar rescuing: Nova is starting a rescue image in the guest's place.
    :ivar default: the machine type that Nova would record from its configuration; None: none.
    :ivar way_back: the ``openstack server`` subcommand that starts it again once its start was stopped.
    :ivar image: the image that it is unshelved from; None: it isn't shelved, or has its root on a volume.
    :ivar buses: what is recorded for device buses, by key.
    """

    def __init__(
        self,
        machine: str | None,
        row: int | None,
        author: str,
        rebuild: int | None,
        rebuild_at: str,
        rebuilding: bool,
        rescuing: bool,
        default: str | None,
        way_back: str,
        image: str | None,
        buses: Mapping[str, str],
    ) -> None:
        self.machine, self.row, self.author = machine, row, author
        self.rebuild, self.rebuild_at, self.rebuilding = rebuild, rebuild_at, rebuilding
        self.rescuing, self.default, self.way_back = rescuing, default, way_back
        self.image, self.buses = image, buses

    def values(self) -> tuple[object, ...]:
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
        author=found.author,
        rebuild=found.rebuild,
        rebuild_at=found.rebuild_at,
        rebuilding=found.rebuilding and not found.evacuated,
        rescuing=found.task_state == instance.RESCUING,
        default=reconcile.default_machine(arch, options.libvirt.hw_machine_type),
        way_back=found.way_back,
        image=found.shelved_image if found.vm_state in instance.SHELVED_STATES else None,
        buses=dict(found.buses),
    )


def put_right(files: Sequence[str], uuid: str, machine: str, expect: str | None) -> None:
    """Write an instance's pin over what Nova has recorded for it.

    :param machine: the pin.
    :param expect: what is recorded; None: nothing.
    :raises ConfigError: the configuration is wrong.
    :raises NovaError: the database can't be written, or something else is recorded by now.
    :raises NotFound: the instance no longer exists.
    """
    from mthook import conf
    from mthook.nova import cells

    options = conf.load([path for path in files if os.path.exists(path)])
    with cells.opened(options) as nova:
        # Nova says that an instance being evacuated to this host is still on the old one.
        nova.find(uuid)[0].record(uuid, machine, expect=expect)
