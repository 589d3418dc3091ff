# SPDX-License-Identifier: Apache-2.0
"""Pins as JSON lines, for hosts that can't reach each other's catalogs, or Nova's database."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from mthook import reconcile
from mthook.catalog.records import Pin
from mthook.errors import Error, MachineTypeError, NotFound, NovaConflict
from mthook.machinetype import MachineType
from mthook.nova.instance import BUILDING
from mthook.text import is_time, label, latest, printable

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.nova.cells import Cells

#: The format that every line names. A later version would give another format another name.
FORMAT = "mthook-pin-1"
#: That of a line about the host where the pins are from; see :mod:`mthook.operations.report.exports`.
HOST_FORMAT = "mthook-host-1"

_REQUIRED = {field.name for field in fields(Pin) if field.default is MISSING}
_TIMES = ("created_at", "updated_at")
_MACHINES = ("machine", "seen")
#: Those that a terminal or a program reads as they are.
_WORDS = ("arch", "source", "actor", "qemu_version", "libvirt_version")
#: The time used where Nova has none: any pin is newer.
_LONG_AGO = "1970-01-01T00:00:00.000000Z"


#: What libvirt and Nova call a guest. A line has the names for its reader; a pin has none.
_NAMES = ("name", "display_name")

Fate = Literal["added", "changed", "unchanged"]
#: What became of a pin that Nova might lack. ``recorded``: Nova has a machine type; ``at_work``: Nova builds or
#: rebuilds the instance; ``rebuilt``: it did so after the pin was recorded; ``overtaken``: somebody was faster.
NovaFate = Literal["written", "unknown", "recorded", "at_work", "rebuilt", "overtaken"]


@dataclass(frozen=True)
class Imported:
    """What became of a line that was read.

    :ivar before: the pin that was here.
    """

    pin: Pin
    names: tuple[str | None, str | None]
    fate: Fate
    before: Pin | None = None

    def __str__(self) -> str:
        return label(self.pin.uuid, *self.names)

    @property
    def refused(self) -> bool:
        """Whether a pin that is as new or newer stays in place of another machine type."""
        return self.fate == "unchanged" and self.machine_before != self.pin.machine

    @property
    def machine_before(self) -> str | None:
        """The machine type of the pin that was here."""
        return self.before.machine if self.before else None


def exported(catalog: Catalog) -> Iterator[str]:
    """Yield the lines of all pins, with what their guests are called."""
    guests = {guest.uuid: guest for guest in catalog.guests()}
    instances = catalog.instances()
    for pin in catalog.pins():
        guest, (display, _) = guests.get(pin.uuid), instances.get(pin.uuid, (None, ""))
        yield to_line(pin, guest.name if guest else None, (guest and guest.display) or display)


def to_line(pin: Pin, name: str | None = None, display: str | None = None) -> str:
    """Return a pin as one line of JSON without its line end."""
    names = dict(zip(_NAMES, (name, display)))
    return json.dumps({"format": FORMAT, **asdict(pin), **names})


def exported_of_nova(
    cells: Cells, host: str, *, actor: str
) -> Iterator[tuple[str, str | MachineTypeError]]:
    """Yield label and line of a host's instances as Nova has recorded their machine types; or why one can't be a pin.

    Each is as old as the record, so that a newer pin stays where it is imported. What Nova may have recorded by
    itself is older than any.

    :raises NotFound: Nova has no such host.
    """
    cell = cells.of_host(host)
    found = sorted(cell.of_host(host), key=lambda one: one.uuid)
    if not found and not cell.has_host(host):
        raise NotFound(f"Nova has no compute host {printable(host)}")
    for instance in found:
        if instance.machine is None:
            continue
        try:
            MachineType.parse(instance.machine)  # an import would refuse all because of one
        except MachineTypeError as error:
            yield label(instance.uuid, display=instance.name), error
        else:
            wanted = instance.author == reconcile.SOMEBODY
            arch, at = instance.arch or "", (wanted and instance.recorded_at) or _LONG_AGO
            pin = Pin(instance.uuid, instance.machine, arch, "Nova", actor, at, at)
            yield label(pin.uuid, display=instance.name), to_line(pin, display=instance.name)


def import_lines(
    catalog: Catalog | None, lines: Iterable[str], *, actor: str, dry_run: bool = False
) -> list[Imported]:
    """Take over pins that are newer than those here; all of them or, where one line is bad, none.

    :param catalog: ``None``, in a dry run: there is none yet.
    :param lines: what :func:`to_line` makes of pins; empty lines and those about a host don't count.
    :raises Error: a line is bad; the message gives its number.
    """
    found = (_read(number, line) for number, line in enumerate(lines, 1) if line.strip())
    read = [one for one in found if one is not None]
    if catalog is None:
        return [Imported(pin, names, "added") for pin, names in read]
    done: list[Imported] = []
    with contextlib.suppress(_DryRun), catalog.transaction():
        for pin, names in read:
            before = catalog.get_pin(pin.uuid)
            fate = catalog.merge_pin(pin, actor=actor)
            done.append(Imported(pin, names, fate, before))
        if dry_run:
            raise _DryRun
    return done


class _DryRun(Exception):
    """Rolls back the transaction of a dry run."""


def write_to_nova(
    cells: Cells, catalog: Catalog, imported: Sequence[Imported]
) -> Iterator[tuple[Imported, NovaFate, str | None]]:
    """Write the pins that were imported to Nova, as they are now, where it lacks them.

    Yields what became of each, and the machine type that Nova has.
    """
    for one in {one.pin.uuid: one for one in imported}.values():
        pin = catalog.get_pin(one.pin.uuid)
        if pin is not None and pin.machine is not None:
            yield (one, *_write(cells, pin, pin.machine))


def _write(cells: Cells, pin: Pin, machine: str) -> tuple[NovaFate, str | None]:
    """Write a pin to Nova if Nova knows the instance, and has no machine type recorded for it."""
    try:
        cell, instance = cells.find(pin.uuid)
        if instance.machine is not None:
            return "recorded", instance.machine
        if instance.vm_state == BUILDING or instance.rebuilding:
            return "at_work", None
        # A pin from before a rebuild no longer counts.
        if instance.rebuild_at > pin.updated_at:
            return "rebuilt", None
        cell.record(pin.uuid, machine, expect=None)
    except NotFound:
        return "unknown", None
    except NovaConflict:
        return "overtaken", None
    return "written", machine


def _read(number: int, line: str) -> tuple[Pin, tuple[str | None, str | None]] | None:
    try:
        return _parse(line)
    except (ValueError, TypeError, Error) as error:
        raise Error(f"line {number}: {printable(error)}: nothing was imported") from error


def _parse(line: str) -> tuple[Pin, tuple[str | None, str | None]] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and content.get("format") == HOST_FORMAT:
        return None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ValueError(f"not a pin in the format {FORMAT}")
    called = [content.pop(key, None) for key in _NAMES]
    for key, value in zip(_NAMES, called):
        _check(key, value)
    known = {field.name for field in fields(Pin)}
    for name in sorted(content.keys() - known):
        raise ValueError(f"unknown key {name}")
    for name in sorted(_REQUIRED - content.keys()):
        raise ValueError(f"{name} is missing")
    for name in sorted(known):
        _check(name, content.get(name))
    return Pin(**content), (called[0], called[1])


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
        raise ValueError("root_image isn't a list of UUIDs separated by spaces")


def _check_time(name: str, value: str) -> None:
    """Refuse what isn't a time, or would be newer than every change to come."""
    if not is_time(value):
        raise ValueError(f"{name} is not a time such as 2026-11-22T13:00:00.000000Z")
    if value > latest():
        raise ValueError(f"{name} is {value}, which is in the future: check the clocks")
