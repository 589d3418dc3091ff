# SPDX-License-Identifier: Apache-2.0
"""Nova's tables: only columns that Nova has had since Queens, and only those used.

The operator guide grants mthook rights to exactly these columns: a test compares them.
"""

from __future__ import annotations

import sqlalchemy as sa

#: A cell database's tables, and the API database's.
CELL, API = sa.MetaData(), sa.MetaData()

INSTANCES = sa.Table(
    "instances",
    CELL,
    sa.Column("uuid", sa.String(36)),
    sa.Column("display_name", sa.String(255)),
    sa.Column("host", sa.String(255)),
    sa.Column("node", sa.String(255)),
    sa.Column("vm_state", sa.String(255)),
    sa.Column("task_state", sa.String(255)),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("image_ref", sa.String(255)),
    sa.Column("deleted", sa.Integer),
)
#: A row counts while its ``deleted`` is 0. No unique key guards this table (nova/db/main/models.py,
#: ``InstanceSystemMetadata``), so every writer has to.
PROPERTIES = sa.Table(
    "instance_system_metadata",
    CELL,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("instance_uuid", sa.String(36)),
    sa.Column("key", sa.String(255), quote=True),
    sa.Column("value", sa.String(255)),
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("deleted", sa.Integer),
)
ACTIONS = sa.Table(
    "instance_actions",
    CELL,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("instance_uuid", sa.String(36)),
    sa.Column("action", sa.String(255)),
    sa.Column("start_time", sa.DateTime),
    # Nova sets this at each event of an action, but not finish_time.
    sa.Column("updated_at", sa.DateTime),
    sa.Column("message", sa.String(255)),
)
MIGRATIONS = sa.Table(
    "migrations",
    CELL,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("instance_uuid", sa.String(36)),
    sa.Column("migration_type", sa.String(255)),
    sa.Column("source_compute", sa.String(255)),
    sa.Column("status", sa.String(255)),
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("deleted", sa.Integer),
)
#: The disks and volumes of instances.
DISKS = sa.Table(
    "block_device_mapping",
    CELL,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("instance_uuid", sa.String(36)),
    sa.Column("device_name", sa.String(255)),
    sa.Column("disk_bus", sa.String(255)),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("deleted", sa.Integer),
)
EXTRAS = sa.Table(
    "instance_extra",
    CELL,
    sa.Column("instance_uuid", sa.String(36)),
    sa.Column("flavor", sa.Text),
    sa.Column("deleted", sa.Integer),
)
COMPUTE_NODES = sa.Table(
    "compute_nodes",
    CELL,
    sa.Column("host", sa.String(255)),
    sa.Column("hypervisor_hostname", sa.String(255)),
    sa.Column("hypervisor_type", sa.Text),
    sa.Column("deleted", sa.Integer),
)

CELL_MAPPINGS = sa.Table(
    "cell_mappings",
    API,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("uuid", sa.String(36)),
    sa.Column("name", sa.String(255)),
    sa.Column("database_connection", sa.Text),
)
INSTANCE_MAPPINGS = sa.Table(
    "instance_mappings",
    API,
    sa.Column("instance_uuid", sa.String(36)),
    sa.Column("cell_id", sa.Integer),
)
HOST_MAPPINGS = sa.Table(
    "host_mappings",
    API,
    sa.Column("host", sa.String(255)),
    sa.Column("cell_id", sa.Integer),
)
REQUEST_SPECS = sa.Table(
    "request_specs",
    API,
    sa.Column("instance_uuid", sa.String(36)),
    sa.Column("spec", sa.Text),
    sa.Column("updated_at", sa.DateTime),
)
