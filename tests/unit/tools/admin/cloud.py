# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Nova's databases, with the promises of mthook.nova.cells and .cell.

The real ones are in tests/nova.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mthook.errors import Error, NotFound, NovaConflict, NovaError
from mthook.nova.imprint import Imprint, Property
from mthook.nova.instance import (
    MACHINE_KEY,
    Change,
    DiskChange,
    Hardware,
    NovaInstance,
    PropertyChange,
)


class Cell:
    """One cell database.

    :ivar written: how often it was written to.
    :ivar parts: the hardware of instances, by UUID.
    """

    def __init__(self, name: str) -> None:
        self.name = f"Nova's cell {name}"
        self.instances: dict[str, NovaInstance] = {}
        self.written = 0
        self.parts: dict[str, Hardware] = {}
        self.fault: str | None = None
        self._row = 0

    def get(self, uuid: str) -> NovaInstance:
        """See :meth:`mthook.nova.cell.Cell.get`."""
        if self.fault:
            raise NovaError(f"{self.name}: {self.fault}")
        if uuid not in self.instances:
            raise NotFound(f"no instance has the UUID {uuid}")
        return self.instances[uuid]

    def imprints(self, uuids: Sequence[str], *, disks: bool) -> dict[str, Imprint]:
        """See :meth:`mthook.nova.cell.Cell.imprints`."""
        rows = {uuid: self.get(uuid) for uuid in uuids}
        known = {uuid: {MACHINE_KEY: one.machine, **one.buses} for uuid, one in rows.items()}
        return {
            uuid: Imprint({key: Property(text, None, None) for key, text in one.items() if text})
            for uuid, one in known.items()
        }

    def put_back(
        self, uuid: str, before: Imprint, after: Mapping[str, str | None], *_: Any, times: bool
    ) -> None:
        """See :meth:`mthook.nova.cell.Cell.put_back`; of a machine type alone."""
        old = before.properties.get(MACHINE_KEY)
        if self.get(uuid).machine not in (after[MACHINE_KEY], old.value if old else None):
            raise NovaConflict(f"{MACHINE_KEY} of {uuid} is another in Nova now")
        self.instances[uuid] = replace(self.get(uuid), machine=old.value if old else None)

    def of_host(self, host: str) -> list[NovaInstance]:
        """See :meth:`mthook.nova.cell.Cell.of_host`."""
        return [one for one in self.instances.values() if one.host == host]

    def has_host(self, host: str) -> bool:
        """See :meth:`mthook.nova.cell.Cell.has_host`."""
        return host == "empty"

    def hardware(self, uuid: str) -> Hardware:
        """See :meth:`mthook.nova.cell.Cell.hardware`."""
        return self.parts.get(uuid, Hardware([], {}))

    def unset(self) -> Iterator[NovaInstance]:
        """See :meth:`mthook.nova.cell.Cell.unset`; a fault comes after the first row."""
        for uuid in sorted(self.instances):
            if self.instances[uuid].machine is None and self.instances[uuid].vm_state != "building":
                yield self.instances[uuid]
                if self.fault:
                    raise NovaError(f"{self.name}: {self.fault}")

    def record(
        self,
        uuid: str,
        machine: str,
        *,
        expect: str | None,
        host: str | None = None,
        changes: Sequence[Change] = (),
        pinned: bool = True,  # noqa: ARG002
    ) -> int:
        """See :meth:`mthook.nova.cell.Cell.record`."""
        instance = self.get(uuid)
        if host is not None and instance.host != host:
            raise NotFound(f"instance {uuid} is no longer on {host}")
        buses = dict(instance.buses)
        for change in (*changes, PropertyChange(MACHINE_KEY, expect, machine)):
            if isinstance(change, DiskChange):
                self._change_disk(uuid, change)
                continue
            found = instance.machine if change.key == MACHINE_KEY else buses.get(change.key)
            if found != change.old:
                raise NovaConflict(f"{change.key} of {uuid} is {found} in Nova now: look again")
            if change.key != MACHINE_KEY:
                buses[change.key] = change.new
        self._row += 1
        self.written += 1
        self.instances[uuid] = replace(instance, machine=machine, row=self._row, buses=buses)
        return self._row

    def _change_disk(self, uuid: str, change: DiskChange) -> None:
        disks = list(self.hardware(uuid).disks)
        disks[disks.index(change.old)] = change.new
        self.parts[uuid] = replace(self.hardware(uuid), disks=disks)

    def erase(self, uuid: str, *, expect: str) -> None:
        """See :meth:`mthook.nova.cell.Cell.erase`."""
        if self.get(uuid).machine != expect:
            raise NovaConflict(f"{MACHINE_KEY} of {uuid} is another in Nova now: look again")
        self.written += 1
        self.instances[uuid] = replace(self.get(uuid), machine=None, row=None)


class Cloud:
    """Cells; the first is that of every host."""

    def __init__(self) -> None:
        self.cells = {"c1": Cell("cell1"), "c2": Cell("cell2")}
        self.image: str | None = None
        self.specs: dict[str, str | None] = {}
        self.spec_fault: Error | None = None

    def add(self, uuid: str, cell: str = "c1", **facts: Any) -> NovaInstance:
        """Add an instance of this host, shut off."""
        known = {"name": "web", "host": "here", "vm_state": "stopped", "task_state": None, **facts}
        self.cells[cell].instances[uuid] = NovaInstance(uuid, **known)
        return self.cells[cell].instances[uuid]

    def machine(self, uuid: str) -> str | None:
        """Return what Nova has recorded for an instance."""
        return self.find(uuid)[1].machine

    @contextlib.contextmanager
    def opened(self, *_: object) -> Iterator[Cloud]:
        """See :func:`mthook.nova.cells.opened`."""
        yield self

    def all(self) -> list[Cell]:
        """See :meth:`mthook.nova.cells.Cells.all`."""
        return list(self.cells.values())

    def cell(self, uuid: str) -> Cell:
        """See :meth:`mthook.nova.cells.Cells.cell`."""
        if uuid not in self.cells:
            raise NotFound(f"no cell has the UUID {uuid}")
        return self.cells[uuid]

    def of_host(self, host: str) -> Cell:
        """See :meth:`mthook.nova.cells.Cells.of_host`."""
        return self.cells["c1"]

    def find(self, uuid: str) -> tuple[Cell, NovaInstance]:
        """See :meth:`mthook.nova.cells.Cells.find`."""
        for cell in self.cells.values():
            if cell.fault or uuid in cell.instances:
                return cell, cell.get(uuid)
        raise NotFound(f"no instance has the UUID {uuid}")

    def named(self, text: str) -> list[str]:
        """See :meth:`mthook.nova.cells.Cells.named`."""
        found = [one for cell in self.cells.values() for one in cell.instances.values()]
        return [one.uuid for one in found if one.name == text or one.uuid.startswith(text)]

    def keep(self) -> None:
        """See :meth:`mthook.nova.cells.Cells.keep`."""

    def identity(self) -> list[str]:
        """See :meth:`mthook.nova.cells.Cells.identity`."""
        return list(self.cells)

    def found(self, uuids: Sequence[str]) -> dict[str, tuple[Cell, NovaInstance]]:
        """See :meth:`mthook.nova.cells.Cells.found`."""
        return {uuid: self.find(uuid) for uuid in uuids if self._has(uuid)}

    def _has(self, uuid: str) -> bool:
        return any(uuid in cell.instances for cell in self.cells.values())

    def dated_specs(self, uuids: Sequence[str]) -> dict[str, Any]:
        """See :meth:`mthook.nova.cells.Cells.dated_specs`: there are none."""
        return {}

    def specify(self, uuid: str, machine: str | None, spec: str | None = None) -> str | None:
        """See :meth:`mthook.nova.cells.Cells.specify`."""
        if isinstance(self.spec_fault, Error):
            raise self.spec_fault
        before = self.specs.get(uuid)
        self.specs[uuid] = machine
        return before

    def image_property(self, uuid: str) -> str | None:
        """See :meth:`mthook.nova.cells.Cells.image_property`."""
        return self.image

    def image_properties(self, uuids: Collection[str]) -> dict[str, str | None]:
        """See :meth:`mthook.nova.cells.Cells.image_properties`."""
        return {uuid: self.specs[uuid] for uuid in uuids if uuid in self.specs}
