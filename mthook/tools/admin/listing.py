# SPDX-License-Identifier: Apache-2.0
"""``list`` and ``history``: what the catalog knows, as rows; libvirt is asked for new guests."""

from __future__ import annotations

import argparse
import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from mthook.catalog.offers import Offers
from mthook.catalog.records import EVENTS, Guest, HistoryEntry
from mthook.conf import has_nova
from mthook.errors import CatalogError, HostError, MachineTypeError, NotFound, NovaError
from mthook.hook import install
from mthook.machinetype import MachineType
from mthook.nova.instance import VM_STATES
from mthook.operations.fleetchange import find
from mthook.operations.inventory import (
    InstanceRow,
    Selection,
    as_now,
    instances,
    is_like,
    unseen,
    unset_in_nova,
)
from mthook.operations.lookup import look_up_or_ask, uuid_of
from mthook.operations.opening import (
    once,
    opened_catalog,
    opened_fleet,
    opened_host,
    opened_nova,
)
from mthook.operations.readiness import guard
from mthook.operations.readiness.context import Context
from mthook.operations.support import pinned, unsupported
from mthook.text import counted, is_time, now, printable
from mthook.tools import options
from mthook.tools.admin.command import (
    GUEST,
    ExitCode,
    RowCommand,
    UsageError,
    argument,
    utf8,
)
from mthook.tools.admin.table import DriftCell, Name, PinCell, Time, Whole, Why

if TYPE_CHECKING:
    from oslo_config import cfg

    from mthook.catalog.store import Catalog
    from mthook.fleet.connection import Record
    from mthook.nova.cell import Cell

#: What a guest's state can be: libvirt's words, saved, and gone.
STATES = (
    "running",
    "paused",
    "in shutdown",
    "shut off",
    "crashed",
    "pmsuspended",
    "no state",
    "saved",
    "gone",
)
#: Those, and Nova's for what has no guest here.
ALL_STATES = tuple(dict.fromkeys((*STATES, *VM_STATES)))
#: Options that ask for what Nova's database can't tell.
_LOCAL = ("drift", "machine", "family", "source", "deprecated", "unsupported")
#: What libvirt calls a hook for, in words for operators.
_OPERATIONS = {
    "prepare": "start",
    "started": "running",
    "migrate": "migration",
    "reconnect": "libvirt restart",
    "attach": "attached",
}
#: Of so many guests.
_IN_ENFORCE = "in mode enforce the next sync would realign {}, as far as possible: 'mthook-sync --dry-run' tells how"
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (0, "s"))
NOVA_COLUMNS = ("UUID", "Display name", "State", "Host", "Cell")
#: How many guests or silent hosts a line names.
_FEW = 5
_DISPLAY = "Display name"
#: Columns of which tables have only those that a row fills.
_RARE = ("Display name", "Change")
#: What a table has unless more is asked for.
_BRIEF = ("Name", "Display name", "State", "Pin", "Drift")


def _moment(text: str) -> str:
    """Return the earliest time that ``--since`` lets through; see its help."""
    past = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if past:
        seconds = {"m": 60, "h": 3600, "d": 86400}[past[2]] * int(past[1])
        return now(max(time.time() - seconds, 0))
    given = text.rstrip("Z").replace(" ", "T")
    if not given or not is_time(given + "0000-01-01T00:00:00.000000Z"[len(given) :]):
        raise argparse.ArgumentTypeError(
            f"'{printable(text)}' isn't a time: give one such as 2026-11-22, 2026-11-22T13:00 or 12h"
        )
    return given


#: What selects instances, for every command that goes through them.
FILTERS = (
    argument(
        "--name",
        metavar="GLOB",
        type=utf8,
        help="guests whose name in libvirt or Nova is like this: 'web-*'",
    ),
    argument(
        "--state",
        metavar="STATE",
        type=str.lower,
        action="append",
        default=[],
        help=f"{', '.join(STATES)}; for an instance without a guest here, and in"
        f" Nova, {', '.join(VM_STATES)}; may be repeated",
    ),
    argument(
        "--source",
        metavar="SOURCE",
        type=utf8,
        help="guests whose pin comes from this source: 'first boot', operator, Nova",
    ),
    argument(
        "--family",
        metavar="FAMILY",
        type=utf8,
        help="pinned, defined or running as a machine type of this family: pc, q35, virt",
    ),
    argument(
        "--machine",
        metavar="GLOB",
        type=utf8,
        help="pinned, defined or running as a machine type like this: 'pc-i440fx-2.*'",
    ),
    argument(
        "--drift",
        action="store_true",
        help="guests that differ from their pin (running, defined, or recorded in Nova), or"
        " wait for a repair",
    ),
    argument(
        "--deprecated",
        action="store_true",
        help="pinned, defined or running as a machine type that this host's QEMU deprecates",
    ),
    argument(
        "--unsupported",
        action="store_true",
        help="pinned to a machine type that this host's QEMU doesn't offer: they can't start here",
    ),
)
#: What asks for other hosts' instances as well.
ALL_HOSTS = (
    argument(
        "--all-hosts",
        action="store_true",
        help="all hosts, from the fleet's record; needs [fleet] connection",
    ),
    argument(
        "--host",
        metavar="HOST",
        type=utf8,
        help="this host, from the fleet's record",
    ),
)
CHANGED = "QEMU has changed since the last sync, so what it offers isn't known: run mthook-sync"


def selection_of(conf: cfg.ConfigOpts, catalog: Catalog, args: argparse.Namespace) -> Selection:
    """Return what the options of :data:`FILTERS` select on this host.

    :raises CatalogError: what this host's QEMU offers isn't known.
    :raises UsageError: there is no such family.
    """
    deprecated = Offers(catalog.capabilities()).like(None).deprecated
    return Selection(
        unset=args.unset,
        drift=args.drift,
        name=args.name,
        machine=args.machine,
        family=family_of(args.family),
        source=args.source.lower() if args.source is not None else None,
        states=args.state,
        deprecated=deprecated if args.deprecated else None,
        lacking=_unsupported(conf, catalog) if args.unsupported else None,
    )


def family_of(name: str | None) -> str | None:
    """Return a family by its own name, or as machine types begin: ``pc``, ``pc-i440fx``.

    :raises UsageError: there is none such.
    """
    if name is None:
        return None
    try:
        return MachineType.parse(name if name == "pc" else name.removeprefix("pc-")).family
    except MachineTypeError as error:
        raise UsageError(f"--family: {error}") from error


def _unsupported(conf: cfg.ConfigOpts, catalog: Catalog) -> set[str]:
    """Return the UUIDs of what can't run here, by what the last sync saw, and by libvirt's word."""
    offers = Offers(catalog.capabilities())
    if not offers:
        raise CatalogError("no machine types are known yet: run mthook-sync", catalog.path)
    present = [guest for guest in catalog.guests() if guest.gone_since is None]
    with contextlib.ExitStack() as stack:
        connect = once(lambda: stack.enter_context(opened_host(conf, readonly=True)))
        return {pin.uuid for pin, *_ in unsupported(pinned(catalog, present, offers), connect)}


class List(RowCommand):
    """List instances: their states now, and their pins as the last sync and the hook saw them.

    All filters are combined with AND: an instance is listed if it matches every one of them. Only
    --state may be repeated; an instance then needs one of the states.

    A table has one line for each instance, as wide as the terminal. Long names are shortened in
    their middle. --long prints all columns, and nothing is shortened.

    With --all-hosts or --host, instances are those of the fleet's record, as each host's last sync
    has written them there.

    Where Nova's database is configured, --unset lists Nova's instances without a machine type, of
    all hosts and cells, with other columns.
    """

    columns = (
        *("UUID", "Name", "Display name", "State", "Pin", "Defined", "Running", "Source"),
        *("Updated", "Drift"),
    )
    codes: ClassVar = {
        ExitCode.OK: "listed, however many there are; with --unset: there are none",
        ExitCode.ERROR: "any other error, such as a cell that can't be reached (the others are"
        " listed)",
        ExitCode.NOT_FOUND: "no cell has the UUID of --cell-uuid, no host the name of --host",
        ExitCode.SOME_UNSET: "with --unset: there are instances without a pin",
    }
    examples: ClassVar = (
        "mthook-admin list --drift",
        "mthook-admin list --machine 'pc-i440fx-4.*' --state running",
        "mthook-admin list --unset -f value -c UUID",
        "mthook-admin list --all-hosts --machine 'pc-i440fx-4.*'",
        "mthook-admin list -f json",
    )

    arguments: ClassVar = (
        argument("--long", action="store_true", help="print all columns, as wide as they are"),
        *FILTERS,
        *ALL_HOSTS,
        argument(
            "--unset",
            action="store_true",
            help="guests on this host without a pin, including those no sync has seen yet; in Nova"
            " instances of any host without a recorded machine type",
        ),
        argument(
            "--cell-uuid",
            metavar="UUID",
            type=utf8,
            help="with --unset: only of this cell; needs [api_database] connection",
        ),
        argument(
            "--guests-only",
            action="store_true",
            help="with --unset, in Nova: without Ironic's instances and failed builds on no host",
        ),
    )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Return the headings and the rows."""
        everywhere = parsed_args.all_hosts or parsed_args.host is not None
        in_nova = parsed_args.unset and has_nova(self.conf) and not everywhere
        states = VM_STATES if in_nova else ALL_STATES
        for state in parsed_args.state:
            if state not in states:
                raise UsageError(f"no state '{printable(state)}', there are {', '.join(states)}")
        if in_nova:
            return NOVA_COLUMNS, self._in_nova(parsed_args)
        if parsed_args.cell_uuid is not None:
            raise UsageError("--cell-uuid needs --unset, and [api_database] connection")
        if parsed_args.guests_only:
            raise UsageError("--guests-only needs --unset, and a Nova database")
        if everywhere:
            return FLEET_COLUMNS, self._everywhere(parsed_args)
        return super().take_action(parsed_args)

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        """Print the rows, then what mode enforce would do about them, and below a table what they come to."""
        if column_names is NOVA_COLUMNS:
            return super().produce_output(parsed_args, column_names, data)
        if column_names is FLEET_COLUMNS:
            return self._print_everywhere(parsed_args, data)
        rows = list(data)
        super().produce_output(parsed_args, column_names, rows)
        self.app.stdout.flush()
        where = self.columns.index("Drift")
        wrong = sum("defined" in row[where].machine_readable() for row in rows)
        if wrong and self.conf.hook.mode != "enforce":
            self.say(_IN_ENFORCE.format(counted(wrong, "definition")))
        if self._unguarded:
            names = ", ".join(map(printable, self._unguarded[:_FEW]))
            more = ", ..." if len(self._unguarded) > _FEW else ""
            self.say(f"guests started unguarded: {len(self._unguarded)} ({names}{more})")
        if parsed_args.formatter == "table":
            self.say(self._total(rows))
        return 0

    def brief(
        self, args: argparse.Namespace, headings: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> Sequence[str]:
        """Return what answers the questions that most are asked."""
        if headings is NOVA_COLUMNS:
            return headings
        brief = ("Host", *_BRIEF) if headings is FLEET_COLUMNS else _BRIEF
        return _told(brief, headings, rows)

    def _total(self, rows: Sequence[Sequence[Any]]) -> str:
        """Return the last line: how many there are, and how old the picture is."""
        state, pin, drift = map(self.columns.index, ("State", "Pin", "Drift"))
        found = {
            "drifting": sum(bool(row[drift].machine_readable()) for row in rows),
            "unpinned": sum(row[pin].machine_readable() is None for row in rows),
            "gone": sum(row[state] == "gone" for row in rows),
        }
        total = counted(self._known, "instance")
        figures = [total if len(rows) == self._known else f"{len(rows)} of {total}"]
        figures += [f"{number} {what}" for what, number in found.items() if number]
        then = ", states as of then: libvirt can't be reached" if self._states_are_old else ""
        return f"{', '.join(figures)}; last sync {_ago(self._last_sync)}{then}"

    def _everywhere(self, args: argparse.Namespace) -> Iterator[Sequence[Any]]:
        """Yield the selected instances of all hosts, which are read as they are printed."""
        from mthook.fleet import reading  # here: SQLAlchemy takes longer to load than all the rest
        from mthook.operations import everywhere

        selected = reading.Selected(
            host=args.host,
            name=args.name,
            source=args.source.lower() if args.source is not None else None,
            states=args.state,
            unset=args.unset,
            drift=args.drift,
            deprecated=args.deprecated,
            unsupported=args.unsupported,
        )
        family = family_of(args.family)
        with opened_fleet(self.conf) as record, record.reading() as connection:
            reading.check_host(connection, args.host)
            self._total_of_fleet = reading.total(connection, record)
            for host, row in everywhere.instances(connection, selected, args.machine, family):
                if args.unset:
                    self.code = ExitCode.SOME_UNSET
                yield host, *_values(row)

    def _print_everywhere(self, args: argparse.Namespace, data: Iterable[Sequence[Any]]) -> int:
        """Print the instances of all hosts, then which hosts were silent, and below a table what they come to."""
        rows = list(data) if args.formatter == "table" else data
        super().produce_output(args, FLEET_COLUMNS, rows)
        self.app.stdout.flush()
        total = self._total_of_fleet
        if total.silent:
            few = [printable(host) for host in total.silent[:_FEW]]
            more = ", ..." if len(total.silent) > _FEW else ""
            hosts = counted(len(total.silent), "host")
            self.warn(f"{hosts} wrote nothing for an hour: {', '.join(few)}{more}")
        if isinstance(rows, list):
            number, of = len(rows), counted(total.guests, "instance")
            known = of if number == total.guests else f"{number} of {of}"
            self.say(f"{known} on {counted(total.hosts, 'host')}")
        return 0

    def _in_nova(self, args: argparse.Namespace) -> Iterator[Sequence[str | None]]:
        """Return Nova's instances without a machine type, which are read as they are printed.

        There can be more of them than memory is good for.
        """
        for name in _LOCAL:
            if getattr(args, name):
                raise UsageError(
                    f"--{name} doesn't go with --unset here: that lists instances from Nova's database"
                )
        with contextlib.ExitStack() as stack:
            cells = stack.enter_context(opened_nova(self.conf))
            asked = [cells.cell(args.cell_uuid)] if args.cell_uuid else cells.all()
            return self._of_cells(asked, args, stack.pop_all())

    def _of_cells(
        self, cells: Iterable[Cell], args: argparse.Namespace, opened: contextlib.ExitStack
    ) -> Iterator[Sequence[str | None]]:
        """Yield the rows, and set the exit code."""
        with opened:
            lacking = unset_in_nova(cells, args.state, guests_only=args.guests_only)
            for cell, found in lacking:
                if isinstance(found, NovaError):
                    self.complain(str(found))
                    self.code = ExitCode.ERROR
                    continue
                if not is_like(args.name, [found.name]):
                    continue
                self.code = self.code or ExitCode.SOME_UNSET
                name = cell.name.removeprefix("Nova's cell ")  # what messages call it
                yield found.uuid, found.name, found.vm_state, found.host, name

    def rows(self, args: argparse.Namespace) -> Iterator[Sequence[Any]]:
        """Yield the selected instances by name."""
        self._known = 0
        files = options.files(self.app.options)
        with Context(self.conf, files, install.DEFAULT_DIRECTORY) as context:
            catalog = context.catalog()
            if (args.deprecated or args.drift or args.unsupported) and catalog.changed_archs():
                self.warn(CHANGED)
            self._last_sync = catalog.host().last_sync_at
            guests = self._as_now(catalog.guests())
            present = [one for one in guests if one.gone_since is None]
            self._unguarded = [one.name for one in guard.started_unguarded(context, present)]
            if args.unset:
                guests = self._with_unseen(guests)
            selection = selection_of(self.conf, catalog, args)
            for row in instances(catalog, guests):
                self._known += 1
                if selection.has(row):
                    if args.unset:
                        self.code = ExitCode.SOME_UNSET
                    yield _values(row)

    def _as_now(self, guests: list[Guest]) -> list[Guest]:
        """Return guests in the states that libvirt tells, else in those that the last sync saw."""
        self._states_are_old = False
        try:
            with opened_host(self.conf, readonly=True) as host:
                return as_now(host, guests)
        except HostError:
            self._states_are_old = True
            return guests

    def _with_unseen(self, guests: list[Guest]) -> list[Guest]:
        """Add the guests that libvirt has and no sync or hook has seen, and say that there are."""
        try:
            with opened_host(self.conf) as host:
                new = {guest.uuid: guest for guest in unseen(host, guests)}
        except HostError as error:
            last = Time(self._last_sync or "never").human_readable()
            self.warn(f"{error}: guests since the last sync ({last}) may be missing")
            return guests
        if new:
            names = ", ".join(sorted(printable(guest.name) for guest in new.values()))
            self.say(f"no sync has seen {names} yet")
        known = [guest for guest in guests if guest.uuid not in new]
        return sorted([*known, *new.values()], key=lambda guest: (guest.name, guest.uuid))


FLEET_COLUMNS = ("Host", *List.columns)


class History(RowCommand):
    """List everything that happened to pins, oldest first: to one instance's, or to all.

    A table of all instances leaves out why it happened, and by whom; --long prints all columns.

    With --all-hosts or --host, it is what has happened on those hosts, from the fleet's record.
    """

    columns = (
        *("When", "UUID", "Name", "Display name", "Event", "From", "To", "Why", "Source"),
        *("By", "Change"),
    )
    codes: ClassVar = {
        ExitCode.OK: "listed, even if nothing happened yet",
        ExitCode.NOT_FOUND: "no such instance or host",
    }
    examples: ClassVar = (
        "mthook-admin history web-1",
        "mthook-admin history web-1 -f json",
        "mthook-admin history --all-hosts --event stopped --since 7d",
    )

    arguments: ClassVar = (
        argument(
            "instance",
            metavar="GUEST",
            type=utf8,
            nargs="?",
            help=f"{GUEST}; default: all that this host's catalog knows",
        ),
        argument("--long", action="store_true", help="print all columns, as wide as they are"),
        *ALL_HOSTS,
        argument(
            "--since",
            metavar="TIME",
            type=_moment,
            help="in UTC, as this command prints it, or its beginning, such as 2026-11-22; or how long"
            " ago: 90m, 12h, 7d",
        ),
        argument(
            "--event",
            metavar="EVENT",
            type=str.lower,
            choices=EVENTS,
            action="append",
            help=f"{', '.join(EVENTS)}; may be repeated",
        ),
    )

    def brief(
        self, args: argparse.Namespace, headings: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> Sequence[str]:
        """Return what there is room for: the history of one tells why and by whom, or what undo takes back."""
        host = ("Host",) if "Host" in headings else ()
        if args.instance is not None:
            told = _told(("When", *host, "Event", "From", "To", "Change"), headings, rows)
            return told if "Change" in told else (*told, "Why", "By")
        brief = ("When", *host, "Name", "Display name", "Event", "From", "To")
        return _told(brief, headings, rows)

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Return the headings and the rows."""
        if parsed_args.all_hosts or parsed_args.host is not None:
            return ("Host", *self.columns), self._everywhere(parsed_args)
        return super().take_action(parsed_args)

    def _everywhere(self, args: argparse.Namespace) -> Iterator[Sequence[Any]]:
        """Yield what happened on all hosts, which is read as it is printed."""
        from mthook.fleet import reading  # here: SQLAlchemy takes longer to load than all the rest

        with opened_fleet(self.conf) as record:
            uuid = self._uuid(record, args.instance)
            asked = {"since": args.since or "", "host": args.host, "events": args.event or ()}
            with record.reading() as connection:
                reading.check_host(connection, args.host, past=True)
                for one in reading.history(connection, uuid=uuid, **asked):
                    entry = HistoryEntry(
                        one.uuid,
                        one.at,
                        one.event,
                        one.actor,
                        one.old,
                        one.new,
                        one.source,
                        one.reason,
                    )
                    yield one.host, *_line(entry, one.name, one.display)

    def _uuid(self, record: Record, text: str | None) -> str | None:
        """Return which instance is meant. Its history stays when all else is forgotten, so any UUID will do."""
        if text is None:
            return None
        found = find(record, text)
        uuid = found[0].guest.uuid if found else uuid_of(text)
        if uuid is None:
            raise NotFound(f"no instance has the UUID or name '{printable(text)}'")
        return uuid

    def rows(self, args: argparse.Namespace) -> Iterator[Sequence[Any]]:
        """Yield what happened."""
        with opened_catalog(self.conf) as catalog:
            names = {guest.uuid: (guest.name, guest.display) for guest in catalog.guests()}
            instances = catalog.instances()
            for entry in self._entries(catalog, args):
                if args.event is None or entry.event in args.event:
                    known = instances.get(entry.uuid, (None, ""))[0]
                    name, display = names.get(entry.uuid, (None, None))
                    yield _line(entry, name, display or known)

    def _entries(self, catalog: Catalog, args: argparse.Namespace) -> list[HistoryEntry]:
        since = args.since or ""
        if args.instance is None:
            return catalog.history(since=since)
        uuid = uuid_of(args.instance)
        # It stays when all else is forgotten.
        if uuid is None or not catalog.history(uuid):
            uuid = look_up_or_ask(args.instance, catalog, self.conf).uuid
        return catalog.history(uuid, since)


def _line(entry: HistoryEntry, name: str | None, display: str | None) -> Sequence[Any]:
    """Return the columns of ``history``."""
    return (
        Time(entry.at),
        entry.uuid,
        Name(name, display, entry.uuid),
        display,
        entry.event,
        entry.old,
        entry.new,
        Why(_why(entry), entry.source),
        entry.source,
        entry.actor,
        Whole(entry.change) if entry.change else None,
    )


def _told(
    names: Sequence[str], headings: Sequence[str], rows: Sequence[Sequence[Any]]
) -> Sequence[str]:
    """Return the names of columns, but no Nova names and changes where no row has one."""
    rare = {name: headings.index(name) for name in names if name in _RARE}
    return [name for name in names if name not in rare or any(row[rare[name]] for row in rows)]


def _why(entry: HistoryEntry) -> str | None:
    """Return the reason; where the hook gives libvirt's word for what went on, in the operator's."""
    reason = entry.reason
    if reason is None or entry.event not in ("drift", "stopped"):
        return reason
    return _OPERATIONS.get(reason, reason)


def _values(row: InstanceRow) -> Sequence[Any]:
    """Return the columns of ``list``."""
    guest, pin = row.guest, row.pin if row.machine else None
    return (
        row.uuid,
        Name(guest.name if guest else None, row.display, row.uuid),
        row.display,
        row.state,
        PinCell(row.machine),
        guest.defined if guest else None,
        guest.running if guest else None,
        pin.source if pin else None,
        Time(pin.updated_at if pin else None),
        DriftCell(row.drift),
    )


def _ago(at: str | None) -> str:
    """Return how long ago a moment was: ``5 min ago``."""
    if at is None:
        return "never"
    then = datetime.fromisoformat(at.replace("Z", "+00:00"))
    seconds = max((datetime.now(timezone.utc) - then) // timedelta(seconds=1), 0)
    size, unit = next(one for one in _UNITS if seconds >= one[0])
    return f"{seconds // (size or 1)} {unit} ago"
