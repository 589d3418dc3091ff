# SPDX-License-Identifier: Apache-2.0
"""What Nova's databases say."""

from __future__ import annotations

import json
import threading
from typing import Any, NamedTuple, Optional

import pymysql

from tests.cloud.configuration import CONTROLLER, PASSWORD

_KEY = "image_hw_machine_type"
_NAME = "hw_machine_type"


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

    def forget_request(self, uuid: str) -> None:
        """Take the machine type out of an instance's request spec, as before mthook had been there."""
        spec = self._spec(uuid)
        properties = _properties(spec)
        del properties["nova_object.data"][_NAME]
        if _NAME in properties.get("nova_object.changes", []):
            properties["nova_object.changes"].remove(_NAME)
        self.execute(
            "UPDATE nova_api.request_specs SET spec = %s WHERE instance_uuid = %s",
            *(json.dumps(spec), uuid),
        )

    def fault(self, uuid: str) -> str:
        """Return all that Nova keeps of an instance's last fault."""
        rows = self.execute(
            "SELECT details FROM nova.instance_faults WHERE instance_uuid = %s ORDER BY id DESC LIMIT 1",
            uuid,
        )
        return str(rows[0][0]) if rows else ""

    def requested(self, uuid: str) -> Optional[str]:
        """Return the machine type in an instance's request spec."""
        value: Optional[str] = _properties(self._spec(uuid))["nova_object.data"].get(_NAME)
        return value

    def _spec(self, uuid: str) -> Any:
        rows = self.execute(
            "SELECT spec FROM nova_api.request_specs WHERE instance_uuid = %s", uuid
        )
        return json.loads(rows[0][0])

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


def _properties(spec: Any) -> Any:
    """Return the object of Nova's that has the image properties of a request spec."""
    for name in ("image", "properties"):
        spec = spec["nova_object.data"][name]
    return spec
