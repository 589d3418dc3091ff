# SPDX-License-Identifier: Apache-2.0
"""Makes Nova's databases as they were in Queens (17.0.0): without what came since."""

from __future__ import annotations

from tests.lab.nova import Cloud

# By table: its new columns, or none where the table itself is new; and the release that brought
# each. They are a migration of Nova's each, the later ones in nova/db/{api,main}/migrations.
_API = {
    "cell_mappings": ["disabled"],  # Rocky
    "instance_group_policy": ["rules"],  # Rocky
    "instance_mappings": [
        "queued_for_delete",  # Rocky
        "user_id",  # Stein
    ],
}
_CELL: dict[str, list[str]] = {
    "block_device_mapping": [
        "volume_type",  # Stein
        "encrypted",  # Yoga, and so are the next three
        "encryption_secret_uuid",
        "encryption_format",
        "encryption_options",
    ],
    "console_auth_tokens": ["tls_port"],  # Epoxy
    "instance_extra": [
        "trusted_certs",  # Rocky
        "resources",  # Train
        "vpmems",  # Train
    ],
    "instances": [
        "hidden",  # Train
        "compute_id",  # Bobcat
    ],
    "migrations": [
        "cross_cell_move",  # Train
        "project_id",  # Train
        "user_id",  # Train
        "dest_compute_id",  # Bobcat
    ],
    "share_mapping": [],  # Dalmatian
}


def queens(cloud: Cloud) -> None:
    """Strip every database of a cloud of what came after Queens."""
    for name, database in cloud.databases.items():
        with cloud.mariadb.connect(database) as cursor:
            for table, columns in (_API if name == "api" else _CELL).items():
                changes = ", ".join(f"DROP COLUMN `{column}`" for column in columns)
                cursor.execute(
                    f"ALTER TABLE `{table}` {changes}" if columns else f"DROP TABLE `{table}`"
                )
