# SPDX-License-Identifier: Apache-2.0
"""Bring request specs to what Nova has recorded: at a cold migration or resize the spec counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from mthook.errors import NovaConflict, RequestSpecError
from mthook.locks import uninterrupted
from mthook.nova import requestspecs
from mthook.operations.acts import Act, LeftAlone, Result, Why

if TYPE_CHECKING:
    from mthook.nova.cell import Cell
    from mthook.nova.cells import Cells
    from mthook.nova.instance import NovaInstance

#: How many specs are in memory at a time; each is some KiB.
_BATCH = 200


def read(
    cells: Cells, cell: Cell, instances: Sequence[NovaInstance]
) -> Iterator[tuple[NovaInstance, str | None]]:
    """Yield instances with their request specs, only those that are mapped to their cell."""
    for start in range(0, len(instances), _BATCH):
        batch = instances[start : start + _BATCH]
        found = cells.request_specs(cell, [one.uuid for one in batch])
        yield from ((one, found[one.uuid]) for one in batch if one.uuid in found)


def agree(
    cells: Cells, instance: NovaInstance, spec: str | None, machine: str, result: Result
) -> bool:
    """Bring an instance's request spec to its machine type.

    :param spec: as it was read; None: there is none.
    :return: False: somebody else changed it meanwhile.
    :raises NovaError: the database failed.
    """
    who, display = (instance.uuid, instance.name), instance.name
    try:
        _replace(cells, instance, spec, machine, result)
    except RequestSpecError as error:
        result.add(LeftAlone(*who, cast(Why, error.reason), str(error), display))
    except NovaConflict as error:
        result.add(LeftAlone(*who, "changed_meanwhile", str(error), display))
        return False
    return True


def _replace(
    cells: Cells, instance: NovaInstance, spec: str | None, machine: str, result: Result
) -> None:
    if spec is None:
        raise RequestSpecError("there is none", "spec_missing")
    old = requestspecs.machine_of(spec)
    if old == machine:
        return
    new = requestspecs.with_machine(spec, machine)
    with uninterrupted():
        if not result.dry_run:
            cells.replace_spec(instance.uuid, spec, new)
        name = instance.name
        result.add(Act("specified", instance.uuid, name, old, machine, display_name=name))
