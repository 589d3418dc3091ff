# SPDX-License-Identifier: Apache-2.0
"""The rows that Nova's databases have of an instance, as nova-api and nova-compute leave them."""

from __future__ import annotations

import json
import uuid as uuids
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from pymysql.cursors import Cursor

#: The image that instances come from unless a test says otherwise.
IMAGE = "5d9a1c5e-0000-4000-8000-00000000abcd"
#: Whose they are.
PROJECT, USER = "9f2c7a1be2d94a2ab1a5ff5d3a2b0001", "9f2c7a1be2d94a2ab1a5ff5d3a2b0002"

#: What nova-api stashes of image, project and user.
_STASH = {
    "boot_roles": "reader,member",
    "image_base_image_ref": IMAGE,
    "image_container_format": "bare",
    "image_disk_format": "qcow2",
    "image_min_disk": "1",
    "image_min_ram": "0",
    "owner_project_name": "demo",
    "owner_user_name": "demo",
}

_FLAVOR = {
    "nova_object.name": "Flavor",
    "nova_object.namespace": "nova",
    "nova_object.version": "1.2",
    "nova_object.data": {
        "id": 1,
        "name": "m1.tiny",
        "memory_mb": 512,
        "vcpus": 1,
        "root_gb": 1,
        "ephemeral_gb": 0,
        "flavorid": "1",
        "swap": 0,
        "rxtx_factor": 1.0,
        "vcpu_weight": 0,
        "disabled": False,
        "is_public": True,
        "extra_specs": {},
        "description": None,
        "created_at": None,
        "updated_at": None,
        "deleted_at": None,
        "deleted": False,
    },
}
_EXTRA = {
    "flavor": json.dumps({"cur": _FLAVOR, "old": None, "new": None}),
    "pci_requests": "[]",
}
_INSTANCE = {
    "user_id": USER,
    "project_id": PROJECT,
    "image_ref": IMAGE,
    "kernel_id": "",
    "ramdisk_id": "",
    "launch_index": 0,
    "memory_mb": 512,
    "vcpus": 1,
    "root_gb": 1,
    "ephemeral_gb": 0,
    "instance_type_id": 1,
    "reservation_id": "r-mthook00",
    "hostname": "web",
    "display_name": "web",
    "display_description": "web",
    "availability_zone": "nova",
    "locked": 0,
    "root_device_name": "/dev/vda",
    "config_drive": "",
    "auto_disk_config": 1,
    "progress": 0,
    "shutdown_terminate": 0,
    "disable_terminate": 0,
    "cleaned": 0,
    "hidden": 0,
}


#: What every image has, the next one too.
_IMAGE_OWN = {key for key in _STASH if key.startswith("image_")} - {"image_base_image_ref"}
_DELETED = "deleted = id, deleted_at = UTC_TIMESTAMP()"


def insert(
    cursor: Cursor,
    uuids: Sequence[str],
    columns: Mapping[str, Any],
    metadata: Mapping[str, Optional[str]],
    *,
    api: str,
    cell: str,
) -> None:
    """Insert alike instances.

    :param cursor: in the cell's database, as somebody who may write to the API's too.
    :param columns: of the table ``instances``, beside the usual ones.
    :param metadata: system metadata beside the usual ones; None takes a usual one away.
    :param api: the name of the API database.
    :param cell: the cell's name.
    """
    columns = {**_INSTANCE, **columns}
    image = {"image_base_image_ref": columns["image_ref"]}
    stash = {k: v for k, v in {**_STASH, **image, **metadata}.items() if v is not None}
    _name(cursor, "uuids", "uuid CHAR(36)", [(uuid,) for uuid in uuids])
    _name(cursor, "stash", "`key` VARCHAR(255), value TEXT", list(stash.items()))

    times = {name: columns[name] for name in ("created_at", "updated_at")}
    own = {"instance_uuid": "uuid"}
    pairs = {**own, "key": "`key`", "value": "value"}
    _insert(cursor, "instances", {"uuid": "uuid"}, {**columns, "deleted": 0})
    _insert(cursor, "instance_extra", own, {**_EXTRA, **times, "deleted": 0})
    _insert(cursor, "instance_info_caches", own, {"network_info": "[]", **times, "deleted": 0})
    _insert(
        *(cursor, "instance_system_metadata", pairs),
        {"created_at": columns["created_at"], "deleted": 0},
        source="uuids JOIN stash",
    )
    created = {**times, "action": "create", "start_time": columns["created_at"], "deleted": 0}
    _insert(cursor, "instance_actions", own, {**created, "project_id": PROJECT, "user_id": USER})
    _map(cursor, api, cell, columns)


def delete(cursor: Cursor, api: str, uuids: Sequence[str]) -> None:
    """Delete instances as Nova does: their rows stay, marked."""
    own = "instance_uuid IN %s"
    for table in ("instance_extra", "instance_info_caches", "instance_system_metadata"):
        cursor.execute(f"UPDATE {table} SET {_DELETED} WHERE {own} AND deleted = 0", (uuids,))
    cursor.execute(
        f"UPDATE instances SET {_DELETED}, vm_state = 'deleted', task_state = NULL, power_state = 0,"
        " terminated_at = UTC_TIMESTAMP() WHERE uuid IN %s AND deleted = 0",
        (uuids,),
    )
    if "queued_for_delete" in columns_of(cursor, "instance_mappings", api):
        cursor.execute(
            f"UPDATE `{api}`.instance_mappings SET queued_for_delete = 1 WHERE {own}", (uuids,)
        )


def columns_of(cursor: Cursor, table: str, database: Optional[str] = None) -> set[str]:
    """Return the names of a table's columns; older releases have fewer."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s",
        (database, table),
    )
    return {name for (name,) in cursor.fetchall()}


def _name(cursor: Cursor, name: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
    """Give rows a name that later statements of this connection know them by."""
    cursor.execute(
        f"CREATE OR REPLACE TEMPORARY TABLE {name} (number SERIAL, {columns}) CHARACTER SET utf8mb3"
    )
    values = ", ".join(["NULL", *["%s"] * len(rows[0])])
    cursor.executemany(f"INSERT INTO {name} VALUES ({values})", rows)


def _insert(
    cursor: Cursor,
    table: str,
    taken: Mapping[str, str],
    values: Mapping[str, Any],
    *,
    source: str = "uuids",
    database: Optional[str] = None,
) -> None:
    """Insert a row for each row of the source.

    :param taken: columns with the source's columns that fill them.
    :param values: columns with what is the same in each row.
    """
    there = columns_of(cursor, table, database)
    values = {name: value for name, value in values.items() if name in there}
    columns = ", ".join(f"`{name}`" for name in (*taken, *values))
    selected = ", ".join([*taken.values(), *["%s"] * len(values)])
    name = f"`{database}`.{table}" if database else table
    cursor.execute(
        f"INSERT INTO {name} ({columns}) SELECT {selected} FROM {source} ORDER BY uuids.number",
        tuple(values.values()),
    )


def _map(cursor: Cursor, api: str, cell: str, columns: Mapping[str, Any]) -> None:
    """Let Nova find instances, and their host, in their cell."""
    cursor.execute(f"SELECT id FROM `{api}`.cell_mappings WHERE name = %s", (cell,))
    ((cell_id,),) = cursor.fetchall()
    names = ("created_at", "updated_at", "project_id", "user_id")
    common = {**{name: columns[name] for name in names}, "cell_id": cell_id, "queued_for_delete": 0}
    _insert(cursor, "instance_mappings", {"instance_uuid": "uuid"}, common, database=api)
    if columns["host"] is not None:
        cursor.execute(
            f"INSERT IGNORE INTO `{api}`.host_mappings (created_at, cell_id, host) VALUES (%s, %s, %s)",
            (columns["created_at"], cell_id, columns["host"]),
        )


def begin_action(cursor: Cursor, uuid: str, action: str) -> None:
    """Record that a user's action on an instance begins."""
    cursor.execute(
        "INSERT INTO instance_actions (created_at, action, instance_uuid, request_id, user_id,"
        " project_id, start_time, updated_at, deleted)"
        " VALUES (UTC_TIMESTAMP(), %s, %s, %s, %s, %s, UTC_TIMESTAMP(), UTC_TIMESTAMP(), 0)",
        (action, uuid, f"req-{uuids.uuid4()}", USER, PROJECT),
    )


def finish_action(cursor: Cursor, uuid: str, action: str, *, failed: bool = False) -> None:
    """Record that the last event of an action has ended. When the action itself has, Nova doesn't record."""
    cursor.execute(
        "UPDATE instance_actions SET updated_at = UTC_TIMESTAMP(), message = %s"
        " WHERE instance_uuid = %s AND action = %s ORDER BY id DESC LIMIT 1",
        ("Error" if failed else None, uuid, action),
    )


def stash_image(cursor: Cursor, uuid: str, image: Mapping[str, Optional[str]]) -> None:
    """Put an image's properties in place of the ones before, as a rebuild does.

    Nova changes rows in place, and deletes for good those that it no longer has.
    """
    stash = {f"image_{key}": value for key, value in image.items() if value is not None}
    live = "instance_uuid = %s AND deleted = 0"
    cursor.execute(f"SELECT `key` FROM instance_system_metadata WHERE {live}", (uuid,))
    before = {key for (key,) in cursor.fetchall() if key.startswith("image_")} - _IMAGE_OWN
    for key in before - set(stash):
        cursor.execute(
            f"DELETE FROM instance_system_metadata WHERE {live} AND `key` = %s", (uuid, key)
        )
    for key in before & set(stash):
        cursor.execute(
            "UPDATE instance_system_metadata SET value = %s, updated_at = UTC_TIMESTAMP()"
            f" WHERE {live} AND `key` = %s",
            (stash[key], uuid, key),
        )
    for key in set(stash) - before:
        cursor.execute(
            "INSERT INTO instance_system_metadata (created_at, instance_uuid, `key`, value, deleted)"
            " VALUES (UTC_TIMESTAMP(), %s, %s, %s, 0)",
            (uuid, key, stash[key]),
        )
