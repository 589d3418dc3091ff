# SPDX-License-Identifier: Apache-2.0
"""What every command of mthook-admin has in common: help, messages, the catalog and libvirt."""

from __future__ import annotations

import abc
import argparse
import contextlib
import functools
import logging
import os
import pwd
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from cliff import command, lister
from oslo_config import cfg

from mthook.catalog import files
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError, Error, HostError, NotFound
from mthook.operations.lookup import Instance, look_up
from mthook.text import printable
from mthook.tools.admin import exitcode
from mthook.tools.admin.exitcode import ExitCode
from mthook.tools.admin.parser import GLOBAL_OPTIONS, HelpFormatter, usage_error

if TYPE_CHECKING:
    from mthook.host.connection import Host
    from mthook.nova.cells import Cells
    from mthook.tools.admin.application import Admin

LOG = logging.getLogger("mthook.admin")

#: How an instance, and how a file to read, is named on the command line.
INSTANCE = "UUID|NAME"
FILE = "FILE|-"


def add_instance(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names an instance."""
    parser.add_argument("instance", metavar=INSTANCE, type=utf8)


def utf8(argument: str) -> str:
    """Return an argument that the catalog can be asked for, as all text in it is UTF-8."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{printable(argument)} isn't UTF-8") from None
    return argument


class UsageError(Error):
    """The command line asks for something that there isn't."""


class Told(command.Command):
    """A command that tells its exit codes, and uses the catalog or libvirt.

    :cvar codes: what its exit codes mean; 1 need not be told.
    """

    codes: ClassVar[Mapping[ExitCode, str]]
    app: Admin

    def get_epilog(self) -> str:
        """Return what ends ``--help``: where the global options are, and the exit codes."""
        return f"{GLOBAL_OPTIONS}\n\n{exitcode.describe(self.codes)}"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the command's parser; :meth:`add_arguments` fills it."""
        parser = super().get_parser(prog_name)
        parser.formatter_class = HelpFormatter
        parser.allow_abbrev = False
        parser.error = functools.partial(usage_error, parser)  # type: ignore[method-assign]
        self.add_arguments(parser)
        return parser

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""

    @property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration."""
        return self.app.conf

    def say(self, text: str) -> None:
        """Print one line to standard error."""
        print(printable(text, limit=2000), file=self.app.stderr)

    def complain(self, text: str) -> None:
        """Print one error to standard error, where it doesn't end the command."""
        LOG.error("%s", text)

    def warn(self, text: str) -> None:
        """Print one warning to standard error."""
        LOG.warning("%s", text)

    @contextlib.contextmanager
    def catalog(self, *, create: bool = False) -> Iterator[Catalog]:
        """Open the catalog.

        :param create: make one where there is none.
        :raises CatalogError: it can't be used.
        """
        LOG.info("catalog: %s", self.conf.catalog.path)
        with Catalog.open(self.conf.catalog.path, create=create) as catalog:
            yield catalog

    @contextlib.contextmanager
    def catalog_if_any(self) -> Iterator[Catalog | CatalogError]:
        """Open the catalog; where it can't be used, as on an administrator's host, yield why."""
        with contextlib.ExitStack() as stack:
            catalog: Catalog | CatalogError
            try:
                files.check(self.conf.catalog.path)  # what can't be opened isn't named as opened
                catalog = stack.enter_context(self.catalog())
            except CatalogError as error:
                LOG.info("%s", error)
                catalog = error
            yield catalog

    @contextlib.contextmanager
    def nova(self) -> Iterator[Cells]:
        """Open Nova's databases; they are reached when they are asked.

        :raises NovaError: what the configuration says of them can't be used.
        """
        from mthook.nova import cells  # late: SQLAlchemy takes longer to load than all the rest

        group = "api_database" if self.conf.api_database.connection else "database"
        LOG.info("Nova's database: that of [%s] connection", group)
        with cells.opened(self.conf) as found:
            yield found

    @contextlib.contextmanager
    def host(self) -> Iterator[Host]:
        """Connect to libvirt.

        :raises HostError: it can't be reached.
        """
        try:
            from mthook.host.connection import connect
        except ImportError as error:
            raise HostError(f"libvirt can't be asked: {error}: install libvirt-python") from error
        LOG.info("libvirt: %s", self.conf.libvirt.connection_uri)
        with connect(
            self.conf.libvirt.connection_uri, ports=self.conf.libvirt.num_pcie_ports
        ) as host:
            yield host

    @contextlib.contextmanager
    def host_unless(self, force: bool) -> Iterator[Host | None]:
        """Connect to libvirt; with ``force``, yield ``None`` where it can't be reached, and say so.

        :raises HostError: it can't be reached, and nobody forces the matter.
        """
        with contextlib.ExitStack() as stack:
            host = None
            try:
                host = stack.enter_context(self.host())
            except HostError as error:
                if not force:
                    raise HostError(f"{error} (--force changes the catalog alone)") from error
                self.warn(f"{error}: only the catalog is changed")
            yield host

    def look_up(self, text: str, catalog: Catalog) -> Instance:
        """Return an instance; libvirt is asked only for what the catalog doesn't know, new guests.

        :raises NotFound: there is none.
        :raises Error: the catalog has none, and libvirt can't be reached.
        """
        try:
            return look_up(text, catalog)
        except NotFound as error:
            try:
                with self.host() as host:
                    return look_up(text, catalog, host)
            except HostError as unreachable:
                raise Error(f"{error} in the catalog, and {unreachable}") from unreachable


class RowCommand(Told, lister.Lister):
    """A command that prints rows, as ``-f`` says.

    :cvar columns: their headings.
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
        """Print the rows.

        :raises UsageError: none of the columns asked for exists.
        """
        known = [name.lower() for name in column_names]
        for name in parsed_args.columns:
            if name.lower().replace("_", " ") not in known:
                raise UsageError(
                    f"no column '{printable(name)}', there are {', '.join(column_names)}"
                )
        return super().produce_output(parsed_args, column_names, data)

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
    """Read a file that the command line names.

    :param path: ``-``: standard input.
    :param limit: bytes that are read at most.
    :return: how messages call it, and its content.
    :raises Error: it can't be read.
    """
    name = "standard input" if path == "-" else printable(path)
    try:
        if path == "-":
            return name, stdin.buffer.read(limit)
        with open(path, "rb") as file:
            return name, file.read(limit)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise Error(f"{name}: {error.strerror if isinstance(error, OSError) else error}") from error
