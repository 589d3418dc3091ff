# SPDX-License-Identifier: Apache-2.0
"""``export`` and ``import``: pins as JSON lines, to carry from host to host, and between a host and Nova."""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from mthook.conf import has_nova
from mthook.errors import CatalogError, CatalogMissing, Error
from mthook.operations.exchange import (
    Imported,
    exported,
    exported_of_nova,
    import_lines,
    write_to_nova,
)
from mthook.operations.opening import opened_catalog, opened_nova
from mthook.operations.readiness.context import Context
from mthook.operations.report import exports, here
from mthook.text import printable
from mthook.tools import options
from mthook.tools.admin.command import (
    DRY_RUN,
    FILE,
    AdminCommand,
    ExitCode,
    UsageError,
    actor,
    argument,
    read_input,
    utf8,
)
from mthook.tools.admin.hook import HOOKS_DIR

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog

#: A hundred thousand pins are some 40 MB.
_MAX_IMPORT = 1 << 30


class Export(AdminCommand):
    """Print every pin as a line of JSON, for 'mthook-admin import' on another host.

    The first line is about this host, for 'mthook-admin report --from'. The names of guests are there for people;
    an import goes by the UUID. With --host the pins are what Nova has recorded for that host's instances, for a host
    that can't reach Nova's database.
    """

    codes: ClassVar = {
        ExitCode.OK: "all pins are on standard output",
        ExitCode.NOT_FOUND: "Nova has no compute host like that of --host",
    }
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
        HOOKS_DIR,
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the pins."""
        self._code = ExitCode.OK
        host, hooks_dir = parsed_args.host, parsed_args.hooks_dir
        for line in self._of_catalog(hooks_dir) if host is None else self._of_nova(host):
            print(line, file=self.app.stdout)
        return self._code

    def _of_catalog(self, hooks_dir: str) -> Iterator[str]:
        with Context(self.conf, options.files(self.app.options), hooks_dir) as context:
            yield exports.to_line(here.figures(context))
            yield from exported(context.catalog())

    def _of_nova(self, host: str) -> Iterator[str]:
        if not has_nova(self.conf):
            raise UsageError("--host needs [database] or [api_database] connection")
        with opened_nova(self.conf) as cells:
            for who, found in exported_of_nova(cells, host, actor=actor()):
                if isinstance(found, str):
                    yield found
                else:
                    self.complain(f"{who} is left out: {found}")
                    self._code = ExitCode.ERROR


#: Why a pin wasn't written to Nova.
_UNWRITTEN = {
    "unknown": "Nova has no such instance",
    "recorded": "Nova has {} recorded",
    "at_work": "Nova is building or rebuilding it",
    "rebuilt": "Nova rebuilt it after its pin was recorded",
    "overtaken": "somebody has just changed it there",
}


class Import(AdminCommand):
    """Take over pins that 'mthook-admin export' printed elsewhere. A newer pin here stays.

    If one line is bad, none of them is taken over. Where Nova's database is configured,
    and [sync] write_back is on, those that Nova lacks are then written there. For each pin that is
    refused, a line on standard error says why.
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
        DRY_RUN,
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Take over the pins."""
        name, content = read_input(parsed_args.file, self.app.stdin, _MAX_IMPORT)
        try:
            lines = content.decode().splitlines()
        except UnicodeDecodeError as error:
            raise Error(f"{name}: not UTF-8 at byte {error.start}") from error
        dry = parsed_args.dry_run
        with self._catalog(dry) as catalog:
            try:
                imported = import_lines(catalog, lines, actor=actor(), dry_run=dry)
            except CatalogError:
                raise
            except Error as error:
                raise Error(f"{name}: {error}") from error
            self._report(imported, dry)
            if catalog and not dry and has_nova(self.conf) and self.conf.sync.write_back:
                self._write(catalog, imported)
        return ExitCode.OK

    @contextlib.contextmanager
    def _catalog(self, dry: bool) -> Iterator[Catalog | None]:
        """Open the catalog; where there is none it is made, but not in a dry run."""
        with contextlib.ExitStack() as stack:
            catalog = None
            try:
                catalog = stack.enter_context(opened_catalog(self.conf, create=not dry))
            except CatalogMissing:
                if not dry:
                    raise
            yield catalog

    def _report(self, imported: Sequence[Imported], dry: bool) -> None:
        for one in imported:
            if one.refused and one.before is not None:
                here = f"{one.machine_before or 'none'}, of {one.before.updated_at}"
                there = f"{one.pin.machine or 'none'}, of {one.pin.updated_at}"
                self.say(f"{one}: the pin here stays: {here}; the imported one is older: {there}")
        done = Counter(one.fate for one in imported)
        figures = ", ".join(f"{done[kind]} {kind}" for kind in ("added", "changed", "unchanged"))
        self.say(f"would be: {figures}" if dry else figures)

    def _write(self, catalog: Catalog, imported: Sequence[Imported]) -> None:
        """Write to Nova what it lacks, and say why it doesn't get the others."""
        written = 0
        with opened_nova(self.conf) as cells:
            for one, fate, machine in write_to_nova(cells, catalog, imported):
                written += fate == "written"
                if fate != "written" and machine != one.pin.machine:
                    why = _UNWRITTEN[fate].format(printable(machine or ""))
                    self.say(f"{one}: not written to Nova: {why}")
        self.say(f"{written} written to Nova")
