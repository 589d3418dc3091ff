# SPDX-License-Identifier: Apache-2.0
"""Request specs as Nova keeps them: what the code of Nova 34 made of an image, a flavor and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional


def request_spec(uuid: str, properties: Optional[Mapping[str, Any]] = None) -> str:
    """Return the request spec of an instance as the database has it.

    :param properties: of its image, such as ``hw_machine_type``.
    """
    properties = {"hw_disk_bus": "scsi", "os_type": "linux", **(properties or {})}
    image = {
        "id": "5d9a1c5e-0000-4000-8000-00000000abcd",
        "name": "ubuntu",
        "status": "active",
        "checksum": "",
        "owner": "9f2c7a1be2d94a2ab1a5ff5d3a2b0001",
        "size": 1024,
        "container_format": "bare",
        "disk_format": "qcow2",
        "created_at": None,
        "updated_at": None,
        "min_ram": 0,
        "min_disk": 1,
        # Nova 34's is 1.44; this one each Nova understands that the tests run.
        "properties": _object("ImageMetaProps", "1.39", properties, list(properties)),
    }
    flavor = {
        **{"id": 1, "name": "m1.tiny", "memory_mb": 512, "vcpus": 1, "root_gb": 1},
        **{"ephemeral_gb": 0, "flavorid": "1", "swap": 0, "rxtx_factor": 1.0, "vcpu_weight": 0},
        **{"disabled": False, "is_public": True, "extra_specs": {}, "description": None},
        **{"created_at": None, "updated_at": None, "deleted_at": None, "deleted": False},
    }
    limits = dict.fromkeys(("numa_topology", "vcpu", "disk_gb", "memory_mb"))
    data = {
        "image": _object("ImageMeta", "1.8", image, list(image)),
        "numa_topology": None,
        "pci_requests": _object("InstancePCIRequests", "1.1", {"requests": []}, ["requests"]),
        "project_id": "9f2c7a1be2d94a2ab1a5ff5d3a2b0001",
        "user_id": "9f2c7a1be2d94a2ab1a5ff5d3a2b0002",
        "availability_zone": "nova",
        "flavor": _object("Flavor", "1.2", flavor, list(flavor)),
        "num_instances": 1,
        **dict.fromkeys(("ignore_hosts", "force_hosts", "force_nodes", "retry")),
        "limits": _object("SchedulerLimits", "1.0", limits, list(limits)),
        "instance_group": None,
        "scheduler_hints": {},
        "instance_uuid": uuid,
        "security_groups": _object("SecurityGroupList", "1.1", {"objects": []}),
        "is_bfv": False,
    }
    return json.dumps(_object("RequestSpec", "1.15", data, list(data)))


def properties_of(spec: str) -> dict[str, Any]:
    """Return the image properties in a request spec."""
    image = json.loads(spec)["nova_object.data"]["image"]
    found: dict[str, Any] = image["nova_object.data"]["properties"]["nova_object.data"]
    return found


def _object(
    name: str, version: str, data: Mapping[str, Any], changes: Optional[list[str]] = None
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "nova_object.name": name,
        "nova_object.namespace": "nova",
        "nova_object.version": version,
        "nova_object.data": data,
    }
    return {**found, "nova_object.changes": changes} if changes else found
