# SPDX-License-Identifier: Apache-2.0
"""What happens to an instance's rows in Nova's database, by Nova's services or by operators."""

from __future__ import annotations

import json

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


def migrate(cloud: Cloud, uuid: str, status: str, kind: str = "migration") -> None:
    """Add what is known of a move to another host."""
    cloud.execute(
        "INSERT INTO migrations (created_at, updated_at, instance_uuid, status, migration_type,"
        " source_compute, dest_compute, deleted)"
        " VALUES (UTC_TIMESTAMP(), UTC_TIMESTAMP(), %s, %s, %s, 'beta', 'alpha', 0)",
        (uuid, status, kind),
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


def keep_request(cloud: Cloud, uuid: str, machine: str) -> None:
    """Keep what the image said when the instance was asked for, as nova-api does."""
    properties = {"nova_object.data": {"hw_machine_type": machine}}
    image = {"nova_object.data": {"properties": properties}}
    spec = {"nova_object.name": "RequestSpec", "nova_object.data": {"image": image}}
    cloud.execute(
        "INSERT INTO request_specs (created_at, instance_uuid, spec) VALUES (UTC_TIMESTAMP(), %s, %s)",
        (uuid, json.dumps(spec)),
        "api",
    )
