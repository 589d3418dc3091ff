# SPDX-License-Identifier: Apache-2.0
"""What happens to an instance's rows in Nova's database, by Nova's services or by operators."""

from __future__ import annotations

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


def evacuate(cloud: Cloud, uuid: str) -> None:
    """Begin an evacuation, whose ``task_state`` is that of a rebuild."""
    cloud.set_state(uuid, task_state="rebuild_spawning")
    with cloud.connect(cloud.cell_of(uuid)) as cursor:
        novarows.begin_action(cursor, uuid, "evacuate")


def keep_request(cloud: Cloud, uuid: str, machine: str) -> None:
    """Keep what the image said when the instance was asked for, as nova-api does."""
    cloud.add_spec(uuid, {"hw_machine_type": machine})
