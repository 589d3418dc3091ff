# SPDX-License-Identifier: Apache-2.0
"""``export`` and ``import``: pins as JSON lines, to carry from host to host."""

from __future__ import annotations

import argparse
from typing import ClassVar

from mthook.errors import CatalogError, Error
from mthook.tools.admin.command import FILE, Told, actor, read_input
from mthook.tools.admin.exitcode import ExitCode

#: A hundred thousand pins are some 40 MB.
_MAX_IMPORT = 1 << 30


class Export(Told):
    """Print every pin as a line of JSON, for 'mthook-admin import' on another host."""

    codes: ClassVar = {ExitCode.OK: "all pins are on standard output"}

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the pins."""
        from mthook.catalog.exchange import export_lines

        with self.catalog() as catalog:
            for line in export_lines(catalog):
                print(line, file=self.app.stdout)
        return ExitCode.OK


class Import(Told):
    """Take over pins that 'mthook-admin export' printed elsewhere; a pin that is newer here stays.

    All of them are taken over or, when one line is bad, none.
    """

    codes: ClassVar = {
        ExitCode.OK: "taken over; how many were added and changed goes to standard error"
    }

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the file."""
        parser.add_argument("file", metavar=FILE, help="what export printed; -: standard input")

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Take over the pins."""
        from mthook.catalog.exchange import import_lines

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
        return ExitCode.OK
