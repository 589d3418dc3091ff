# SPDX-License-Identifier: Apache-2.0
"""The command line of mthook-sync, and one run by it."""

from __future__ import annotations

import argparse
import contextlib
import enum
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from oslo_config import cfg

from mthook import __version__
from mthook import conf as configuration
from mthook.catalog import files
from mthook.catalog.store import Catalog
from mthook.errors import Error, HostError
from mthook.locks import Busy, only_one
from mthook.operations.sync.report import PROGRAM, Report
from mthook.operations.sync.scratch import scratch
from mthook.settings import Settings, fingerprint, same_files
from mthook.text import printable
from mthook.tools import program

if TYPE_CHECKING:
    from typing_extensions import Self


class Exit(enum.IntEnum):
    """What mthook-sync ends with, and what that means."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Make a member that knows its meaning, for ``--help``."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "all is well, whether or not there was anything to do"
    ERROR = 1, "something failed, one line each on standard error; the rest was done"
    USAGE = 2, "the command line is wrong, or the configuration forbids what it asks for"
    BUSY = 3, "another mthook-sync is running"
    INTERRUPTED = program.INTERRUPTED, "interrupted before it began"
    BROKEN_PIPE = program.BROKEN_PIPE, "nobody read what a dry run printed to its end"


def run(arguments: Sequence[str]) -> int:
    """Do what a command line asks for.

    :return: see :class:`Exit`.
    :raises SystemExit: it asks for help, or is wrong.
    :raises OSError: standard output can't be written.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    report = Report(dry_run=options.dry_run, verbose=options.verbose)
    paths = options.config_file or configuration.default_files()
    seen = fingerprint(paths)
    try:
        conf = configuration.load(options.config_file)
        _check_step(parser, conf, options.only)
        _sync(conf, configuration.settings(conf, seen), options.only, report)
    except Busy as error:
        report.error(str(error))
        return Exit.BUSY
    except Error as error:
        report.error(str(error))
    except OSError as error:
        report.error(printable(error))
    except KeyboardInterrupt:
        report.error("interrupted: what was begun is finished, the rest waits for the next run")
    report.finish()
    return Exit.ERROR if report.errors else Exit.DONE


def _check_step(parser: argparse.ArgumentParser, conf: cfg.ConfigOpts, only: str | None) -> None:
    """Refuse a step that the configuration forbids or has no means for."""
    if only == "realign" and not conf.sync.realign:
        parser.error("--only realign: the configuration has [sync] realign = false")
    if only in ("pull", "push") and not configuration.has_nova(conf):
        parser.error(f"--only {only}: the configuration has no [database] connection")
    if only == "push" and not conf.sync.write_back:
        parser.error("--only push: the configuration has [sync] write_back = false")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Give every guest of this host its pin, bring pins and Nova's records together,\n"
        "bring definitions back to their pins and mend what the hook stopped. Says nothing unless something is wrong.",
        epilog="exit status:\n" + "".join(f"  {code:d}  {code.meaning}\n" for code in Exit),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config-file",
        action="append",
        metavar="FILE",
        help="configuration file, may be repeated "
        f"(default: {configuration.DEFAULT_FILE} where it exists)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="change nothing, print what would be done"
    )
    parser.add_argument(
        "--only",
        choices=("pull", "seed", "push", "realign", "repair"),
        help="do only this of the steps; pull and push are those from and to Nova's database",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="say which guests are left alone, and a summary",
    )
    return parser


def _sync(conf: cfg.ConfigOpts, settings: Settings, only: str | None, report: Report) -> None:
    """Do one run. The settings are compiled first: the hook needs it whatever libvirt says."""
    with _catalog(conf.catalog.path, report.dry_run) as catalog:
        _compile(catalog, settings, report)
        try:
            from mthook.operations.sync.steps import visit
        except ImportError as error:
            raise HostError(f"libvirt can't be asked: {error}: install libvirt-python") from error
        visit(catalog, conf, only, report)


@contextlib.contextmanager
def _catalog(path: str, dry_run: bool) -> Iterator[Catalog]:
    """Open the catalog under the lock, or for a dry run a copy, which needs none."""
    if dry_run:
        with scratch(path) as catalog:
            yield catalog
        return
    directory = os.path.dirname(path)
    files.create_directory(directory)
    with only_one(directory), Catalog.open(path) as catalog:
        yield catalog


def _compile(catalog: Catalog, settings: Settings, report: Report) -> None:
    """Keep the configuration where the hook reads it.

    A hook that was installed with other configuration files compiles those for itself.
    """
    old = catalog.settings()
    if old is not None and not same_files(old.fingerprint, settings.fingerprint):
        return
    catalog.compile_settings(settings)
    if old is None or not settings.agree_with(old):
        report.done("compiled", f"compile the configuration for the hook: mode {settings.mode}")
