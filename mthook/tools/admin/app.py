# SPDX-License-Identifier: Apache-2.0
"""The application: global options, messages, and what its end looks like to the shell."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from cliff import app, command, commandmanager
from oslo_config import cfg

from mthook import __version__, conf
from mthook.errors import Error
from mthook.text import printable
from mthook.tools.admin import exitcode
from mthook.tools.admin.completion import Complete, Help
from mthook.tools.admin.exitcode import ExitCode
from mthook.tools.admin.parser import NAME, Parser

#: The entry points that are commands.
NAMESPACE = "mthook.admin"

#: Long enough for any message of mthook's own; what is longer came from elsewhere.
_MAX_MESSAGE = 2000


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
        # What has no name is no file: nothing but standard output is written by a command itself.
        return f"{error.filename or 'standard output'}: {error.strerror}"
    return f"unexpected {type(error).__name__}: {error} (--debug shows where)"


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
            command_manager=commandmanager.CommandManager(NAMESPACE),
            deferred_help=True,
        )
        self.command_manager.add_command("complete", Complete)
        self.command_manager.add_command("help", Help)

    def build_option_parser(
        self, description: str | None, version: str | None, argparse_kwargs: object = None
    ) -> argparse.ArgumentParser:
        """Return the parser of the global options."""
        parser = Parser()
        parser.add_argument(
            "--config-file",
            action="append",
            metavar="FILE",
            help="configuration file, may be repeated, later ones win;"
            f" default: {conf.DEFAULT_FILE}",
        )
        parser.add_argument(
            "-v",
            "--verbose",
            action="count",
            default=0,
            dest="verbose_level",
            help="say more; -vv: much more",
        )
        parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
        parser.add_argument("--version", action="version", version=f"{NAME} {version}")
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
        levels = (logging.WARNING, logging.INFO, logging.DEBUG)
        logging.getLogger("mthook").setLevel(levels[min(self.options.verbose_level, 2)])

    @functools.cached_property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration.

        :raises ConfigError: see :func:`mthook.conf.load`.
        """
        return conf.load(self.options.config_file)

    def interact(self) -> NoReturn:
        """Refuse to be called without a command: no shell of its own."""
        self.parser.error("which command?")

    def run_subcommand(self, argv: list[str]) -> int:
        """Run one command and return its exit code."""
        self._check_command(argv[1:] if argv[0] == "help" and argv[1:] else argv)
        code = super().run_subcommand(argv)
        return code if self.failure is None else exitcode.of(self.failure)

    def _check_command(self, argv: list[str]) -> None:
        """Refuse, in one line, what cliff would answer with several lines on standard output."""
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            kind = "option" if argv[0].startswith("-") else "command"
            near = " or ".join(f"'{name}'" for name in self.get_fuzzy_matches(argv[0]))
            hint = f", did you mean {near}?" if kind == "command" and near else ""
            self.parser.error(f"no {kind} '{printable(argv[0])}'{hint}")

    def clean_up(self, cmd: command.Command, result: int, err: BaseException | None) -> None:
        """Keep the error, from which the exit code comes."""
        self.failure = err


def main(argv: Sequence[str] | None = None) -> int:
    """Run mthook-admin.

    :param argv: the command line without the program's name.
    :return: an :class:`~mthook.tools.admin.exitcode.ExitCode`.
    """
    _print_any_text()
    handlers = logging.getLogger().handlers[:]
    try:
        code = Admin().run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except SystemExit as end:  # --help, --version, a wrong command line
        code = int(end.code or 0)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        code = ExitCode.BROKEN_PIPE
    except OSError as error:
        sys.stderr.write(f"{NAME}: {printable(_words(error))}\n")
        code = ExitCode.ERROR
        _abandon_output()
    finally:
        logging.getLogger().handlers = handlers
    if code == ExitCode.BROKEN_PIPE:
        _abandon_output()
    return code


def _print_any_text() -> None:
    """Let no name of a guest be unprintable on a terminal whose encoding lacks a character."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _abandon_output() -> None:
    """Drop what is still to be written: Python would try again at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
