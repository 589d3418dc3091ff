# SPDX-License-Identifier: Apache-2.0
"""How mthook-admin reads its command line, and how it words help and complaints about it."""

from __future__ import annotations

import argparse
from typing import NoReturn

from mthook.text import printable
from mthook.tools.admin import exitcode
from mthook.tools.admin.exitcode import ExitCode

NAME = "mthook-admin"

#: What the help of a command says of them.
GLOBAL_OPTIONS = f"also: --config-file FILE, -v, --debug; see '{NAME} --help'"

_EPILOG = f"""\
Data goes to standard output, messages to standard error. The help of a
command lists its exit codes; {int(ExitCode.INTERRUPTED)} means interrupted,
{int(ExitCode.BROKEN_PIPE)} that nobody read the output to its end."""


class Parser(argparse.ArgumentParser):
    """A parser of the global options, which may stand before or after the command.

    No abbreviations: the global ``--debug`` would otherwise take a command's own ``--de``.
    """

    def __init__(self) -> None:
        super().__init__(
            prog=NAME,
            description="Ask for and change the machine types that guests are held to.",
            epilog=_EPILOG,
            usage=f"{NAME} [--config-file FILE] [-v] [--debug] COMMAND ...",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Report a wrong command line in one line."""
        usage_error(self, message)


def usage_error(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """End with one line and exit code 1; argparse's own 2 means here: no such instance."""
    parser.exit(ExitCode.ERROR, f"{NAME}: {printable(message)}; see '{parser.prog} --help'\n")


class HelpFormatter(argparse.HelpFormatter):
    """Wraps each paragraph by itself; argparse would make a single one of them all."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if exitcode.HEADING in text:
            return text
        return "\n\n".join(
            super(HelpFormatter, self)._fill_text(part, width, indent)
            for part in text.split("\n\n")
        )
