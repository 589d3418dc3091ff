# SPDX-License-Identifier: Apache-2.0
"""The application: global options, messages, and what its end looks like to the shell."""

from __future__ import annotations

import argparse
import functools
import logging
from importlib import metadata
from typing import ClassVar, NoReturn

from cliff import app, command, commandmanager
from cliff import help as cliff_help
from oslo_config import cfg

from mthook import __version__, conf
from mthook.errors import Error
from mthook.text import printable
from mthook.tools import options, program
from mthook.tools.admin.command import NAME, AdminCommand, ExitCode, exit_code_of
from mthook.tools.admin.complete import Complete

#: The entry points that are commands.
NAMESPACE = "mthook.admin"

#: Long enough for any message of mthook's own; what is longer came from elsewhere.
_MAX_MESSAGE = 2000

_EPILOG = f"""\
Data goes to standard output, messages to standard error. The help of a
command lists its exit codes; {int(ExitCode.USAGE)} also means a wrong command line,
{int(ExitCode.INTERRUPTED)} interrupted, {int(ExitCode.BROKEN_PIPE)} that the reader of the pipe went away."""

_EXAMPLES = (
    f"{NAME} setup",
    f"{NAME} list --drift",
    f"{NAME} get web-1",
    f"{NAME} set web-1 pc-i440fx-8.0 --reason 'QEMU 9 drops 4.x'",
    f"{NAME} history web-1",
)


class OneLine(logging.Formatter):
    """Every message as one line that begins with the program's name."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; with a traceback after it where one was asked for."""
        text = _words(record.msg) if isinstance(record.msg, Exception) else record.getMessage()
        kind = "warning: " if record.levelno == logging.WARNING else ""
        line = f"{NAME}: {kind}{printable(text, limit=_MAX_MESSAGE)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _words(error: Exception) -> str:
    """Return what an operator reads of an error."""
    if isinstance(error, Error):
        return str(error)
    if isinstance(error, OSError):
        return program.explain(error)
    return f"unexpected {type(error).__name__}: {error} (--debug shows where)"


class Help(AdminCommand, cliff_help.HelpCommand):
    """Print the help of a command."""

    codes: ClassVar = {ExitCode.OK: "the help is on standard output"}
    examples: ClassVar = (f"{NAME} help", f"{NAME} help set", f"{NAME} help hook install")


class Commands(commandmanager.CommandManager):
    """The commands of mthook's own entry points.

    cliff's own class imports the modules of all commands to know their names: each command would then start as slowly
    as the slowest.
    """

    def load_commands(self, namespace: str) -> None:
        """Know the commands of a namespace by name; one is imported when it is called."""
        self.group_list.append(namespace)
        for entry in metadata.distribution("mthook").entry_points:
            if entry.group == namespace:
                self.commands[entry.name.replace("_", " ")] = entry


class Admin(app.App):
    """mthook-admin.

    :ivar failure: the error that ended the command, if one did.
    """

    NAME = NAME
    LOG = logging.getLogger("mthook.admin")

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        super().__init__(
            description=None,
            version=__version__,
            command_manager=Commands(NAMESPACE),
            deferred_help=True,
        )
        self.command_manager.add_command("complete", Complete)
        self.command_manager.add_command("help", Help)

    def build_option_parser(
        self, description: str | None, version: str | None, argparse_kwargs: object = None
    ) -> argparse.ArgumentParser:
        """Return the parser of the global options, which may stand before or after the command."""
        parser = options.Parser(
            NAME,
            "Show and change the machine types that guests are pinned to.",
            usage=f"{NAME} [--config-file FILE] [-v] [--debug] COMMAND ...",
            examples=_EXAMPLES,
            epilog=_EPILOG,
            add_help=False,
        )
        parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
        parser.add_argument(
            "-h",
            "--help",
            action="store_true",
            dest="deferred_help",
            help="show this text and exit",
        )
        return parser

    def configure_logging(self) -> None:
        """Send messages to standard error: warnings and errors, with ``-v`` more."""
        handler = logging.StreamHandler(self.stderr)
        handler.setFormatter(OneLine())
        logging.getLogger().addHandler(handler)
        level = logging.INFO if self.options.verbose else logging.WARNING
        logging.getLogger("mthook").setLevel(level)

    @functools.cached_property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration."""
        return conf.load(self.options.config_file)

    def interact(self) -> NoReturn:
        """Refuse to be called without a command: no shell of its own."""
        self.parser.exit(ExitCode.USAGE, f"{NAME}: which command? see '{NAME} --help'\n")

    def run_subcommand(self, argv: list[str]) -> int:
        """Run one command and return its exit code."""
        self._check_command(argv[1:] if argv[0] == "help" and argv[1:] else argv)
        code = super().run_subcommand(argv)
        return code if self.failure is None else exit_code_of(self.failure)

    def _check_command(self, argv: list[str]) -> None:
        """Refuse, in one line, what cliff would answer with several lines on standard output."""
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            self._check_group(argv[0])
            kind = "option" if argv[0].startswith("-") else "command"
            near = " or ".join(f"'{name}'" for name in self.get_fuzzy_matches(argv[0]))
            hint = f", did you mean {near}?" if kind == "command" and near else ""
            self.parser.error(f"no {kind} '{printable(argv[0])}'{hint}")

    def _check_group(self, word: str) -> None:
        """Refuse the first word of commands of two, such as ``hook``, without a right second."""
        names = sorted(name for name, _ in self.command_manager if name.startswith(f"{word} "))
        if names:
            known = ", ".join(f"'{name}'" for name in names)
            self.parser.error(f"'{printable(word)}' needs a subcommand: {known}")

    def clean_up(self, cmd: command.Command, result: int, err: BaseException | None) -> None:
        """Keep the error, from which the exit code comes."""
        self.failure = err


def run(arguments: list[str]) -> int:
    """Run one command, and return an :class:`~mthook.tools.admin.command.ExitCode`."""
    handlers = logging.getLogger().handlers[:]
    try:
        return Admin().run(arguments)
    finally:
        logging.getLogger().handlers = handlers
