# SPDX-License-Identifier: Apache-2.0
"""What happens to an instance's rows in Nova's database, by Nova's services or by operators."""

from __future__ import annotations

import json
import uuid as uuids
from typing import Any, Optional

from tests.lab import novarows
from tests.lab.nova import MACHINE_KEY, Cloud


def change(cloud: Cloud, uuid: str, machine: str) -> None:
    """Record another machine type, in place, as nova-manage does."""
    cloud.execute(
        "UPDATE instance_system_metadata SET value = %s, updated_at = UTC_TIMESTAMP()"
        " WHERE instance_uuid = %s AND `key` = %s AND deleted = 0",
        (machine, uuid, MACHINE_KEY),
        cloud.cell_of(uuid),
    )


def lose(cloud: Cloud, uuid: str) -> None:
    """Lose the record, as Nova does when two of its services save the same instance."""
    cloud.execute(
        "DELETE FROM instance_system_metadata WHERE instance_uuid = %s AND `key` = %s",
        (uuid, MACHINE_KEY),
        cloud.cell_of(uuid),
    )


def add_row(cloud: Cloud, uuid: str, machine: str) -> None:
    """Add a record beside what there is, as Nova does when it read before another one wrote."""
    cloud.execute(
        "INSERT INTO instance_system_metadata (created_at, instance_uuid, `key`, value, deleted)"
        " VALUES (UTC_TIMESTAMP(), %s, %s, %s, 0)",
        (uuid, MACHINE_KEY, machine),
        cloud.cell_of(uuid),
    )


def age(cloud: Cloud, uuid: str) -> None:
    """Let all that was done to an instance, and what is recorded for it, be an hour old."""
    hour = "- INTERVAL 1 HOUR"
    for table, columns in (
        ("instance_actions", ("created_at", "updated_at", "start_time")),
        ("instance_system_metadata", ("created_at", "updated_at")),
        ("migrations", ("created_at", "updated_at")),
    ):
        changes = ", ".join(f"{column} = {column} {hour}" for column in columns)
        cloud.execute(
            f"UPDATE {table} SET {changes} WHERE instance_uuid = %s", (uuid,), cloud.cell_of(uuid)
        )


def overwrite(cloud: Cloud, uuid: str, action: str, machine: str) -> None:
    """Have Nova record its default in the course of an action."""
    with cloud.connect(cloud.cell_of(uuid)) as cursor:
        novarows.begin_action(cursor, uuid, action)
    finish(cloud, uuid, action, machine)


def finish(cloud: Cloud, uuid: str, action: str, machine: str) -> None:
    """Have Nova record its default at the end of an action."""
    change(cloud, uuid, machine)
    with cloud.connect(cloud.cell_of(uuid)) as cursor:
        novarows.finish_action(cursor, uuid, action)


def migrate(
    cloud: Cloud, uuid: str, status: str, kind: str = "migration", source: str = "beta"
) -> None:
    """Add what is known of a move from a host to another one."""
    cloud.execute(
        "INSERT INTO migrations (created_at, updated_at, instance_uuid, status, migration_type,"
        " source_compute, dest_compute, deleted)"
        " VALUES (UTC_TIMESTAMP(), UTC_TIMESTAMP(), %s, %s, %s, %s, 'alpha', 0)",
        (uuid, status, kind, source),
        cloud.cell_of(uuid),
    )


def purge(cloud: Cloud, uuid: str) -> None:
    """Remove all that was done to an instance, as some operators do with what is old."""
    cloud.execute(
        "DELETE FROM instance_actions WHERE instance_uuid = %s", (uuid,), cloud.cell_of(uuid)
    )


def evacuate(cloud: Cloud, uuid: str) -> None:
    """Begin an evacuation, whose ``task_state`` is that of a rebuild."""
    cloud.set_state(uuid, task_state="rebuild_spawning")
    with cloud.connect(cloud.cell_of(uuid)) as cursor:
        novarows.begin_action(cursor, uuid, "evacuate")


def add_disk(cloud: Cloud, uuid: str, name: str, bus: Optional[str], **columns: Any) -> int:
    """Map a disk of an instance, the one that it boots from unless told otherwise; return the row's number."""
    about = {
        **{"instance_uuid": uuid, "uuid": str(uuids.uuid4()), "device_name": name, "disk_bus": bus},
        **{"device_type": "disk", "source_type": "image", "destination_type": "local"},
        **{"boot_index": 0, "image_id": novarows.IMAGE, "no_device": 0, "deleted": 0},
        **columns,
    }
    names = ", ".join(about)
    marks = ", ".join(["%s"] * len(about))
    cloud.execute(
        f"INSERT INTO block_device_mapping (created_at, {names}) VALUES (UTC_TIMESTAMP(), {marks})",
        tuple(about.values()),
        cloud.cell_of(uuid),
    )
    (row,) = cloud.execute(
        "SELECT id FROM block_device_mapping WHERE uuid = %s", (about["uuid"],), cloud.cell_of(uuid)
    )
    return int(row[0])


def disks(cloud: Cloud, uuid: str) -> list[tuple[str, Optional[str]]]:
    """Return names and buses of an instance's disks."""
    rows = cloud.execute(
        "SELECT device_name, disk_bus FROM block_device_mapping WHERE instance_uuid = %s AND deleted = 0"
        " ORDER BY id",
        (uuid,),
        cloud.cell_of(uuid),
    )
    return [(name, bus) for name, bus in rows]


def give_flavor(cloud: Cloud, uuid: str, **specs: str) -> None:
    """Give an instance's flavor extra specs, as a resize does."""
    ((text,),) = cloud.execute(
        "SELECT flavor FROM instance_extra WHERE instance_uuid = %s", (uuid,), cloud.cell_of(uuid)
    )
    flavor = json.loads(text)
    flavor["cur"]["nova_object.data"]["extra_specs"] = specs
    cloud.execute(
        "UPDATE instance_extra SET flavor = %s WHERE instance_uuid = %s",
        (json.dumps(flavor), uuid),
        cloud.cell_of(uuid),
    )


def add_node(cloud: Cloud, host: str, node: str, kind: str) -> None:
    """Add a node of a compute host."""
    numbers = ("vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used", "local_gb_used")
    names = ", ".join((*numbers, "hypervisor_version"))
    zeros = ", ".join(["0"] * (len(numbers) + 1))
    cloud.execute(
        "INSERT INTO compute_nodes (created_at, uuid, host, hypervisor_hostname, hypervisor_type,"
        f" cpu_info, deleted, {names}) VALUES (UTC_TIMESTAMP(), %s, %s, %s, %s, '', 0, {zeros})",
        (str(uuids.uuid4()), host, node, kind),
    )


def archive(cloud: Cloud, uuid: str) -> None:
    """Delete an instance and take it out of all tables, as ``nova-manage db archive_deleted_rows`` does."""
    cell = cloud.cell_of(uuid)
    cloud.delete(uuid)
    tables = ("instance_extra", "instance_info_caches", "instance_system_metadata")
    with cloud.connect(cell) as cursor:
        for table in (*tables, "instance_actions", "block_device_mapping"):
            cursor.execute(f"DELETE FROM {table} WHERE instance_uuid = %s", (uuid,))
        cursor.execute("DELETE FROM instances WHERE uuid = %s", (uuid,))
    cloud.execute("DELETE FROM instance_mappings WHERE instance_uuid = %s", (uuid,), "api")


def keep_request(cloud: Cloud, uuid: str, machine: Optional[str]) -> None:
    """Keep what the image said when the instance was asked for, as nova-api does."""
    cloud.add_spec(uuid, {"hw_machine_type": machine} if machine else {})
