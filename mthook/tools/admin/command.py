# SPDX-License-Identifier: Apache-2.0
"""What every command of mthook-admin has in common: exit codes, help, arguments, messages, rows."""

from __future__ import annotations

import abc
import argparse
import contextlib
import enum
import functools
import logging
import os
import pwd
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from cliff import columns, command, lister
from oslo_config import cfg

from mthook import policy
from mthook.errors import CatalogError, Error, HostError, NotFound, NovaConflict, NovaError, Refused
from mthook.operations.caution import Caution, Kind
from mthook.operations.opening import opened_host
from mthook.policy import Refusal
from mthook.text import printable
from mthook.tools import options, program

if TYPE_CHECKING:
    from mthook.host.connection import Host

    _TimeColumn = columns.FormattableColumn[str]
    _AnswerColumn = columns.FormattableColumn["bool | None"]
else:  # generic only in newer releases of cliff
    _TimeColumn = _AnswerColumn = columns.FormattableColumn

NAME = "mthook-admin"
LOG = logging.getLogger("mthook.admin")

#: Long enough for whatever the catalog holds.
_MAX_CELL = 1000
#: What makes a spreadsheet compute a cell.
_FORMULAS = ("=", "+", "-", "@")

#: How a file to read is named on the command line.
FILE = "FILE|-"


class ExitCode(enum.IntEnum):
    """What a command tells its caller; the same number can answer different questions.

    Those of ``get``, ``set`` and ``list --unset`` are nova-manage's:
    https://docs.openstack.org/nova/latest/cli/nova-manage.html#libvirt-commands
    """

    OK = 0
    #: Anything else: libvirt, the catalog, the configuration.
    ERROR = program.ERROR
    #: No such instance.
    NOT_FOUND = 2
    #: The command line is wrong, or asks for what the configuration has no means for.
    USAGE = options.USAGE
    #: ``get``: the instance has no pin.
    NO_PIN = 3
    #: ``set``, ``unset``: the guest isn't shut off, or has saved state that holds its machine type.
    WRONG_STATE = 3
    #: ``list --unset``: there are instances without a pin.
    SOME_UNSET = 3
    #: ``set``: another family, alias or versioned name, an older version, or a Windows guest.
    INCOMPATIBLE = 4
    #: ``forecast``: something breaks.
    BREAKS = 3
    #: ``forecast``: nothing breaks, but something can't be judged.
    UNJUDGED = 4
    #: ``set``: no known QEMU of this host has the machine type.
    UNSUPPORTED = 5
    INTERRUPTED = program.INTERRUPTED
    BROKEN_PIPE = program.BROKEN_PIPE


class UsageError(Error):
    """The command line asks for something that there isn't."""


#: Every other reason for a refusal is :attr:`ExitCode.INCOMPATIBLE`.
_OF_REFUSAL = {
    Refusal.RUNNING: ExitCode.WRONG_STATE,
    Refusal.SAVED: ExitCode.WRONG_STATE,
    Refusal.UNSUPPORTED: ExitCode.UNSUPPORTED,
}


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code that an error stands for."""
    if isinstance(error, NotFound):
        return ExitCode.NOT_FOUND
    if isinstance(error, UsageError):
        return ExitCode.USAGE
    if isinstance(error, Refused):
        return _OF_REFUSAL.get(error.reason, ExitCode.INCOMPATIBLE)
    return ExitCode.ERROR


#: How the help explains GUEST.
_GUEST = "UUID or name"

#: Flags, and what argparse is told of them.
Argument = tuple[tuple[str, ...], Mapping[str, Any]]


def argument(*flags: str, **options: Any) -> Argument:
    """Return an argument of a command, as ``add_argument`` takes it."""
    return flags, options


def utf8(text: str) -> str:
    """Return an argument that the catalog can be asked for, as all text in it is UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{printable(text)} isn't UTF-8") from None
    return text


def _allowed(text: str) -> frozenset[str]:
    """Return the refusals that are to be warnings, of ``--allow running,older``."""
    names = text.split(",")
    for name in names:
        if name not in policy.ALLOWANCES:
            known = ",".join(policy.ALLOWANCES)
            raise argparse.ArgumentTypeError(f"no '{printable(name)}', there are {known}")
    return frozenset(reason for name in names for reason in policy.ALLOWANCES[name])


INSTANCE = argument("instance", metavar="GUEST", type=utf8, help=_GUEST)
INSTANCES = argument("instances", metavar="GUEST", type=utf8, nargs="+", help=_GUEST)
ALLOW = argument(
    "--allow",
    metavar="WHAT,...",
    type=_allowed,
    default=frozenset(),
    help=f"turn these refusals into warnings: {','.join(policy.ALLOWANCES)}",
)
DRY_RUN = argument("--dry-run", action="store_true", help="say what would change, change nothing")
REASON = argument("--reason", metavar="TEXT", type=utf8, help="why, for the history")

#: What the help of a command says of the options that all have.
_GLOBAL_OPTIONS = f"also: --config-file FILE, -v, --debug; see '{NAME} --help'"

#: Cautions in words.
CAUTIONS = {
    Kind.FORCED: "{}",
    Kind.SNAPSHOTS: "it has {} snapshot(s), which hold their own machine types: who reverts to one"
    " gets that one's back",
    Kind.OFFERS_UNKNOWN: "no host's machine types are known here: nothing tells whether a QEMU offers {}",
    Kind.DEPRECATED: "this host's QEMU deprecates {}",
    Kind.DEFINITION_STAYS: "{}: its definition stays as it is",
    Kind.REALIGN_OFF: "[sync] realign = false: its definition stays as it is",
    Kind.UNTIL_NOVA: "{}: the definition stays until Nova makes it anew",
    Kind.COLD_START: "a cold start (hard reboot, stop and start, cold migration) makes it {}",
    Kind.SHELVED: "unshelving takes machine type and buses of its shelved image, so change those as"
    " well: {}",
    Kind.SHELVED_FAILED: "{}; unshelving takes machine type and buses of its shelved image, so change"
    " those as well: {}",
    Kind.NO_SECURE_BOOT: "{}: {} can't have secure boot, Nova starts it without",
    Kind.OTHER_HOST: "it is on {}, whose mthook-sync would write its pin back",
    Kind.BUSES: "{}: {} has no IDE, so every later start fails; --with-buses makes {} of it",
    Kind.SPEC: "its request spec is left alone: {}; a cold migration or resize may bring another machine type",
    Kind.NO_CATALOG: "history isn't kept: there is no catalog here",
    Kind.NO_HISTORY: "history isn't kept: {}",
}


class HelpFormatter(argparse.HelpFormatter):
    """Wraps each paragraph by itself; argparse would make a single one of them all."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if options.HEADING in text:
            return text
        return "\n\n".join(
            super(HelpFormatter, self)._fill_text(part, width, indent)
            for part in text.split("\n\n")
        )


class AdminCommand(command.Command):
    """A command that explains its exit codes, and speaks as all of them do.

    :cvar codes: what its exit codes mean, as far as that isn't the same for all.
    :cvar arguments: those of its own, see :func:`argument`.
    """

    codes: ClassVar[Mapping[ExitCode, str]]
    arguments: ClassVar[Sequence[Argument]] = ()
    app: Any  # an :class:`mthook.tools.admin.application.Admin`, which imports this module

    def get_epilog(self) -> str:
        """Return what ends ``--help``: where the global options are, and the exit codes."""
        known = {ExitCode.ERROR: "any other error", **self.codes}
        other = known.get(ExitCode.NOT_FOUND)
        wrong = "a wrong command line"
        known[ExitCode.USAGE] = f"{other}, or {wrong}" if other else wrong
        return f"{_GLOBAL_OPTIONS}\n\n{options.describe(sorted(known.items()))}"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the command's parser."""
        parser = super().get_parser(prog_name)
        parser.formatter_class = HelpFormatter
        parser.allow_abbrev = False
        parser.error = functools.partial(options.usage_error, parser)  # type: ignore[method-assign]
        for flags, more in self.arguments:
            parser.add_argument(*flags, **more)
        return parser

    @property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration."""
        conf: cfg.ConfigOpts = self.app.conf
        return conf

    def say(self, text: str) -> None:
        """Print one line to standard error."""
        print(printable(text, limit=2000), file=self.app.stderr)

    def say_of(self, what: object, lines: Iterable[str]) -> None:
        """Print lines about one thing to standard error."""
        for line in lines:
            self.say(f"{what}: {line}")

    def complain(self, text: str) -> None:
        """Print one error to standard error, where it doesn't end the command."""
        LOG.error("%s", text)

    def warn(self, text: str) -> None:
        """Print one warning to standard error."""
        LOG.warning("%s", text)

    def caution(self, cautions: Iterable[Caution]) -> None:
        """Print what an operator should know of a change."""
        for one in cautions:
            self.warn(CAUTIONS[one.kind].format(*one.facts))

    @contextlib.contextmanager
    def host_unless(self, force: bool) -> Iterator[Host | None]:
        """Connect to libvirt; with ``force``, yield ``None`` where it can't be reached, and say so."""
        with contextlib.ExitStack() as stack:
            host = None
            try:
                host = stack.enter_context(opened_host(self.conf))
            except HostError as error:
                if not force:
                    raise HostError(f"{error} (--force changes the catalog alone)") from error
                self.warn(f"{error}: only the catalog is changed")
            yield host


class GuestsCommand(AdminCommand):
    """A command that does the same to several instances, one by one."""

    #: The exit code: the highest of those that the single ones would have.
    code: ExitCode = ExitCode.OK

    @contextlib.contextmanager
    def others_go_on(self) -> Iterator[None]:
        """Report why nothing is done to one; what the next one would fail of likewise ends the command."""
        try:
            yield
        except Error as error:
            fatal = isinstance(error, (CatalogError, NovaError, UsageError))
            if fatal and not isinstance(error, NovaConflict):
                raise
            self.complain(str(error))
            self.code = max(self.code, self.code_of(error))

    def code_of(self, error: Error) -> ExitCode:
        """Return the exit code that an error about one instance stands for."""
        return exit_code_of(error)

    def each(self, texts: Iterable[str], act: Callable[[str], None]) -> ExitCode:
        """Do it to every instance that is named; return the exit code."""
        for text in texts:
            with self.others_go_on():
                act(text)
        return self.code

    def report(self, what: object, old: object, new: object, *, dry: bool) -> None:
        """Say what has changed, or would."""
        would = "would change " if dry else ""
        self.say(f"{what}: {would}{printable(old or 'none')} → {printable(new or 'none')}")


class Time(_TimeColumn):
    """A moment as :func:`mthook.text.now` writes it; people see it to the second."""

    def human_readable(self) -> str:
        """Return it without the fraction: ``2026-11-22T13:00:00Z``."""
        whole, point, _ = self._value.partition(".")
        return f"{whole}Z" if point else whole


class Answer(_AnswerColumn):
    """A yes, a no, or neither."""

    def human_readable(self) -> str:
        """Return it as a word."""
        return {True: "yes", False: "no", None: "-"}[self._value]


def _for_terminal(cell: Any) -> Any:
    """Return a cell as it may be printed: text comes from guests, from their definitions and from other hosts."""
    return printable(cell, limit=_MAX_CELL) if isinstance(cell, str) else cell


def _for_spreadsheet(cell: Any) -> Any:
    """Return a cell that a spreadsheet takes for text, never for a formula (owasp.org, "CSV Injection")."""
    shown = _for_terminal(cell)
    return f"'{shown}" if isinstance(shown, str) and shown.startswith(_FORMULAS) else shown


#: What a cell becomes by format; JSON and YAML have escapes of their own.
_CELLS = {"table": _for_terminal, "value": _for_terminal, "csv": _for_spreadsheet}


class RowCommand(AdminCommand, lister.Lister):
    """A command that prints rows, as ``-f`` says.

    :cvar columns: the headings.
    """

    columns: ClassVar[tuple[str, ...]]
    #: The exit code after the rows were printed.
    code: ExitCode = ExitCode.OK

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the command's parser. A table without rows is a table too, as JSON has it."""
        parser = super().get_parser(prog_name)
        parser.set_defaults(print_empty=True)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Return the headings and the rows."""
        return self.columns, list(self.rows(parsed_args))

    @abc.abstractmethod
    def rows(self, args: argparse.Namespace) -> Iterable[Sequence[Any]]:
        """Return the rows, each with as many values as there are columns."""

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        """Print the rows, of which each column asked for must be one."""
        known = [name.lower() for name in column_names]
        for name in parsed_args.columns:
            if name.lower().replace("_", " ") not in known:
                raise UsageError(
                    f"no column '{printable(name)}', there are {', '.join(column_names)}"
                )
        shown = _CELLS.get(parsed_args.formatter)
        rows = ([shown(cell) for cell in row] for row in data) if shown else data
        return super().produce_output(parsed_args, column_names, rows)

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the rows and return the exit code."""
        return super().run(parsed_args) or self.code


def actor() -> str:
    """Return who changes something, as a pin's history keeps it: ``operator root``."""
    name = os.environ.get("SUDO_USER") or os.environ.get("LOGNAME")
    if not name:
        try:
            name = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # a user without an entry, as in a container
            name = f"uid {os.getuid()}"
    return f"operator {printable(name)}"


def read_input(path: str, stdin: TextIO, limit: int) -> tuple[str, bytes]:
    """Read a file that the command line names; return how messages call it, and so many bytes of it at most."""
    name = "standard input" if path == "-" else printable(path)
    try:
        if path == "-":
            return name, stdin.buffer.read(limit)
        with open(path, "rb") as file:
            return name, file.read(limit)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise Error(f"{name}: {error.strerror if isinstance(error, OSError) else error}") from error
