# SPDX-License-Identifier: Apache-2.0
"""``list`` and ``history``: what the catalog knows, as rows; libvirt is asked for new guests."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mthook.catalog.offers import Offers
from mthook.catalog.records import Guest, HistoryEntry
from mthook.conf import has_nova
from mthook.errors import CatalogError, HostError, NovaError
from mthook.nova.instance import VM_STATES
from mthook.operations.inventory import InstanceRow, Selection, instances, unseen, unset_in_nova
from mthook.operations.lookup import look_up_or_ask, uuid_of
from mthook.operations.opening import once, opened_catalog, opened_host, opened_nova
from mthook.operations.support import pinned, unsupported
from mthook.text import printable
from mthook.tools.admin.command import (
    INSTANCE,
    ExitCode,
    RowCommand,
    Time,
    UsageError,
    argument,
    utf8,
)
from mthook.tools.options import drift_of

if TYPE_CHECKING:
    from oslo_config import cfg

    from mthook.catalog.store import Catalog
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
#: Options that ask for what Nova's database can't tell.
_LOCAL = ("drift", "machine", "deprecated", "unsupported")
#: What libvirt calls a hook for, in words for operators.
_OPERATIONS = {
    "prepare": "start",
    "started": "running",
    "migrate": "migration",
    "reconnect": "libvirtd restart",
    "attach": "attached",
}
#: Of so many guests.
_IN_ENFORCE = (
    "in mode enforce the next sync would realign {} definition(s), as far as it can:"
    " 'mthook-sync --dry-run' tells how"
)
NOVA_COLUMNS = ("UUID", "Name", "State", "Host", "Cell")


#: What selects instances, for every command that goes through them.
FILTERS = (
    argument(
        "--drift",
        action="store_true",
        help="guests that run, are defined, or recorded in Nova, unlike their pin, or wait"
        " for a repair",
    ),
    argument(
        "--machine",
        metavar="GLOB",
        help="pinned, defined or running as a machine type like this: 'pc-i440fx-2.*'",
    ),
    argument(
        "--deprecated",
        action="store_true",
        help="the same, for machine types that this host's QEMU deprecates",
    ),
    argument(
        "--unsupported",
        action="store_true",
        help="pinned to a machine type that this host's QEMU doesn't offer: they can't start here",
    ),
    argument(
        "--state",
        metavar="STATE",
        type=str.lower,
        help=f"{', '.join(STATES)}; with --unset in Nova {', '.join(VM_STATES)}",
    ),
)
CHANGED = "QEMU was changed since the last sync, what it offers isn't known: run mthook-sync"


def selection_of(conf: cfg.ConfigOpts, catalog: Catalog, args: argparse.Namespace) -> Selection:
    """Return what the options of :data:`FILTERS` select on this host.

    :raises CatalogError: what this host's QEMU offers isn't known.
    """
    deprecated = Offers(catalog.capabilities()).like(None).deprecated
    return Selection(
        unset=args.unset,
        drift=args.drift,
        machine=args.machine,
        state=args.state,
        deprecated=deprecated if args.deprecated else None,
        lacking=_unsupported(conf, catalog) if args.unsupported else None,
    )


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
    """List instances and their pins, as the last sync and the hook have seen them.

    Options that select may be combined; an instance is listed that all of them select.

    Where Nova's database is configured, --unset lists Nova's instances without a machine type, of
    all hosts and cells, with other columns.
    """

    columns = ("UUID", "Name", "State", "Pin", "Defined", "Running", "Source", "Updated", "Drift")
    codes: ClassVar = {
        ExitCode.OK: "listed, however many there are; with --unset: there are none",
        ExitCode.ERROR: "any other error, such as a cell that can't be reached (the others are"
        " listed)",
        ExitCode.NOT_FOUND: "no cell has the UUID of --cell-uuid",
        ExitCode.SOME_UNSET: "with --unset: there are instances without a pin",
    }

    arguments: ClassVar = (
        argument(
            "--unset",
            action="store_true",
            help="guests of this host without a pin, also such as no sync has seen; in Nova"
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
            help="with --unset, in Nova: without ironic's instances and failed builds that no host has",
        ),
        *FILTERS,
    )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Return the headings and the rows."""
        in_nova = parsed_args.unset and has_nova(self.conf)
        states = VM_STATES if in_nova else STATES
        if parsed_args.state not in (None, *states):
            state = printable(parsed_args.state)
            raise UsageError(f"no state '{state}', there are {', '.join(states)}")
        if in_nova:
            return NOVA_COLUMNS, self._in_nova(parsed_args)
        if parsed_args.cell_uuid is not None:
            raise UsageError("--cell-uuid needs --unset, and [api_database] connection")
        if parsed_args.guests_only:
            raise UsageError("--guests-only needs --unset, and a database of Nova's")
        return super().take_action(parsed_args)

    def _in_nova(self, args: argparse.Namespace) -> Iterator[Sequence[str]]:
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
    ) -> Iterator[Sequence[str]]:
        """Yield the rows, and set the exit code."""
        with opened:
            lacking = unset_in_nova(cells, args.state, guests_only=args.guests_only)
            for cell, found in lacking:
                if isinstance(found, NovaError):
                    self.complain(str(found))
                    self.code = ExitCode.ERROR
                    continue
                self.code = self.code or ExitCode.SOME_UNSET
                name = cell.name.removeprefix("Nova's cell ")  # what messages call it
                yield found.uuid, found.name, found.vm_state, found.host or "", name

    def rows(self, args: argparse.Namespace) -> Iterator[Sequence[str | Time]]:
        """Yield the selected instances by name, and say what mode enforce would do about them."""
        drifting = 0
        with opened_catalog(self.conf) as catalog:
            if (args.deprecated or args.drift or args.unsupported) and catalog.changed_archs():
                self.warn(CHANGED)
            guests = catalog.guests()
            if args.unset:
                guests = self._with_unseen(catalog, guests)
            selection = selection_of(self.conf, catalog, args)
            for row in instances(catalog, guests):
                if selection.has(row):
                    if args.unset:
                        self.code = ExitCode.SOME_UNSET
                    drifting += any(one.where == "defined" for one in row.drift)
                    yield _values(row)
        if drifting and self.conf.hook.mode != "enforce":
            self.say(_IN_ENFORCE.format(drifting))

    def _with_unseen(self, catalog: Catalog, guests: list[Guest]) -> list[Guest]:
        """Add the guests that libvirt has and no sync or hook has seen, and say that there are."""
        try:
            with opened_host(self.conf) as host:
                new = {guest.uuid: guest for guest in unseen(host, guests)}
        except HostError as error:
            last = Time(catalog.host().last_sync_at or "never").human_readable()
            self.warn(f"{error}: guests since the last sync ({last}) may be missing")
            return guests
        if new:
            names = ", ".join(sorted(printable(guest.name) for guest in new.values()))
            self.say(f"no sync has seen {names} yet")
        known = [guest for guest in guests if guest.uuid not in new]
        return sorted([*known, *new.values()], key=lambda guest: (guest.name, guest.uuid))


class History(RowCommand):
    """List everything that happened to an instance's pin, oldest first."""

    columns = ("When", "Event", "From", "To", "Why", "Source", "By")
    codes: ClassVar = {
        ExitCode.OK: "listed, even if nothing happened yet",
        ExitCode.NOT_FOUND: "no such instance",
    }

    arguments: ClassVar = (INSTANCE,)

    def rows(self, args: argparse.Namespace) -> Iterator[Sequence[str | Time]]:
        """Yield what happened."""
        with opened_catalog(self.conf) as catalog:
            uuid = uuid_of(args.instance)
            # It stays when all else is forgotten.
            entries = catalog.history(uuid) if uuid else []
            if not entries:
                instance = look_up_or_ask(args.instance, catalog, self.conf)
                entries = catalog.history(instance.uuid)
            for entry in entries:
                yield (
                    Time(entry.at),
                    entry.event,
                    entry.old or "",
                    entry.new or "",
                    _why(entry),
                    entry.source or "",
                    entry.actor,
                )


def _why(entry: HistoryEntry) -> str:
    """Return the reason; where the hook gives libvirt's word for what went on, in the operator's."""
    reason = entry.reason or ""
    return _OPERATIONS.get(reason, reason) if entry.event in ("drift", "stopped") else reason


def _values(row: InstanceRow) -> Sequence[str | Time]:
    """Return the columns of ``list``."""
    guest, pin = row.guest, row.pin if row.machine else None
    return (
        row.uuid,
        guest.name if guest else "",
        row.state,
        row.machine or "",
        (guest.defined or "") if guest else "",
        (guest.running or "") if guest else "",
        pin.source if pin else "",
        Time(pin.updated_at if pin else ""),
        drift_of(row.drift) or "no",
    )
