# SPDX-License-Identifier: Apache-2.0
"""Pins as JSON lines, for hosts that can't reach each other's catalogs, or Nova's database."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, asdict, fields
from typing import TYPE_CHECKING
from uuid import UUID

from mthook import reconcile
from mthook.catalog.records import Pin
from mthook.errors import Error, MachineTypeError, NotFound, NovaConflict
from mthook.machinetype import MachineType
from mthook.nova.instance import BUILDING
from mthook.text import is_time, latest, printable

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.nova.cells import Cells

#: What every line says it is. Another form, and another name, would be a later version's.
FORMAT = "mthook-pin-1"

_REQUIRED = {field.name for field in fields(Pin) if field.default is MISSING}
_TIMES = ("created_at", "updated_at")
_MACHINES = ("machine", "seen")
#: Those that are read by a terminal or a program as they are.
_WORDS = ("arch", "source", "actor", "qemu_version", "libvirt_version")
#: What a time is where Nova has none: any pin is newer.
_LONG_AGO = "1970-01-01T00:00:00.000000Z"


def to_line(pin: Pin) -> str:
    """Return a pin as one line of JSON without its line end."""
    return json.dumps({"format": FORMAT, **asdict(pin)})


def pins_of_nova(
    cells: Cells, host: str, *, actor: str
) -> Iterator[tuple[str, Pin | MachineTypeError]]:
    """Yield UUID and pin of a host's instances as Nova has recorded them; or why it can't be a pin.

    Each is as old as the record, so that a pin that is newer stays where it is imported. What Nova may have recorded by
    itself is older than any.
    """
    for instance in sorted(cells.of_host(host).of_host(host), key=lambda one: one.uuid):
        if instance.machine is None:
            continue
        try:
            MachineType.parse(instance.machine)  # an import would refuse all for one
        except MachineTypeError as error:
            yield instance.uuid, error
        else:
            wanted = instance.author == reconcile.SOMEBODY
            arch, at = instance.arch or "", (wanted and instance.recorded_at) or _LONG_AGO
            yield instance.uuid, Pin(instance.uuid, instance.machine, arch, "Nova", actor, at, at)


def import_lines(catalog: Catalog, lines: Iterable[str], *, actor: str) -> Counter[str]:
    """Take over pins that are newer than those here; all of them or, where one line is bad, none.

    :param lines: what :func:`to_line` makes of pins; empty lines don't count.
    :return: how many were ``added``, ``changed`` and left ``unchanged``.
    :raises Error: a line is bad, which it names by number.
    """
    pins = [_pin(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    with catalog.transaction():
        return Counter(catalog.merge_pin(pin, actor=actor) for pin in pins)


def write_to_nova(cells: Cells, catalog: Catalog, lines: Iterable[str]) -> int:
    """Write the pins that were imported to Nova, as they are now, where it lacks them; return how many."""
    uuids = dict.fromkeys(json.loads(line)["uuid"] for line in lines if line.strip())
    pins = (catalog.get_pin(uuid) for uuid in uuids)
    return sum(_write(cells, pin, pin.machine) for pin in pins if pin and pin.machine)


def _write(cells: Cells, pin: Pin, machine: str) -> bool:
    """Write a pin to Nova if Nova knows the instance, and has no machine type of it recorded."""
    try:
        cell, instance = cells.find(pin.uuid)
        at_work = instance.vm_state == BUILDING or instance.rebuilding
        # One from before a rebuild isn't its pin any more.
        if instance.machine is not None or at_work or instance.rebuild_at > pin.updated_at:
            return False
        cell.record(pin.uuid, machine, expect=None)
    except (NotFound, NovaConflict):  # unknown there, or somebody was faster
        return False
    return True


def _pin(number: int, line: str) -> Pin:
    try:
        return _parse(line)
    except (ValueError, TypeError, RecursionError, Error) as error:
        raise Error(f"line {number}: {printable(error)}: nothing was imported") from error


def _parse(line: str) -> Pin:
    content = json.loads(line)
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ValueError(f"not a pin in the format {FORMAT}")
    known = {field.name for field in fields(Pin)}
    for name in sorted(content.keys() - known):
        raise ValueError(f"unknown key {name}")
    for name in sorted(_REQUIRED - content.keys()):
        raise ValueError(f"{name} is missing")
    for name in sorted(known):
        _check(name, content.get(name))
    return Pin(**content)


def _check(name: str, value: object) -> None:
    if value is None and name not in _REQUIRED - {"machine"}:
        return
    if not isinstance(value, str):
        raise TypeError(f"{name} is not a text")
    if value.encode(errors="replace").decode() != value:  # half of a surrogate pair, say
        raise ValueError(f"{name} isn't Unicode")
    if name == "uuid" and value != str(UUID(value)):
        raise ValueError("uuid is not in its canonical form")
    if name in _MACHINES:
        MachineType.parse(value)
    if name in _TIMES:
        _check_time(name, value)
    if name in _WORDS and not value.isprintable():
        raise ValueError(f"{name} holds control characters")
    if name == "root_image" and any(image != str(UUID(image)) for image in value.split(" ")):
        raise ValueError("root_image isn't UUIDs, separated by spaces")


def _check_time(name: str, value: str) -> None:
    """Refuse what is no time, or would be newer than every change to come."""
    if not is_time(value):
        raise ValueError(f"{name} is not a time such as 2026-11-22T13:00:00.000000Z")
    if value > latest():
        raise ValueError(f"{name} is {value}, which is yet to come: look after the clocks")
