# SPDX-License-Identifier: Apache-2.0
"""What Nova's databases say."""

from __future__ import annotations

import json
import threading
from typing import Any, NamedTuple, Optional

import pymysql

from tests.cloud.configuration import CONTROLLER, PASSWORD

_KEY = "image_hw_machine_type"
_PROPERTIES = ("image", "properties")


class Instance(NamedTuple):
    """What Nova knows of an instance."""

    id: int
    host: Optional[str]
    vm_state: str
    task_state: Optional[str]


class Records:
    """A connection, shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = pymysql.connect(
            host=CONTROLLER, user="nova", password=PASSWORD, autocommit=True
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def execute(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Execute one statement and return its rows."""
        with self._lock, self._connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())

    def instance(self, uuid: str) -> Optional[Instance]:
        """Return an instance; None if it is deleted."""
        rows = self.execute(
            "SELECT id, host, vm_state, task_state FROM nova.instances WHERE uuid = %s AND deleted = 0",
            uuid,
        )
        return Instance(*rows[0]) if rows else None

    def failed_action(self, uuid: str) -> Optional[str]:
        """Return the name of the last thing that was done to an instance if it failed."""
        rows = self.execute(
            "SELECT action, message FROM nova.instance_actions WHERE instance_uuid = %s "
            "ORDER BY id DESC LIMIT 1",
            uuid,
        )
        return rows[0][0] if rows and rows[0][1] == "Error" else None

    def machine_type(self, uuid: str) -> Optional[str]:
        """Return what is recorded for an instance; several values are listed."""
        rows = self.execute(
            "SELECT value FROM nova.instance_system_metadata "
            "WHERE instance_uuid = %s AND `key` = %s AND deleted = 0",
            *(uuid, _KEY),
        )
        return ", ".join(value for (value,) in rows) or None

    def lose_machine_type(self, uuid: str) -> None:
        """Remove what is recorded for an instance, as saving it can."""
        self.execute(
            "DELETE FROM nova.instance_system_metadata WHERE instance_uuid = %s AND `key` = %s",
            *(uuid, _KEY),
        )

    def requested(self, uuid: str) -> Optional[str]:
        """Return the machine type in an instance's request spec."""
        rows = self.execute(
            "SELECT spec FROM nova_api.request_specs WHERE instance_uuid = %s", uuid
        )
        found: Any = json.loads(rows[0][0])["nova_object.data"]
        for name in _PROPERTIES:
            found = found[name]["nova_object.data"]
        value: Optional[str] = found.get("hw_machine_type")
        return value

    def hosts(self) -> set[str]:
        """Return the compute hosts that are in a cell."""
        return {name for (name,) in self.execute("SELECT host FROM nova_api.host_mappings")}

    def seconds_since_report(self, host: str) -> Optional[float]:
        """Return how long ago a nova-compute said that it is up."""
        rows = self.execute(
            "SELECT TIMESTAMPDIFF(MICROSECOND, last_seen_up, UTC_TIMESTAMP(6)) / 1e6 "
            "FROM nova.services WHERE host = %s AND `binary` = 'nova-compute' AND deleted = 0",
            host,
        )
        return float(rows[0][0]) if rows and rows[0][0] is not None else None
