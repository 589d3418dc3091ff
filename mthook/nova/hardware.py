# SPDX-License-Identifier: Apache-2.0
"""An instance's hardware that depends on its machine type, as a cell database has it."""

from __future__ import annotations

import json

import sqlalchemy as sa

from mthook.nova.instance import Disk, Hardware
from mthook.nova.tables import DISKS, EXTRAS, PROPERTIES

#: Image properties that matter; flavor extra specs with the same meaning have a colon after the first word.
_NAMES = (
    "hw_firmware_type",
    "hw_mem_encryption",
    "hw_mem_encryption_model",
    "hw_viommu_model",
    "os_secure_boot",
)
#: What Nova puts before the names of image properties.
_PREFIX = "image_"


def of(connection: sa.engine.Connection, uuid: str) -> Hardware:
    """See :meth:`mthook.nova.cell.Cell.hardware`."""
    return Hardware(
        _disks(connection, uuid), {**_properties(connection, uuid), **_specs(connection, uuid)}
    )


def _disks(connection: sa.engine.Connection, uuid: str) -> list[Disk]:
    query = sa.select(DISKS).where(DISKS.c.instance_uuid == uuid, DISKS.c.deleted == 0)
    rows = connection.execute(query.order_by(DISKS.c.id))
    return [Disk(row.id, row.device_name, row.disk_bus) for row in rows]


def _properties(connection: sa.engine.Connection, uuid: str) -> dict[str, str]:
    of = PROPERTIES.c
    keys = [f"{_PREFIX}{name}" for name in _NAMES]
    query = sa.select(PROPERTIES).where(
        of.instance_uuid == uuid, of.key.in_(keys), of.deleted == 0, of.value != ""
    )
    # If there are several rows, Nova uses the last one.
    return {row.key[len(_PREFIX) :]: row.value for row in connection.execute(query.order_by(of.id))}


def _specs(connection: sa.engine.Connection, uuid: str) -> dict[str, str]:
    """Return extra specs of an instance's present flavor; none if they can't be understood.

    See nova/objects/instance.py, ``_flavor_from_db``.
    """
    query = sa.select(EXTRAS.c.flavor).where(EXTRAS.c.instance_uuid == uuid, EXTRAS.c.deleted == 0)
    try:
        flavor = json.loads(connection.execute(query).scalar() or "")["cur"]
        specs = dict(flavor["nova_object.data"]["extra_specs"])
    except (ValueError, LookupError, TypeError):
        return {}
    names = [name.replace("_", ":", 1) for name in _NAMES]
    return {name: str(specs[name]) for name in names if specs.get(name)}
