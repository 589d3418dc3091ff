# SPDX-License-Identifier: Apache-2.0
"""``export`` and ``import``: pins as JSON lines, to carry from host to host, and between a host and Nova."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import ClassVar

from mthook.catalog.records import Pin
from mthook.conf import has_nova
from mthook.errors import CatalogError, Error
from mthook.operations.exchange import import_lines, pins_of_nova, to_line, write_to_nova
from mthook.operations.opening import opened_catalog, opened_nova
from mthook.tools.admin.command import (
    FILE,
    AdminCommand,
    ExitCode,
    UsageError,
    actor,
    argument,
    read_input,
    utf8,
)

#: A hundred thousand pins are some 40 MB.
_MAX_IMPORT = 1 << 30


class Export(AdminCommand):
    """Print every pin as a line of JSON, for 'mthook-admin import' on another host.

    With --host they are what Nova has recorded for that host's instances: for a host that can't
    reach Nova's database.
    """

    codes: ClassVar = {ExitCode.OK: "all pins are on standard output"}
    examples: ClassVar = (
        "mthook-admin export > pins.jsonl",
        "mthook-admin export --config-file admin.conf --host compute-1 > pins.jsonl",
    )

    arguments: ClassVar = (
        argument(
            "--host",
            metavar="HOST",
            type=utf8,
            help="what Nova's database has for this compute host, in place of this host's pins",
        ),
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the pins."""
        self._code = ExitCode.OK
        host: str | None = parsed_args.host
        for line in self._of_catalog() if host is None else self._of_nova(host):
            print(line, file=self.app.stdout)
        return self._code

    def _of_catalog(self) -> Iterator[str]:
        with opened_catalog(self.conf) as catalog:
            yield from map(to_line, catalog.pins())

    def _of_nova(self, host: str) -> Iterator[str]:
        if not has_nova(self.conf):
            raise UsageError("--host needs [database] or [api_database] connection")
        with opened_nova(self.conf) as cells:
            for uuid, found in pins_of_nova(cells, host, actor=actor()):
                if isinstance(found, Pin):
                    yield to_line(found)
                else:
                    self.complain(f"{uuid} is left out: {found}")
                    self._code = ExitCode.ERROR


class Import(AdminCommand):
    """Take over pins that 'mthook-admin export' printed elsewhere; a pin that is newer here stays.

    All of them are taken over or, when one line is bad, none. Where Nova's database is configured,
    and [sync] write_back is on, those that Nova lacks are then written there.
    """

    codes: ClassVar = {
        ExitCode.OK: "taken over; how many were added and changed goes to standard error"
    }
    examples: ClassVar = (
        "mthook-admin import pins.jsonl",
        "ssh compute-1 mthook-admin export | mthook-admin import -",
    )

    arguments: ClassVar = (
        argument("file", metavar=FILE, help="what export printed; -: standard input"),
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Take over the pins."""
        name, content = read_input(parsed_args.file, self.app.stdin, _MAX_IMPORT)
        try:
            lines = content.decode().splitlines()
        except UnicodeDecodeError as error:
            raise Error(f"{name}: not UTF-8 at byte {error.start}") from error
        with opened_catalog(self.conf, create=True) as catalog:
            try:
                done = import_lines(catalog, lines, actor=actor())
            except CatalogError:
                raise
            except Error as error:
                raise Error(f"{name}: {error}") from error
            kinds = ("added", "changed", "unchanged")
            self.say(", ".join(f"{done[kind]} {kind}" for kind in kinds))
            if has_nova(self.conf) and self.conf.sync.write_back:
                with opened_nova(self.conf) as cells:
                    written = write_to_nova(cells, catalog, lines)
                self.say(f"{written} written to Nova")
        return ExitCode.OK
