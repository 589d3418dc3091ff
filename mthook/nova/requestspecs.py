# SPDX-License-Identifier: Apache-2.0
"""Request specs: what Nova asked its scheduler for, one per instance in the API database.

Cold migration and resize take an instance's image properties from there, not from its own metadata
(nova/conductor/tasks/migrate.py). A spec is JSON as oslo.versionedobjects writes it (nova/objects/request_spec.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from mthook.errors import NovaConflict, RequestSpecError
from mthook.nova.tables import CELL_MAPPINGS, INSTANCE_MAPPINGS, REQUEST_SPECS
from mthook.text import printable

_PROPERTY = "hw_machine_type"
_NAME, _NAMESPACE, _VERSION = "nova_object.name", "nova_object.namespace", "nova_object.version"
_DATA, _CHANGES = "nova_object.data", "nova_object.changes"
#: Another version may use the same names with another meaning.
_MAJOR = "1"
#: For :func:`replace`: the present time.
PRESENT = object()


def machine_of(text: str) -> str | None:
    """Return the machine type among the image properties of a spec; None: none.

    :raises RequestSpecError: the spec isn't understood.
    """
    machine = _properties(_parsed(text))[_DATA].get(_PROPERTY)
    return machine if isinstance(machine, str) and machine else None


def with_machine(text: str, machine: str | None) -> str:
    """Return a spec with another machine type, and everything else as it was.

    :param machine: None: without one.
    :raises RequestSpecError: the spec isn't understood.
    """
    spec = _parsed(text)
    properties = _properties(spec)
    if machine is None:
        properties[_DATA].pop(_PROPERTY, None)
    else:
        properties[_DATA][_PROPERTY] = machine
    _note_change(properties, machine is not None)
    # As Nova has it: in ASCII, so that it fits the column's character set.
    return json.dumps(spec)


def read(connection: sa.engine.Connection, uuid: str) -> str:
    """Return the spec of an instance, and lock it until the transaction ends.

    :raises RequestSpecError: there is none.
    """
    query = sa.select(REQUEST_SPECS).where(REQUEST_SPECS.c.instance_uuid == uuid)
    row = connection.execute(query.with_for_update()).first()
    if row is None:
        raise RequestSpecError("there is none", "spec_missing")
    spec: str = row.spec
    return spec


def of_cell(
    connection: sa.engine.Connection, cell: str, uuids: Sequence[str]
) -> dict[str, str | None]:
    """Return the specs of those instances that are mapped to a cell.

    :param cell: the UUID of the cell.
    :return: None for an instance without a spec.
    """
    instance = INSTANCE_MAPPINGS.c.instance_uuid
    both = INSTANCE_MAPPINGS.join(
        CELL_MAPPINGS, CELL_MAPPINGS.c.id == INSTANCE_MAPPINGS.c.cell_id
    ).outerjoin(REQUEST_SPECS, REQUEST_SPECS.c.instance_uuid == instance)
    query = sa.select(instance, REQUEST_SPECS.c.spec).select_from(both)
    rows = connection.execute(query.where(CELL_MAPPINGS.c.uuid == cell, instance.in_(uuids)))
    return {row.instance_uuid: row.spec for row in rows}


def dated(
    connection: sa.engine.Connection, uuids: Sequence[str]
) -> dict[str, tuple[str, datetime | None]]:
    """Return the specs of instances that have one, and when each was last changed."""
    query = sa.select(REQUEST_SPECS).where(REQUEST_SPECS.c.instance_uuid.in_(uuids))
    rows = connection.execute(query)
    return {row.instance_uuid: (row.spec, row.updated_at) for row in rows}


def replace(
    connection: sa.engine.Connection, uuid: str, old: str, new: str, at: object = PRESENT
) -> None:
    """Replace the spec that was read.

    :param at: the time of change to record, as Nova stores it.
    :raises NovaConflict: the stored spec is no longer the same, byte for byte.
    """
    table, now = REQUEST_SPECS.c, datetime.now(timezone.utc)
    moment = now.replace(microsecond=0, tzinfo=None) if at is PRESENT else at
    # A binary comparison: upper and lower case are the same to the database.
    same = sa.cast(table.spec, sa.LargeBinary) == old.encode()
    done = connection.execute(
        sa.update(REQUEST_SPECS)
        .where(table.instance_uuid == uuid, same)
        .values(spec=new, updated_at=moment)
    )
    if done.rowcount != 1:
        raise NovaConflict(
            f"the request spec of {printable(uuid)} was changed by somebody else: look again"
        )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise RequestSpecError("it isn't JSON", "spec_not_json") from None


def _properties(spec: Any) -> dict[str, Any]:
    """Return the object with a spec's image properties."""
    image = _data(spec, "RequestSpec").get("image")
    if image is None:
        raise RequestSpecError("it has no image", "spec_no_image")
    properties = _data(image, "ImageMeta").get("properties")
    if properties is None:
        raise RequestSpecError("its image has no properties", "spec_no_properties")
    _data(properties, "ImageMetaProps")
    found: dict[str, Any] = properties
    return found


def _data(found: Any, name: str) -> dict[str, Any]:
    """Return the fields of a Nova object, which must have that name."""
    if (
        not isinstance(found, dict)
        or (found.get(_NAME), found.get(_NAMESPACE)) != (name, "nova")
        or not isinstance(found.get(_DATA), dict)
    ):
        raise RequestSpecError(f"it lacks Nova's {name} where one belongs", "spec_unknown")
    version = found.get(_VERSION)
    if not isinstance(version, str) or version.partition(".")[0] != _MAJOR:
        raise RequestSpecError(
            f"it has a {name} of version {printable(version)}, and mthook knows only {_MAJOR}.x",
            "spec_unknown_version",
        )
    data: dict[str, Any] = found[_DATA]
    return data


def _note_change(properties: dict[str, Any], present: bool) -> None:
    """Keep the list of changed fields correct, if there is one: it names only fields that exist."""
    changes = properties.get(_CHANGES)
    if isinstance(changes, list):
        others = [name for name in changes if name != _PROPERTY]
        properties[_CHANGES] = [*others, _PROPERTY] if present else others
