# SPDX-License-Identifier: Apache-2.0
"""The command line, as far as programs have it in common: options, exit codes, what they say."""

from __future__ import annotations

import argparse
import contextlib
import enum
import logging
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

from mthook import __version__, conf
from mthook.operations.inventory import Drift
from mthook.text import printable

if TYPE_CHECKING:
    from typing_extensions import Self

#: What every program ends with where its command line is wrong.
USAGE = 2
#: What lists of exit codes and of examples in a help text begin with.
HEADING = "exit codes:"
EXAMPLES = "examples:"

_WIDTH = 78
_WHERE = {
    "running": "runs {}",
    "defined": "defined {}",
    "nova": "Nova has {}",
    "stopped": "start stopped",
    "elsewhere": "{} on another host",
}


class Exit(enum.IntEnum):
    """What a program ends with, and what that means; each has a table of its own."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Make a member that knows its meaning, for ``--help``."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


def describe(codes: Iterable[tuple[int, str]]) -> str:
    """Return exit codes with their meaning, for the end of a help text."""
    lines = [
        textwrap.fill(
            f"{code:d}  {meaning}", _WIDTH, initial_indent="  ", subsequent_indent="     "
        )
        for code, meaning in codes
    ]
    return "\n".join([HEADING, *lines])


def shown(examples: Iterable[str]) -> str:
    """Return command lines, for the end of a help text."""
    return "\n".join([EXAMPLES, *(f"  {line}" for line in examples)])


def drift_of(drift: Iterable[Drift]) -> str:
    """Return in what an instance is unlike its pin: ``runs pc-i440fx-7.2, start stopped``."""
    return ", ".join(_WHERE[one.where].format(printable(one.machine)) for one in drift)


def files(given: argparse.Namespace) -> list[str]:
    """Return the configuration files, whether they exist or not."""
    return [os.path.abspath(path) for path in given.config_file or conf.default_files()]


def usage_error(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """End a program, or one of its commands, with one line: the command line is wrong."""
    program = parser.prog.split()[0]
    parser.exit(USAGE, f"{program}: {printable(message)}; see '{parser.prog} --help'\n")


class Parser(argparse.ArgumentParser):
    """A parser that complains in one line, and takes no abbreviations.

    :param examples: command lines; its help has them after the options.
    :param exits: the program's exit codes; its help ends with them.
    :param epilog: what its help ends with in their place.
    """

    def __init__(
        self,
        program: str,
        description: str,
        exits: type[Exit] | None = None,
        usage: str = "",
        *,
        examples: Sequence[str],
        epilog: str = "",
        add_help: bool = True,
    ) -> None:
        end = describe((one, one.meaning) for one in exits) if exits else epilog
        super().__init__(
            prog=program,
            usage=usage or None,
            description=description,
            epilog=f"{shown(examples)}\n\n{end}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=add_help,
        )
        self.add_argument(
            "--config-file",
            action="append",
            metavar="FILE",
            help="configuration file, may be repeated, later ones win"
            f" (default: {conf.DEFAULT_FILE} where it exists)",
        )
        self.add_argument("-v", "--verbose", action="store_true", help="say more")
        self.add_argument("--version", action="version", version=f"{program} {__version__}")

    def error(self, message: str) -> NoReturn:
        """End with one line."""
        usage_error(self, message)


def say(program: str, line: str) -> None:
    """Print a line to standard error."""
    print(f"{program}: {line}", file=sys.stderr)


@contextlib.contextmanager
def narrated(program: str, verbose: bool) -> Iterator[None]:
    """Print on standard error what the rooms below say of their work, if that was asked for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{program}: %(message)s"))
    log = logging.getLogger("mthook")
    if verbose:
        log.setLevel(logging.INFO)
        log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
