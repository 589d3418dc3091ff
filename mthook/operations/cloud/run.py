# SPDX-License-Identifier: Apache-2.0
"""What is done for the instances of a cell: the request spec gets what is recorded, and so does a shelved image.

Where nothing is recorded, it is left to the instance's host, which alone knows the guest. For one that no host has,
Nova's own order of sources counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from oslo_config import cfg

from mthook import reconcile
from mthook.errors import Error, NotFound, NovaConflict, NovaError, RequestSpecError
from mthook.locks import uninterrupted
from mthook.nova import requestspecs
from mthook.nova.cell import Cell
from mthook.nova.cells import Cells
from mthook.nova.instance import NovaInstance
from mthook.operations import specs
from mthook.operations.acts import Act, Failure, LeftAlone, Result, Why
from mthook.operations.cloud.images import ShelvedImages
from mthook.operations.defaults import arch_of, check_machine, nova_would_give


class CloudRun:
    """A look at the cells.

    :param images: of shelved instances.
    :param result: is told what is done; it keeps nothing, so that a cloud may be of any size.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, cells: Cells, images: ShelvedImages, result: Result
    ) -> None:
        self._conf = conf
        self._cells = cells
        self._images = images
        self._result = result

    def whole(self, cell: Cell) -> None:
        """Go through all instances of a cell.

        :raises NovaError: a database fails, or the cell is of another cloud.
        """
        checked = False
        for page in cell.pages():
            if page and not checked:
                self._check(cell, page)
                checked = True
            self._result.guests += len(page)
            done = {one.uuid for one in self.agree(cell, page)}
            for instance in page:
                if not instance.settled:
                    self._leave_alone(instance, "nova_at_work")
                elif instance.uuid not in done and _is_unwished(instance):
                    self._leave_alone(instance, "unconfirmed", instance.machine)

    def agree(self, cell: Cell, instances: Iterable[NovaInstance]) -> Iterator[NovaInstance]:
        """Bring request specs and images to what is recorded; yield the instances that need no further look.

        :raises NovaError: a database fails.
        """
        wanted = [one for one in instances if one.settled and (one.machine or one.offloaded)]
        for instance, spec in specs.read(self._cells, cell, wanted):
            # Where a request spec names none, a cold migration would bring what Nova writes by itself anyway.
            asked, unwished = _image_property(spec), _is_unwished(instance)
            doubtful = unwished and asked not in (None, instance.machine)
            if doubtful and not instance.offloaded:
                continue  # its host puts that right or confirms it
            machine = instance.machine
            if machine is None or doubtful:
                machine = self._record(cell, instance, asked)
            if machine is None:
                continue
            if asked or not unwished:
                self._images.agree(instance, machine)
            if specs.agree(self._cells, instance, spec, machine, self._result):
                yield instance

    def _check(self, cell: Cell, page: Sequence[NovaInstance]) -> None:
        """Make sure that a cell's database belongs to the same cloud as the API database.

        :raises NovaError: it isn't.
        """
        if next(specs.read(self._cells, cell, page), None) is None:
            raise NovaError(
                f"{cell}: the API database maps none of its instances to it: does it belong to another cloud?"
            )

    def _record(self, cell: Cell, instance: NovaInstance, asked: str | None) -> str | None:
        """Record the machine type of an instance that no host has; return None where it is left alone.

        :param asked: the one in its request spec, which also overrides what a failed unshelving has left.
        """
        machine, source = nova_would_give(instance, asked, self._conf)
        if machine is None:
            self._leave_alone(instance, "no_default", arch_of(instance))
            return None
        try:
            check_machine(machine)
            with uninterrupted():
                if not self._result.dry_run:
                    # A host that has a pin for it knows better.
                    cell.record(instance.uuid, machine, expect=instance.machine, pinned=False)
                facts = {"source": source, "display_name": instance.name}
                who, old = (instance.uuid, instance.name), instance.machine
                self._result.add(Act("written", *who, old, machine, **facts))
        except (NovaConflict, NotFound) as error:
            self._leave_alone(instance, "changed_meanwhile", str(error))
            return None
        except NovaError:
            raise
        except Error as error:
            self._result.add(Failure(error, instance.uuid, instance.name, instance.name))
            return None
        return machine

    def _leave_alone(self, instance: NovaInstance, why: Why, detail: str | None = None) -> None:
        self._result.add(LeftAlone(instance.uuid, instance.name, why, detail, instance.name))


def _is_unwished(instance: NovaInstance) -> bool:
    """Tell whether Nova may have written the record by itself. Without a host nova-compute fills nothing in."""
    filled_in = instance.author == reconcile.FILLED_IN and not instance.offloaded
    return instance.machine is not None and (filled_in or instance.author == reconcile.NOVA)


def _image_property(spec: str | None) -> str | None:
    with contextlib.suppress(RequestSpecError):
        return requestspecs.machine_of(spec) if spec is not None else None
    return None
