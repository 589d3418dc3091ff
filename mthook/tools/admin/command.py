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

from cliff import columns, command, lister, show
from oslo_config import cfg

from mthook import policy
from mthook.errors import (
    CatalogError,
    Error,
    FleetError,
    HostError,
    NotFound,
    NovaConflict,
    NovaError,
    Refused,
    Unconfigured,
)
from mthook.operations.caution import Caution, Kind
from mthook.operations.opening import opened_host
from mthook.policy import Refusal
from mthook.text import cause, printable
from mthook.tools import options, program
from mthook.tools.admin.helptext import HelpFormatter, put_formatters_last
from mthook.tools.admin.table import MAX_CELL, Answer, DriftCell, Table

if TYPE_CHECKING:
    from mthook.host.connection import Host


NAME = "mthook-admin"
LOG = logging.getLogger("mthook.admin")

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
    #: ``setup``: all is done, but libvirtd runs in a container and has no hook there.
    NO_HOOK = 3
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
    if isinstance(error, (UsageError, Unconfigured)):
        return ExitCode.USAGE
    if isinstance(error, Refused):
        return _OF_REFUSAL.get(error.reason, ExitCode.INCOMPATIBLE)
    return ExitCode.ERROR


#: How the help explains GUEST.
GUEST = "UUID, its beginning, or name"

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


INSTANCE = argument("instance", metavar="GUEST", type=utf8, help=GUEST)
INSTANCES = argument("instances", metavar="GUEST", type=utf8, nargs="+", help=GUEST)
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
    Kind.SNAPSHOTS: "it has snapshots ({}), which hold machine types of their own; reverting to one restores its"
    " machine type",
    Kind.OFFERS_UNKNOWN: "what a QEMU offers isn't known here, so nobody can tell whether one offers {}",
    Kind.DEPRECATED: "this host's QEMU deprecates {}",
    Kind.DEFINITION_STAYS: "{}: its definition stays as it is",
    Kind.REALIGN_OFF: "[sync] realign = false: its definition stays as it is",
    Kind.UNTIL_NOVA: "{}: the definition stays until Nova redefines it",
    Kind.COLD_START: "a cold start (hard reboot, stop and start, cold migration) makes it {}",
    Kind.SHELVED: "unshelving takes the machine type and buses from its shelved image, so change those"
    " as well: {}",
    Kind.SHELVED_FAILED: "{}; unshelving takes the machine type and buses from its shelved image, so"
    " change those as well: {}",
    Kind.NO_SECURE_BOOT: "{}: {} doesn't support secure boot, so Nova starts it without",
    Kind.OTHER_HOST: "it is on {}, whose mthook-sync would write its pin back",
    Kind.BUSES: "{}: {} has no IDE, so every later start fails; --with-buses changes it to {}",
    Kind.SPEC: "its request spec is left alone: {}; a cold migration or resize may bring another machine type",
    Kind.NO_CATALOG: "history isn't kept: there is no catalog here",
    Kind.NO_HISTORY: "history isn't kept: {}",
    Kind.NO_RECORD: "'mthook-admin undo' can't take this back: {}",
}
#: Those about this host: they are told once, however many guests there are.
OF_THIS_HOST = (Kind.OFFERS_UNKNOWN, Kind.NO_CATALOG, Kind.NO_HISTORY)


class AdminCommand(command.Command):
    """A command that explains its exit codes, and speaks as all of them do.

    :cvar codes: what its exit codes mean, as far as that isn't the same for all.
    :cvar examples: command lines that its help ends with.
    :cvar arguments: those of its own, see :func:`argument`.
    """

    codes: ClassVar[Mapping[ExitCode, str]]
    examples: ClassVar[Sequence[str]]
    arguments: ClassVar[Sequence[Argument]] = ()
    app: Any  # an :class:`mthook.tools.admin.application.Admin`, which imports this module

    def get_epilog(self) -> str:
        """Return what ends ``--help``: examples, where the global options are, and the exit codes."""
        known = {ExitCode.ERROR: "any other error", **self.codes}
        other = known.get(ExitCode.NOT_FOUND)
        wrong = "a wrong command line"
        known[ExitCode.USAGE] = f"{other}, or {wrong}" if other else wrong
        codes = options.describe(sorted(known.items()))
        return "\n\n".join((options.shown(self.examples), _GLOBAL_OPTIONS, codes))

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the command's parser."""
        parser = super().get_parser(prog_name)
        parser.formatter_class = HelpFormatter
        parser.allow_abbrev = False
        parser.error = functools.partial(options.usage_error, parser)  # type: ignore[method-assign]
        for flags, more in self.arguments:
            parser.add_argument(*flags, **more)
        put_formatters_last(parser)
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

    def warn_once(self, text: str) -> None:
        """Print one warning, unless this command has printed it."""
        if text not in self._warned:
            self._warned.add(text)
            self.warn(text)

    @functools.cached_property
    def _warned(self) -> set[str]:
        return set()

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
    #: Whether there may be several, so that warnings have to name the one that they are about.
    several: bool = False

    @contextlib.contextmanager
    def others_go_on(self) -> Iterator[None]:
        """Report why nothing is done to one; what the next one would fail of likewise ends the command."""
        try:
            yield
        except Error as error:
            fatal = isinstance(error, (CatalogError, FleetError, NovaError, UsageError))
            if fatal and not isinstance(error, NovaConflict):
                raise
            self.complain(str(error))
            self.code = max(self.code, self.code_of(error))

    def caution(self, what: object, cautions: Iterable[Caution]) -> None:
        """Print what an operator should know of a change; some of it names the instance by itself."""
        for one in cautions:
            text = CAUTIONS[one.kind].format(*one.facts)
            if one.kind in OF_THIS_HOST:
                self.warn_once(text)
                continue
            named = not self.several or str(what) in text
            self.warn(text if named else f"{what}: {text}")

    def code_of(self, error: Error) -> ExitCode:
        """Return the exit code that an error about one instance stands for."""
        return exit_code_of(error)

    def each(self, texts: Iterable[str], act: Callable[[str], None]) -> ExitCode:
        """Do it to every instance that is named; return the exit code."""
        texts = list(texts)
        self.several = self.several or len(texts) > 1
        for text in texts:
            with self.others_go_on():
                act(text)
        return self.code

    def report(self, what: object, old: object, new: object, *, dry: bool) -> None:
        """Say what has changed, or would."""
        would = "would change " if dry else ""
        self.say(f"{what}: {would}{printable(old or 'none')} → {printable(new or 'none')}")


def _plain(cell: Any) -> Any:
    """Return a cell as it may be printed: text comes from guests, from their definitions and from other hosts."""
    if isinstance(cell, DriftCell):
        return cell.human_readable()
    value = cell.machine_readable() if isinstance(cell, columns.FormattableColumn) else cell
    if value is None and not isinstance(cell, Answer):
        return ""
    return printable(value, limit=MAX_CELL) if isinstance(value, str) else value


def _for_spreadsheet(cell: Any) -> Any:
    """Return a cell that a spreadsheet takes for text, never for a formula (owasp.org, "CSV Injection")."""
    shown = _plain(cell)
    return f"'{shown}" if isinstance(shown, str) and shown.startswith(_FORMULAS) else shown


def _for_terminal(cell: Any) -> Any:
    """Return a cell of a table, which knows how people read it."""
    return cell if isinstance(cell, columns.FormattableColumn) else _plain(cell)


#: What a cell becomes by format; JSON and YAML have escapes of their own.
_CELLS = {"table": _for_terminal, "value": _plain, "csv": _for_spreadsheet}


#: The formats that are read by their keys.
_KEYED = ("json", "yaml", "shell")


def key_of(heading: str) -> str:
    """Return what JSON and YAML call a column: ``display_name``."""
    return heading.lower().replace(" ", "_")


class _Formatted(AdminCommand):
    """What commands that print data as ``-f`` says have in common.

    :ivar code: the exit code after it was printed.
    """

    code: ExitCode = ExitCode.OK

    def _load_formatter_plugins(self) -> Any:
        """Return cliff's formatters, but tables of mthook's own: cliff breaks lines within cells."""
        plugins = super()._load_formatter_plugins()  # type: ignore[misc]
        plugins["table"].obj = Table()
        return plugins

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the data and return the exit code."""
        return super().run(parsed_args) or self.code


class RowCommand(_Formatted, lister.Lister):
    """A command that prints rows, as ``-f`` says.

    :cvar columns: the headings.
    """

    columns: ClassVar[tuple[str, ...]]

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Return the headings and the rows."""
        return self.columns, list(self.rows(parsed_args))

    @abc.abstractmethod
    def rows(self, args: argparse.Namespace) -> Iterable[Sequence[Any]]:
        """Return the rows, each with as many values as there are columns."""

    def brief(
        self, args: argparse.Namespace, headings: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> Sequence[str]:
        """Return the headings of a table where the command line names none."""
        return headings

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        """Print the rows, of which each column asked for must be one."""
        if parsed_args.formatter == "table":
            data = list(data)
            if not parsed_args.columns and not getattr(parsed_args, "long", False):
                parsed_args.columns = list(self.brief(parsed_args, column_names, data))
        names = names_of(column_names, parsed_args)
        shown = _CELLS.get(parsed_args.formatter)
        rows = ([shown(cell) for cell in row] for row in data) if shown else data
        return super().produce_output(parsed_args, names, rows)


class FieldCommand(_Formatted, show.ShowOne):
    """A command that prints what is known of one thing, as ``-f`` says; without it the first field alone."""

    @property
    def formatter_default(self) -> str:
        """The format of :meth:`get_parser`'s default: values alone."""
        return "value"

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Sequence[Any],
    ) -> int:
        """Print the fields, of which each one asked for must be one."""
        if parsed_args.formatter == "value" and not parsed_args.columns:
            if data[0] is None:
                return 0
            parsed_args.columns = [column_names[0]]
        names = names_of(column_names, parsed_args)
        shown = {**_CELLS, "shell": _plain}.get(parsed_args.formatter)
        fields = [shown(cell) for cell in data] if shown else data
        return super().produce_output(parsed_args, names, fields)


def names_of(headings: Sequence[str], args: argparse.Namespace) -> list[str]:
    """Return what the columns are called in the format that is asked for; so they are in ``args`` then.

    :raises UsageError: a column is asked for that there isn't.
    """
    keys = [key_of(heading) for heading in headings]
    names = keys if args.formatter in _KEYED else list(headings)
    called = dict(zip(keys, names))
    for name in args.columns:
        if key_of(name) not in called:
            raise UsageError(f"no column '{printable(name)}', there are {', '.join(headings)}")
    args.columns = [called[key_of(name)] for name in args.columns]
    if hasattr(args, "sort_columns"):
        args.sort_columns = [called.get(key_of(name), name) for name in args.sort_columns]
    return names


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
        raise Error(f"{name}: {cause(error)}") from error
