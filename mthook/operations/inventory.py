# SPDX-License-Identifier: Apache-2.0
"""Instances that lack something: a machine type in Nova, or a sync that has seen them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mthook.catalog.records import Guest
from mthook.errors import NovaError

if TYPE_CHECKING:
    from mthook.host.connection import Host
    from mthook.nova.cell import Cell
    from mthook.nova.instance import NovaInstance


def unset_in_nova(
    cells: Iterable[Cell], state: str | None = None
) -> Iterator[tuple[Cell, NovaInstance | NovaError]]:
    """Yield the instances without a machine type, by cell and UUID; a few at a time are in memory.

    A cell that can't be asked yields why, and doesn't keep the others from it.

    :param state: only instances in this state; ``None``: in any.
    """
    for cell in cells:
        try:
            for instance in cell.unset():
                if state in (None, instance.vm_state):
                    yield cell, instance
        except NovaError as error:
            yield cell, error


def unseen(host: Host, guests: Iterable[Guest]) -> list[Guest]:
    """Return the guests that libvirt has and that aren't among those known; not such whose XML can't be read.

    :raises HostError: libvirt refused.
    """
    from mthook.host import domains

    known = {guest.uuid for guest in guests if guest.gone_since is None}
    found = (domain.as_guest() for domain in domains.list_domains(host))
    return [guest for guest in found if guest is not None and guest.uuid not in known]
