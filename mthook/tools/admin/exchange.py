# SPDX-License-Identifier: Apache-2.0
"""``export`` and ``import``: pins as JSON lines, to carry from host to host, and between a host and Nova."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

from mthook.catalog.records import Pin
from mthook.conf import has_nova
from mthook.errors import CatalogError, Error, MachineTypeError, NotFound, NovaConflict
from mthook.machinetype import MachineType
from mthook.nova.states import BUILDING
from mthook.tools.admin.command import FILE, Told, UsageError, actor, read_input, utf8
from mthook.tools.admin.exitcode import ExitCode

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.nova.cells import Cells
    from mthook.nova.instance import NovaInstance

#: A hundred thousand pins are some 40 MB.
_MAX_IMPORT = 1 << 30
#: What a time is where Nova has none: any pin is newer.
_LONG_AGO = "1970-01-01T00:00:00.000000Z"


class Export(Told):
    """Print every pin as a line of JSON, for 'mthook-admin import' on another host.

    With --host they are what Nova has recorded for that host's instances: for a host that can't
    reach Nova's database.
    """

    codes: ClassVar = {ExitCode.OK: "all pins are on standard output"}

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the host."""
        parser.add_argument(
            "--host",
            metavar="HOST",
            type=utf8,
            help="what Nova's database has for this compute host, in place of this host's pins",
        )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the pins."""
        self._code = ExitCode.OK
        host: str | None = parsed_args.host
        for line in self._of_catalog() if host is None else self._of_nova(host):
            print(line, file=self.app.stdout)
        return self._code

    def _of_catalog(self) -> Iterator[str]:
        from mthook.operations.exchange import export_lines

        with self.catalog() as catalog:
            yield from export_lines(catalog)

    def _of_nova(self, host: str) -> Iterator[str]:
        from mthook.operations.exchange import to_line

        if not has_nova(self.conf):
            raise UsageError("--host needs [database] or [api_database] connection")
        with self.nova() as cells:
            instances = cells.of_host(host).of_host(host)
        for instance in sorted(instances, key=lambda one: one.uuid):
            try:
                if instance.machine is not None:
                    MachineType.parse(instance.machine)  # import would refuse all for one
                    yield to_line(_pin(instance, instance.machine))
            except MachineTypeError as error:
                self.complain(f"{instance.uuid} is left out: {error}")
                self._code = ExitCode.ERROR


class Import(Told):
    """Take over pins that 'mthook-admin export' printed elsewhere; a pin that is newer here stays.

    All of them are taken over or, when one line is bad, none. Where Nova's database is configured,
    and [sync] write_back is on, those that Nova lacks are then written there.
    """

    codes: ClassVar = {
        ExitCode.OK: "taken over; how many were added and changed goes to standard error"
    }

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the file."""
        parser.add_argument("file", metavar=FILE, help="what export printed; -: standard input")

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Take over the pins."""
        from mthook.operations.exchange import import_lines

        name, content = read_input(parsed_args.file, self.app.stdin, _MAX_IMPORT)
        try:
            lines = content.decode().splitlines()
        except UnicodeDecodeError as error:
            raise Error(f"{name}: not UTF-8 at byte {error.start}") from error
        with self.catalog(create=True) as catalog:
            try:
                done = import_lines(catalog, lines, actor=actor())
            except CatalogError:
                raise
            except Error as error:
                raise Error(f"{name}: {error}") from error
            self.say(f"{done.added} added, {done.changed} changed, {done.unchanged} unchanged")
            if has_nova(self.conf) and self.conf.sync.write_back:
                with self.nova() as cells:
                    written = sum(_write(cells, pin) for pin in _imported(catalog, lines))
                self.say(f"{written} written to Nova")
        return ExitCode.OK


def _pin(instance: NovaInstance, machine: str) -> Pin:
    """Return what Nova has recorded as a pin: as old as the record, so that a newer pin there stays."""
    at = instance.recorded_at or _LONG_AGO
    return Pin(instance.uuid, machine, instance.arch or "", "Nova", actor(), at, at)


def _imported(catalog: Catalog, lines: Iterable[str]) -> Iterator[Pin]:
    """Yield the pins that the lines of an import are about, as they are now."""
    for uuid in dict.fromkeys(json.loads(line)["uuid"] for line in lines if line.strip()):
        pin = catalog.get_pin(uuid)
        if pin is not None and pin.machine is not None:
            yield pin


def _write(cells: Cells, pin: Pin) -> bool:
    """Write a pin to Nova if Nova knows the instance, and has no machine type of it recorded."""
    assert pin.machine is not None
    try:
        cell, instance = cells.find(pin.uuid)
        if not _lacks(instance, pin):
            return False
        cell.record(pin.uuid, pin.machine, expect=None)
    except (NotFound, NovaConflict):  # unknown there, or somebody was faster
        return False
    return True


def _lacks(instance: NovaInstance, pin: Pin) -> bool:
    """Tell whether Nova has no machine type, and the pin isn't one from before a rebuild."""
    at_work = instance.vm_state == BUILDING or instance.rebuilding
    return instance.machine is None and not at_work and instance.rebuild_at <= pin.updated_at
