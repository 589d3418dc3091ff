# SPDX-License-Identifier: Apache-2.0
"""Pins as JSON lines, for hosts that can't reach each other's catalogs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from uuid import UUID

from mthook.catalog.records import Pin
from mthook.catalog.store import Catalog
from mthook.errors import Error
from mthook.machinetype import MachineType
from mthook.text import printable

#: What every line says it is. Another form, and another name, would be a later version's.
FORMAT = "mthook-pin-1"

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_REQUIRED = {field.name for field in fields(Pin) if field.default is MISSING}
_TIMES = ("created_at", "updated_at")


@dataclass(frozen=True)
class Imported:
    """How many pins an import added, changed, and left as they were."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0


def export_lines(catalog: Catalog) -> Iterator[str]:
    """Yield every pin, released ones too, as one line of JSON without its line end."""
    for pin in catalog.pins():
        yield to_line(pin)


def to_line(pin: Pin) -> str:
    """Return a pin as one line of JSON without its line end."""
    return json.dumps({"format": FORMAT, **asdict(pin)})


def import_lines(catalog: Catalog, lines: Iterable[str], *, actor: str) -> Imported:
    """Take over pins that are newer than those here; all of them or, where one line is bad, none.

    :param lines: what :func:`export_lines` yields; empty lines don't count.
    :raises Error: a line is bad, which it names by number.
    :raises CatalogError: the catalog can't be written.
    """
    pins = [_pin(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    counts: dict[str, int] = {}
    with catalog.transaction():
        for pin in pins:
            what = catalog.merge_pin(pin, actor=actor)
            counts[what] = counts.get(what, 0) + 1
    return Imported(**counts)


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
    if content["machine"] is not None:
        MachineType.parse(content["machine"])
    return Pin(**content)


def _check(name: str, value: object) -> None:
    if value is None and name not in _REQUIRED - {"machine"}:
        return
    if not isinstance(value, str):
        raise TypeError(f"{name} is not a text")
    if name == "uuid" and value != str(UUID(value)):
        raise ValueError("uuid is not in its canonical form")
    if name in _TIMES and not _TIME.fullmatch(value):
        raise ValueError(f"{name} is not a time such as 2026-11-22T13:00:00.000000Z")
