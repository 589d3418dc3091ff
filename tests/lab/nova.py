# SPDX-License-Identifier: Apache-2.0
"""A cloud: real Nova's databases, and instances in them."""

from __future__ import annotations

import datetime
import uuid as uuids
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from tests.lab import novarows
from tests.lab.novadatabases import Databases
from tests.lab.requirements import LabError
from tests.specs import properties_of, request_spec

MACHINE_KEY = "image_hw_machine_type"


class Cloud(Databases):
    """The databases with what happens to instances; see :class:`Databases` for how to have one."""

    def add_instance(self, uuid: Optional[str] = None, **about: Any) -> str:
        """Add an instance and return its UUID; see :meth:`add_instances`."""
        uuid = uuid or str(uuids.uuid4())
        self._add([uuid], **about)
        return uuid

    def add_instances(self, count: int, **about: Any) -> list[str]:
        """Add alike instances and return their UUIDs.

        :param host: the compute host, None for shelved-offloaded ones.
        :param vm_state, task_state, power_state: as Nova has them.
        :param machine: the recorded machine type.
        :param cell: the name of the cell.
        :param deleted: whether Nova has deleted them.
        :param image_ref: the image they come from, '' for those booted from a volume.
        :param arch: the architecture that the image asks for.
        :param metadata: further system metadata; None takes away what is there usually.
        :param columns: further columns of ``instances``, such as ``display_name``.
        """
        added = [str(uuids.uuid4()) for _ in range(count)]
        self._add(added, **about)
        return added

    def _add(
        self,
        added: Sequence[str],
        *,
        host: Optional[str] = "alpha",
        vm_state: str = "active",
        task_state: Optional[str] = None,
        power_state: int = 1,
        machine: Optional[str] = None,
        cell: str = "cell1",
        deleted: bool = False,
        image_ref: str = novarows.IMAGE,
        arch: Optional[str] = None,
        metadata: Optional[Mapping[str, Optional[str]]] = None,
        **columns: Any,
    ) -> None:
        now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0, tzinfo=None)
        columns = {
            **{"created_at": now, "updated_at": now, "launched_at": now, "node": host},
            **{"host": host, "launched_on": host, "vm_state": vm_state, "task_state": task_state},
            **{"power_state": power_state, "image_ref": image_ref, "architecture": arch},
            **columns,
        }
        stash = {MACHINE_KEY: machine, "image_hw_architecture": arch, **(metadata or {})}
        api = self.databases["api"]
        with self.connect(cell) as cursor:
            novarows.insert(cursor, added, columns, stash, api=api, cell=cell)
            if deleted:
                novarows.delete(cursor, api, added)

    def add_spec(self, uuid: str, properties: Optional[Mapping[str, Any]] = None) -> None:
        """Add an instance's request spec, as nova-api keeps it.

        :param properties: of its image.
        """
        self.add_specs({uuid: request_spec(uuid, properties)})

    def add_specs(self, specs: Mapping[str, str]) -> None:
        """Add request specs, by instance."""
        with self.connect("api") as cursor:
            cursor.executemany(
                "INSERT INTO request_specs (created_at, instance_uuid, spec)"
                " VALUES (UTC_TIMESTAMP(), %s, %s)",
                list(specs.items()),
            )

    def spec(self, uuid: str) -> str:
        """Return an instance's request spec."""
        ((spec,),) = self.execute(
            "SELECT spec FROM request_specs WHERE instance_uuid = %s", (uuid,), "api"
        )
        return str(spec)

    def specified(self, uuid: str) -> Optional[str]:
        """Return the machine type in an instance's request spec."""
        return properties_of(self.spec(uuid)).get("hw_machine_type")

    def delete(self, uuid: str) -> None:
        """Delete an instance, as Nova does."""
        with self.connect(self.cell_of(uuid)) as cursor:
            novarows.delete(cursor, self.databases["api"], [uuid])

    def cell_of(self, uuid: str) -> str:
        """Return the name of an instance's cell."""
        rows = self.execute(
            "SELECT name FROM cell_mappings JOIN instance_mappings ON cell_id = cell_mappings.id"
            " WHERE instance_uuid = %s",
            (uuid,),
            "api",
        )
        if not rows:
            raise LabError(f"No cell has an instance {uuid}.")
        return str(rows[0][0])

    def name(self, uuid: str) -> str:
        """Return the name of an instance's domain."""
        return f"instance-{self.instance(uuid)['id']:08x}"

    def instance(self, uuid: str) -> dict[str, Any]:
        """Return an instance's row."""
        (row,) = self._rows(uuid, "SELECT * FROM instances WHERE uuid = %s", uuid)
        return row

    def rows(self, uuid: str, key: str = MACHINE_KEY) -> list[dict[str, Any]]:
        """Return an instance's system metadata rows of a key, deleted ones too, oldest first."""
        return self._rows(
            uuid,
            "SELECT * FROM instance_system_metadata WHERE instance_uuid = %s AND `key` = %s"
            " ORDER BY id",
            *(uuid, key),
        )

    def machine(self, uuid: str) -> Optional[str]:
        """Return an instance's machine type as Nova has it.

        :raises LabError: there are two.
        """
        live = [row["value"] for row in self.rows(uuid) if row["deleted"] == 0]
        if len(live) > 1:
            raise LabError(f"Instance {uuid} has several machine types: {', '.join(live)}.")
        return live[0] if live else None

    def set_state(self, uuid: str, **columns: Any) -> None:
        """Change columns of an instance's row."""
        changes = ", ".join(f"`{name}` = %s" for name in columns)
        self.execute(
            f"UPDATE instances SET {changes}, updated_at = UTC_TIMESTAMP() WHERE uuid = %s",
            (*columns.values(), uuid),
            self.cell_of(uuid),
        )

    def begin_rebuild(
        self, uuid: str, *, image_ref: Optional[str] = None, **image: Optional[str]
    ) -> None:
        """Begin a rebuild, as nova-api does.

        :param image_ref: the image, the same again unless given.
        :param image: its properties, such as ``hw_machine_type``.
        """
        image_ref = image_ref or self.instance(uuid)["image_ref"]
        self.set_state(uuid, task_state="rebuilding", image_ref=image_ref, progress=0)
        stash = {"base_image_ref": image_ref, **image}
        with self.connect(self.cell_of(uuid)) as cursor:
            # With the time of the request, which is before.
            novarows.begin_action(cursor, uuid, "rebuild")
            novarows.stash_image(cursor, uuid, stash)

    def finish_rebuild(self, uuid: str, *, vm_state: str = "active") -> None:
        """Finish a rebuild, as nova-compute does."""
        with self.connect(self.cell_of(uuid)) as cursor:
            novarows.finish_action(cursor, uuid, "rebuild")
        self.set_state(uuid, task_state=None, vm_state=vm_state)

    def refuse_rebuild(self, uuid: str, image_ref: str) -> None:
        """Refuse a rebuild, as nova-conductor does where the scheduler finds no host.

        :param image_ref: the image that the instance had before.
        """
        with self.connect(self.cell_of(uuid)) as cursor:
            novarows.finish_action(cursor, uuid, "rebuild", failed=True)
        self.set_state(uuid, task_state=None, vm_state="error", image_ref=image_ref)

    def _rows(self, uuid: str, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        with self.connect(self.cell_of(uuid)) as cursor:
            cursor.execute(sql, parameters)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row)) for row in cursor.fetchall()]
