# SPDX-License-Identifier: Apache-2.0
"""``forecast`` and ``offer``: what another QEMU, or another default, would do to guests."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mthook import releases
from mthook.errors import Error, MachineTypeError
from mthook.machinetype import MachineType
from mthook.operations.forecast import offering, sight
from mthook.operations.forecast.outlook import (
    CHANGES,
    FAILS,
    MIGRATION,
    RESTORE,
    REVERT,
    START,
    UNKNOWN,
    WORKS,
    Cure,
    Event,
    Outlook,
)
from mthook.operations.forecast.prospects import Offered, Qemu, Released
from mthook.operations.opening import opened_catalog, opened_fleet, opened_host
from mthook.text import counted, label, printable
from mthook.tools.admin.command import (
    AdminCommand,
    ExitCode,
    RowCommand,
    UsageError,
    argument,
    read_input,
    utf8,
)
from mthook.tools.admin.listing import ALL_HOSTS

if TYPE_CHECKING:
    from mthook.operations.forecast.guests import Guest
    from mthook.operations.forecast.rehearsal import Rehearsed

#: An offer of all architectures has some 100 KB.
_MAX_OFFER = 1 << 24
_EVENTS = (START, RESTORE, REVERT, MIGRATION)
#: What there is to do, as a command; in braces are the guest and what the cure is about.
_CURES = {
    "set": "mthook-admin set {guest} {what}",
    "resume": "virsh start {guest}",
    "shut_down": "virsh shutdown {guest}",
    "delete_snapshot": "virsh snapshot-delete {guest} {what}",
    "freeze": "mthook-admin freeze {guest}",
    "pin": "mthook-sync --only seed",
    "record": "mthook-sync --only push",
    "specify": "mthook-sync --cloud",
    "edit": "virsh edit {guest}",
}
_BINARY = argument(
    "--qemu-binary",
    metavar="PATH",
    type=utf8,
    help="a QEMU binary that runs on this host; mthook asks it",
)


class Forecast(RowCommand):
    """Tell what another QEMU or default machine type would do to the guests.

    Every guest's next start, restore of a managed-save image, revert to a snapshot and migration is judged. The table
    shows what breaks; other formats show all guests. The commands that prevent it go to standard
    error, in the order in which to type them.

    Without an option the guests are judged by the QEMU that their host has.

    With --all-hosts or --host the guests are those of the fleet's record, each judged by its own
    host's QEMU. What is in managed-save images and snapshots only a forecast on the host itself tells.
    """

    columns = ("Guest", "At", "Machine type", "Outcome")
    #: Of the formats that programs read.
    fields: ClassVar = (
        *("uuid", "name", "state", "arch", "running", "pin", "defined", "saved", "snapshots"),
        *("nova", "request_spec", *_EVENTS, "becomes", "refused"),
        *("ends", "ends_at", "breaks", "cures", "rehearsed"),
    )
    codes: ClassVar = {
        ExitCode.OK: "nothing breaks",
        ExitCode.NOT_FOUND: "no host has the name of --host",
        ExitCode.BREAKS: "a guest wouldn't start, restore, revert or migrate, or its hardware would change",
        ExitCode.UNJUDGED: "nothing breaks as far as can be told, but some guests can't be judged",
    }
    examples: ClassVar = (
        "mthook-admin forecast --qemu 11.2",
        "mthook-admin forecast --offer new-host.json -f json",
        "mthook-admin forecast --default x86_64=q35",
        "mthook-admin forecast --qemu 11.2 --all-hosts",
    )

    arguments: ClassVar = (
        *ALL_HOSTS,
        argument(
            "--qemu",
            metavar="VERSION",
            type=utf8,
            help="a release of upstream's QEMU; upstream's rule tells which machine types it has",
        ),
        argument(
            "--offer",
            metavar="FILE|-",
            type=utf8,
            help="what 'mthook-admin offer' printed on another host",
        ),
        argument(
            "--default",
            metavar="ARCH=TYPE",
            type=utf8,
            help="another default machine type, that of Nova's [libvirt] hw_machine_type or QEMU's own",
        ),
        _BINARY,
        argument(
            "--rehearse",
            action="store_true",
            help="with --qemu-binary: start every distinct definition under it, paused, without"
            " disks and networks, and apart from the guests",
        ),
    )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Return the headings and the rows, and say what to do."""
        qemu, defaults, what = self._asked(parsed_args)
        if parsed_args.all_hosts or parsed_args.host is not None:
            return self._everywhere(parsed_args, qemu, defaults, what)
        with (
            opened_catalog(self.conf) as catalog,
            opened_host(self.conf, readonly=True) as host,
        ):
            seen = sight.look(self.conf, catalog, host)
            if seen.nova_problem:
                self.complain(f"{seen.nova_problem}: Nova's records aren't judged")
            found = sight.forecast(self.conf, seen, qemu, defaults)
            self._check_arch(found, qemu, what)
            tried = []
            if parsed_args.rehearse:
                assert isinstance(qemu, Offered)
                tried = sight.rehearse(seen, host, qemu.offering)
        here = [("", one) for one in found]
        what = what or f"QEMU {seen.current.qemu_version} of this host"
        self._conclude(here, tried, what, len(found))
        if seen.nova_problem and self.code == ExitCode.OK:
            self.code = ExitCode.ERROR
        if parsed_args.formatter == "table":
            return self.columns, [*_table(found), *_tried(found, _more(found, tried))]
        return self.fields, [_fields(one, tried) for one in found]

    def _everywhere(
        self, args: argparse.Namespace, qemu: Qemu | None, defaults: dict[str, str], what: str
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Return the headings and the rows for all hosts; of guests for which all works, only programs hear."""
        from mthook.operations.forecast import everywhere  # here: it takes SQLAlchemy

        if args.rehearse:
            raise UsageError("--rehearse is for this host: run it on each")
        is_table, found, unseen = args.formatter == "table", [], 0
        number = 0
        with opened_fleet(self.conf) as record, record.reading() as connection:
            for one in everywhere.forecast(self.conf, connection, qemu, defaults, args.host):
                number, unseen = number + 1, unseen + one.unseen
                if not is_table or one.outlook.outcome != WORKS:
                    found.append((one.host, one.outlook))
        self._conclude(found, [], what or "the QEMU of each host", number)
        if unseen:
            self.warn(
                f"{counted(unseen, 'guest')} with saved state: run 'mthook-admin forecast' on their hosts as well"
            )
        if is_table:
            rows = ((host, *row) for host, one in found for row in _table([one]))
            return ("Host", *self.columns), rows
        return ("host", *self.fields), ((host, *_fields(one, [])) for host, one in found)

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        """Print the rows; a table of nothing would only hide the line that says so."""
        rows = list(data)
        if parsed_args.formatter == "table" and not rows:
            return 0
        return super().produce_output(parsed_args, column_names, rows)

    def rows(self, args: argparse.Namespace) -> Iterable[Sequence[Any]]:  # noqa: ARG002
        """Return nothing: what the rows are depends on the format."""
        return []

    def _asked(self, args: argparse.Namespace) -> tuple[Qemu | None, dict[str, str], str]:
        """Return the QEMU and the defaults to judge by, and how messages call them."""
        given = [n for n in ("qemu", "offer", "default", "qemu_binary") if getattr(args, n)]
        if len(given) > 1:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise UsageError(f"{options} don't go together: ask for one at a time")
        if args.rehearse and args.qemu_binary is None:
            raise UsageError("--rehearse needs --qemu-binary PATH")
        if args.qemu is not None:
            return Released(_release(args.qemu)), {}, f"QEMU {printable(args.qemu)}"
        if args.offer is not None:
            found = self._read(args.offer)
            return Offered(found), {}, f"QEMU {found.qemu_version} of {printable(found.name)}"
        if args.qemu_binary is not None:
            found = offering.of_binary(args.qemu_binary)
            return Offered(found), {}, f"QEMU {found.qemu_version} ({printable(found.name)})"
        if args.default is not None:
            return None, _default(args.default), f"the default {printable(args.default)}"
        return None, {}, ""

    def _read(self, path: str) -> offering.Offering:
        name, content = read_input(path, self.app.stdin, _MAX_OFFER)
        try:
            return offering.from_text(content.decode())
        except UnicodeDecodeError as error:
            raise Error(f"{name}: not UTF-8 at byte {error.start}") from error
        except Error as error:
            raise Error(f"{name}: {error}; 'mthook-admin offer' makes such a file") from error

    def _check_arch(self, found: Sequence[Outlook], qemu: Qemu | None, what: str) -> None:
        """Refuse to judge all guests by the QEMU of another architecture."""
        archs = {one.guest.arch for one in found if one.guest.problem is None}
        if isinstance(qemu, Offered) and archs and not archs & qemu.offering.archs:
            offered = ", ".join(sorted(qemu.offering.archs)) or "nothing"
            raise Error(
                f"{what} is for {offered}, this host's guests are {', '.join(sorted(archs))}"
            )

    def _conclude(
        self,
        found: Sequence[tuple[str, Outlook]],
        tried: Sequence[Rehearsed],
        what: str,
        number: int,
    ) -> None:
        """Say how it comes out and what to do, and set the exit code.

        :param found: guests, each with its host; '': this one.
        :param number: how many guests there are in all.
        """
        outlooks = [one for _, one in found]
        breaking = {(host, one.guest.uuid) for host, one in found if one.breaks}
        breaking |= {("", one.uuid) for one in tried if one.error is not None}
        unjudged = {(host, one.guest.uuid) for host, one in found if one.outcome == UNKNOWN}
        unjudged -= breaking
        self.say(f"{what}: {_summary(number, len(breaking), len(unjudged))}{_first_end(outlooks)}")
        if breaking or unjudged:
            self.code = ExitCode.BREAKS if breaking else ExitCode.UNJUDGED
        for host, one in found:
            where = f"{printable(host)}: " if host else ""
            if one.guest.problem:
                self.say(f"{where}{one.guest.problem}")
            lines = [*_refusals(one), *_commands(one, tried)]
            self.say_of(f"{where}{_label(one.guest)}", lines)
        labels = {one.guest.uuid: _label(one.guest) for _, one in found}
        for trial in tried:
            self.say_of(labels[trial.uuid], _told(trial))


class Offer(AdminCommand):
    """Print what this host's QEMU, or another binary, offers."""

    codes: ClassVar = {ExitCode.OK: "the offer is on standard output"}
    examples: ClassVar = ("mthook-admin offer > new-host.json",)
    arguments: ClassVar = (_BINARY,)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the offer."""
        print(offering.to_text(self._found(parsed_args.qemu_binary)), file=self.app.stdout)
        return ExitCode.OK

    def _found(self, binary: str | None) -> offering.Offering:
        if binary is not None:
            return offering.of_binary(binary)
        with opened_host(self.conf, readonly=True) as host:
            return sight.offer(self.conf, host)


def _default(text: str) -> dict[str, str]:
    arch, equals, machine = text.partition("=")
    if not (arch and equals):
        raise UsageError(f"--default is ARCH=TYPE, such as x86_64=q35, not '{printable(text)}'")
    try:
        MachineType.parse(machine)
    except MachineTypeError as error:
        raise UsageError(f"--default: {error}") from error
    return {arch: machine}


def _summary(number: int, breaking: int, unjudged: int) -> str:
    if not number:
        return "there are no guests"
    parts = [f"{breaking} of {number} guests would break"] if breaking else []
    parts += [f"{unjudged} of {number} guests can't be judged"] if unjudged else []
    return ", ".join(parts) or f"nothing breaks for {counted(number, 'guest')}"


def _first_end(found: Sequence[Outlook]) -> str:
    """Return when the first machine type ends, for the end of the summary."""
    ends = sorted(one.end for one in found if one.end is not None)
    if not ends:
        return ""
    first = ends[0]
    return f"; the first machine type ends with QEMU {_version(first)} ({releases.month(first)})"


def _release(text: str) -> releases.Release:
    try:
        return releases.parse(text)
    except Error as error:
        raise UsageError(str(error)) from error


def _version(release: releases.Release) -> str:
    return f"{release[0]}.{release[1]}"


def _label(guest: Guest) -> str:
    return label(guest.uuid, guest.name, guest.display)


def _refusals(one: Outlook) -> Iterator[str]:
    """Yield what libvirt refuses, which no machine type is the reason for."""
    for refusal in filter(None, (event.refusal for event in one.events)):
        yield (
            f"start fails: libvirt {_version(refusal.since)} and newer refuse its {refusal.part};"
            " change that once such a libvirt is installed"
        )


def _commands(one: Outlook, tried: Sequence[Rehearsed]) -> list[str]:
    """Return what prevents that a guest breaks, in the order in which to type it."""
    found = [_command(one.guest, cure) for cure in one.cures]
    # QEMU's words say what of the definition it doesn't take.
    if any(trial.kind == START for trial in _more([one], tried)):
        found.append(_command(one.guest, Cure("edit")))
    return found


def _more(found: Sequence[Outlook], tried: Iterable[Rehearsed]) -> list[Rehearsed]:
    """Return what fails in rehearsal, and no forecast has told."""
    told = {(one.guest.uuid, e.kind) for one in found for e in one.events if e.outcome == FAILS}
    uuids = {one.guest.uuid for one in found}
    failed = (one for one in tried if one.error is not None and one.uuid in uuids)
    return [one for one in failed if (one.uuid, one.kind) not in told]


def _command(guest: Guest, cure: Cure) -> str:
    """Return a cure as it can be typed; what a shell or virsh would misread is called by its UUID."""
    plain = guest.name and guest.name.isprintable() and not guest.name.startswith("-")
    text = _CURES[cure.kind].format(
        guest=shlex.quote(guest.name) if plain else guest.uuid, what=shlex.quote(cure.what or "")
    )
    return f"{text} --allow {','.join(cure.allowances)}" if cure.allowances else text


def _table(found: Iterable[Outlook]) -> Iterator[Sequence[str]]:
    """Yield what doesn't work, for people."""
    for one in found:
        for event in one.events:
            if event.outcome in (FAILS, CHANGES, UNKNOWN):
                yield _shown(one.guest), event.kind, event.machine or "", _outcome(event)


def _outcome(event: Event) -> str:
    if event.outcome == CHANGES:
        return f"becomes {event.becomes}"
    if event.outcome == UNKNOWN:
        return "can't be judged"
    return f"libvirt refuses {event.refusal.part}" if event.refusal else "isn't offered"


def _shown(guest: Guest) -> str:
    """Return a guest's name for the table; the lines below it have all of them."""
    return guest.display or guest.name or guest.uuid


def _tried(found: Iterable[Outlook], tried: Iterable[Rehearsed]) -> Iterator[Sequence[str]]:
    names = {one.guest.uuid: _shown(one.guest) for one in found}
    for one in tried:
        yield names[one.uuid], one.kind, "", "fails in rehearsal"


def _told(one: Rehearsed) -> Iterator[str]:
    """Yield what a rehearsal says of a guest."""
    where = f"{one.kind} ({one.snapshot})" if one.snapshot else one.kind
    if one.error is not None:
        yield f"{where} fails: {one.error}"
    if one.left_out:
        yield f"{where} was tried without {', '.join(one.left_out)}"
    if one.other_arch:
        yield f"{where} wasn't tried, its architecture is {one.other_arch}"


def _fields(one: Outlook, tried: Sequence[Rehearsed]) -> Sequence[Any]:
    """Return a guest for programs."""
    guest = one.guest
    worst = [one.worst(kind) for kind in _EVENTS]
    return (
        *(guest.uuid, guest.name, guest.state, guest.arch, guest.running, guest.pin),
        *(guest.defined, guest.saved, {name: list(m) for name, m in guest.snapshots.items()}),
        *(guest.recorded, guest.spec),
        *(event.outcome if event else None for event in worst),
        next((event.becomes for event in one.events if event.becomes), None),
        next((event.refusal.part for event in one.events if event.refusal), None),
        *((_version(one.end), releases.month(one.end)) if one.end else (None, None)),
        one.breaks,
        _commands(one, tried),
        [_trial(trial) for trial in tried if trial.uuid == guest.uuid],
    )


def _trial(one: Rehearsed) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "snapshot": one.snapshot,
        "tried": one.other_arch is None,
        "error": one.error,
        "left_out": list(one.left_out),
    }
