# SPDX-License-Identifier: Apache-2.0
"""``list`` and ``history``: what the catalog knows, as rows; libvirt is asked for new guests."""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mthook import policy
from mthook.catalog.records import Guest, HistoryEntry, Pin
from mthook.errors import HostError
from mthook.text import printable
from mthook.tools.admin.columns import Time
from mthook.tools.admin.command import RowCommand, add_instance
from mthook.tools.admin.exitcode import ExitCode
from mthook.tools.admin.instances import uuid_of

if TYPE_CHECKING:
    from mthook.catalog.store import Catalog
    from mthook.host.connection import Host

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
#: What libvirt calls a hook for, in words for operators.
_OPERATIONS = {
    "prepare": "start",
    "started": "running",
    "migrate": "migration",
    "reconnect": "libvirtd restart",
    "attach": "attached",
}


@dataclass(frozen=True)
class Row:
    """One instance as ``list`` shows it.

    :ivar drift: in what the guest is unlike its pin; '' in nothing.
    """

    uuid: str
    guest: Guest | None
    pin: Pin | None
    drift: str

    @property
    def machine(self) -> str | None:
        """The pin, ``None`` without one."""
        return self.pin.machine if self.pin else None

    @property
    def state(self) -> str:
        """libvirt's word, or ``gone`` for a guest that is no longer on this host."""
        return self.guest.state if self.guest and self.guest.gone_since is None else "gone"

    @property
    def machines(self) -> set[str]:
        """Every machine type that has to do with the instance."""
        guest = self.guest
        known = (self.machine, guest.defined if guest else None, guest.running if guest else None)
        return {machine for machine in known if machine}

    def values(self) -> Sequence[str | Time]:
        """Return the columns."""
        guest, pin = self.guest, self.pin if self.machine else None
        return (
            self.uuid,
            printable(guest.name) if guest else "",
            self.state,
            self.machine or "",
            (guest.defined or "") if guest else "",
            (guest.running or "") if guest else "",
            pin.source if pin else "",
            Time(pin.updated_at if pin else ""),
            self.drift or "no",
        )


class List(RowCommand):
    """List instances and their pins, as the last sync and the hook have seen them.

    Options that select may be combined; an instance is listed that all of them select.
    """

    columns = ("UUID", "Name", "State", "Pin", "Defined", "Running", "Source", "Updated", "Drift")
    codes: ClassVar = {
        ExitCode.OK: "listed, however many there are; with --unset: there are none",
        ExitCode.SOME_UNSET: "with --unset: there are instances without a pin",
    }

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add what selects."""
        parser.add_argument(
            "--unset",
            action="store_true",
            help="guests of this host without a pin; also such as no sync has seen",
        )
        parser.add_argument(
            "--drift",
            action="store_true",
            help="guests that run, or are defined, unlike their pin, or wait for a repair",
        )
        parser.add_argument(
            "--machine",
            metavar="GLOB",
            help="pinned, defined or running as a machine type like this: 'pc-i440fx-2.*'",
        )
        parser.add_argument(
            "--deprecated",
            action="store_true",
            help="the same, for machine types that this host's QEMU deprecates",
        )
        parser.add_argument(
            "--state", metavar="STATE", type=str.lower, choices=STATES, help=", ".join(STATES)
        )

    def rows(self, args: argparse.Namespace) -> Iterator[Sequence[str | Time]]:
        """Yield the selected instances by name."""
        with self.catalog() as catalog:
            deprecated = {one.machine for one in catalog.capabilities() if one.deprecated}
            guests = catalog.guests()
            if args.unset:
                guests = self._with_unseen(catalog, guests)
            for row in _rows(catalog, guests):
                if _is_selected(row, args, deprecated):
                    if args.unset:
                        self.code = ExitCode.SOME_UNSET
                    yield row.values()

    def _with_unseen(self, catalog: Catalog, guests: list[Guest]) -> list[Guest]:
        """Add the guests that libvirt has and no sync or hook has seen, and say that there are."""
        known = {guest.uuid for guest in guests if guest.gone_since is None}
        try:
            with self.host() as host:
                found = _guests(host)
        except HostError as error:
            last = Time(catalog.host().last_sync_at or "never").human_readable()
            self.warn(f"{error}: guests since the last sync ({last}) may be missing")
            return guests
        unseen = {guest.uuid: guest for guest in found if guest.uuid not in known}
        if unseen:
            names = ", ".join(sorted(printable(guest.name) for guest in unseen.values()))
            self.say(f"no sync has seen {names} yet")
        seen = [guest for guest in guests if guest.uuid not in unseen]
        return sorted([*seen, *unseen.values()], key=lambda guest: (guest.name, guest.uuid))


class History(RowCommand):
    """List everything that happened to an instance's pin, oldest first."""

    columns = ("When", "Event", "From", "To", "Why", "Source", "By")
    codes: ClassVar = {
        ExitCode.OK: "listed, even if nothing happened yet",
        ExitCode.NOT_FOUND: "no such instance",
    }

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the instance."""
        add_instance(parser)

    def rows(self, args: argparse.Namespace) -> Iterator[Sequence[str | Time]]:
        """Yield what happened."""
        with self.catalog() as catalog:
            for entry in self._history(catalog, args.instance):
                yield (
                    Time(entry.at),
                    entry.event,
                    entry.old or "",
                    entry.new or "",
                    printable(_why(entry)),
                    entry.source or "",
                    printable(entry.actor),
                )

    def _history(self, catalog: Catalog, text: str) -> list[HistoryEntry]:
        """Return an instance's history, which stays when all else is forgotten.

        :raises NotFound: nothing was ever known of it.
        """
        uuid = uuid_of(text)
        entries = catalog.history(uuid) if uuid else []
        return entries or catalog.history(self.look_up(text, catalog).uuid)


def _why(entry: HistoryEntry) -> str:
    """Return the reason; where the hook gives libvirt's word for what went on, in the operator's."""
    reason = entry.reason or ""
    return _OPERATIONS.get(reason, reason) if entry.event in ("drift", "stopped") else reason


def _guests(host: Host) -> list[Guest]:
    """Return the guests that libvirt has; not those whose XML can't be read."""
    from mthook.host import domains

    found = (domain.as_guest() for domain in domains.list_domains(host))
    return [guest for guest in found if guest is not None]


def _rows(catalog: Catalog, guests: Iterable[Guest]) -> Iterator[Row]:
    """Yield all instances: guests by name, then pins of which no guest was ever seen here."""
    pins = {pin.uuid: pin for pin in catalog.pins()}
    aliases: dict[tuple[str | None, str, str], dict[str, str]] = {}
    stopped = {repair.uuid for repair in catalog.repairs()}
    for guest in guests:
        key = (guest.emulator, guest.arch, guest.virt_type)
        if key not in aliases:
            aliases[key] = catalog.aliases(*key)
        pin = pins.pop(guest.uuid, None)
        drift = [*_drift(guest, pin, aliases[key]), *_stopped(guest.uuid in stopped)]
        yield Row(guest.uuid, guest, pin, ", ".join(drift))
    for uuid, pin in pins.items():
        yield Row(uuid, None, pin, ", ".join(_stopped(uuid in stopped)))


def _stopped(waits: bool) -> list[str]:
    """Say that a guest waits for a repair, if it does."""
    return ["start stopped"] if waits else []


def _drift(guest: Guest, pin: Pin | None, aliases: dict[str, str]) -> list[str]:
    """Say in what a guest is unlike its pin."""
    if pin is None or pin.machine is None or guest.gone_since is not None:
        return []
    wanted = pin.machine
    return [
        f"{what} {machine}"
        for what, machine in (("runs", guest.running), ("defined", guest.defined))
        if machine and not policy.satisfied(wanted, machine, seen=pin.seen, aliases=aliases)
    ]


def _is_selected(row: Row, args: argparse.Namespace, deprecated: set[str]) -> bool:
    return not (
        (args.unset and (row.machine is not None or row.state == "gone"))
        or (args.drift and not row.drift)
        or (args.machine is not None and not fnmatch.filter(row.machines, args.machine))
        or (args.deprecated and not row.machines & deprecated)
        or (args.state is not None and row.state != args.state)
    )
