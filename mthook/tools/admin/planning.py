# SPDX-License-Identifier: Apache-2.0
"""``plan``, ``apply`` and ``undo``: changes of many guests, reviewed beforehand and with a way back."""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

from mthook.conf import has_nova
from mthook.errors import CatalogError, ConfigError, NotFound
from mthook.nova.instance import VM_STATES
from mthook.operations.caution import Caution, Kind
from mthook.operations.inventory import Selection
from mthook.operations.lookup import uuid_of
from mthook.operations.plans import applying, journal, making, subjects, workers
from mthook.operations.plans.document import Document, Planned, Task, lines
from mthook.operations.plans.outcomes import LEFT, Limits, Outcome
from mthook.operations.plans.undoing import Undoing
from mthook.policy import ALL
from mthook.text import label, printable
from mthook.tools.admin.command import (
    ALLOW,
    CAUTIONS,
    DRY_RUN,
    OF_THIS_HOST,
    REASON,
    AdminCommand,
    ExitCode,
    UsageError,
    actor,
    argument,
    utf8,
)
from mthook.tools.admin.listing import ALL_STATES, CHANGED, FILTERS, family_of, selection_of
from mthook.tools.admin.table import MAX_CELL, line

if TYPE_CHECKING:
    from mthook.operations.plans.subjects import Site

#: Options that ask for what Nova's database can't tell.
_LOCAL = ("drift", "source", "deprecated", "unsupported")
_ALL_HOSTS = argument(
    "--all-hosts",
    action="store_true",
    help="Nova's instances of all hosts and cells, in place of this host's guests; --machine then"
    " applies to what Nova has recorded, and --state to vm_state",
)
_UNSET = argument("--unset", action="store_true", help="guests without a pin")
#: The table of a plan, printed while that is made: how wide its columns are.
_WIDTHS = {"Name": 20, "Host": 14, "From": 18, "To": 18, "Remarks": MAX_CELL}
_OUTCOMES = {
    "changed": "changed",
    "foreseen": "would be changed",
    "put_back": "put back",
    "gone": "gone",
    "elsewhere": "on another host now",
    "changed_since": "left alone as changed since",
    "failed": "failed",
}
_LEFT = {
    "gone": "left alone: it is gone",
    "elsewhere": "left alone: it is on {} now",
    "changed_since": "left alone: changed since: {}",
}
#: What :meth:`mthook.operations.plans.subjects.Subject.saw` tells, in words.
_PARTS = {
    "pin": "its pin",
    "nova": "Nova's record",
    "spec": "its request spec",
    "definition": "its definition",
}


def _positive(text: str) -> int:
    """Return the number of an option."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{printable(text)} isn't a number of at least 1")
    return int(text)


class _Plan(AdminCommand):
    """A command that makes a plan."""

    codes: ClassVar = {
        ExitCode.OK: "the plan is on standard output; guests that it refuses are marked in it"
    }
    action: ClassVar[str]

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the plan, and the table."""
        args = parsed_args
        everywhere = getattr(args, "all_hosts", False)
        self._check(args, everywhere)
        counts: Counter[str] = Counter()
        out, who = self.app.stdout, actor()
        with subjects.opened(self.conf, all_hosts=everywhere) as site:

            def already(_: str) -> None:
                counts["already"] += 1

            selection, task = self._selection(args, site, everywhere), self._task(args)
            found = making.guests(site, task, selection, who, all_hosts=everywhere, already=already)
            plan = lines(
                making.origin(site, who, all_hosts=everywhere),
                task,
                self._shown(found, counts, everywhere),
            )
            for piece in plan:
                out.write(piece.decode())
        self._sum_up(counts)
        return ExitCode.OK

    def _check(self, args: argparse.Namespace, everywhere: bool) -> None:
        if everywhere and not has_nova(self.conf):
            raise UsageError("--all-hosts needs [database] or [api_database] connection")
        for name in _LOCAL if everywhere else ():
            if getattr(args, name):
                raise UsageError(
                    f"--{name} doesn't go with --all-hosts: Nova's database can't tell"
                )
        states = VM_STATES if everywhere else ALL_STATES
        for state in args.state:
            if state not in states:
                raise UsageError(f"no state '{printable(state)}', there are {', '.join(states)}")

    def _selection(self, args: argparse.Namespace, site: Site, everywhere: bool) -> Selection:
        if everywhere or isinstance(site.catalog, CatalogError):
            return Selection(
                unset=args.unset,
                name=args.name,
                machine=args.machine,
                family=family_of(args.family),
                states=args.state,
            )
        if (args.deprecated or args.drift or args.unsupported) and site.catalog.changed_archs():
            self.warn(CHANGED)
        return selection_of(self.conf, site.catalog, args)

    def _task(self, args: argparse.Namespace) -> Task:
        force = getattr(args, "force", False)
        return Task(
            self.action,
            getattr(args, "to", None),
            sorted(ALL if force else getattr(args, "allow", ())),
            force,
            getattr(args, "with_buses", False),
            getattr(args, "reason", None),
        )

    def _shown(
        self, guests: Iterable[Planned], counts: Counter[str], everywhere: bool
    ) -> Iterator[Planned]:
        """Print the table while the plan is made; guests of this host are all on one."""
        columns = [name for name in _WIDTHS if everywhere or name != "Host"]
        widths = [_WIDTHS[name] for name in columns]
        here: dict[str, None] = {}
        for number, one in enumerate(guests):
            if not number:
                self.say(line(columns, widths))
            counts.update([self.action if one.refused is None else "refused"])
            here.update((words(it), None) for it in _cautions(one) if it.kind in OF_THIS_HOST)
            cells = _cells(one)
            self.say(line([cells[name] for name in columns], widths))
            yield one
        for text in here:
            self.warn(text)

    def _sum_up(self, counts: Counter[str]) -> None:
        todo, refused, already = counts[self.action], counts["refused"], counts["already"]
        self.say(f"{todo} to {self.action}, {refused} refused, {already} with nothing to do")


def _cells(planned: Planned) -> dict[str, str]:
    """Return a row of the table."""
    known = {
        "Name": planned.name or planned.uuid,
        "Host": planned.host,
        "From": planned.old,
        "To": planned.new,
    }
    shown = {name: printable(value) if value else "-" for name, value in known.items()}
    return {**shown, "Remarks": _remarks(planned)}


def _remarks(planned: Planned) -> str:
    """Return what an operator should know of a guest's change."""
    if planned.refused is not None:
        return f"refused: {planned.refused['text']}"
    return "; ".join(words(one) for one in _cautions(planned) if one.kind not in OF_THIS_HOST)


def _cautions(planned: Planned) -> Iterator[Caution]:
    return (Caution(Kind(kind), tuple(facts)) for kind, *facts in planned.warnings)


def words(caution: Caution) -> str:
    """Return a caution as a sentence."""
    return CAUTIONS[caution.kind].format(*caution.facts)


class PlanSet(_Plan):
    """Plan to pin guests to another machine type; change nothing.

    The plan, which goes to standard output, is for 'mthook-admin apply'. A table of it goes to
    standard error. Options that select guests are those of 'mthook-admin list', and are combined
    with AND; without any, all guests of this host are in the plan.
    """

    action = "set"
    examples: ClassVar = (
        "mthook-admin plan set --machine 'pc-q35-6.*' --to pc-q35-7.2 > plan.json",
        "mthook-admin plan set --all-hosts --state stopped --to pc-q35-7.2 > plan.json",
    )
    arguments: ClassVar = (
        argument("--to", metavar="TYPE", type=utf8, required=True, help="the new machine type"),
        _ALL_HOSTS,
        _UNSET,
        *FILTERS,
        ALLOW,
        argument("--force", action="store_true", help="turn all refusals into warnings"),
        argument(
            "--with-buses",
            action="store_true",
            help="in Nova, also change device buses recorded as ide, which only pc has, to sata",
        ),
        REASON,
    )


class PlanAccept(_Plan):
    """Plan to pin guests of this host to what they run, else to what they are defined as.

    Change nothing; see 'mthook-admin help plan set'.
    """

    action = "accept"
    examples: ClassVar = ("mthook-admin plan accept --drift > plan.json",)
    arguments: ClassVar = (_UNSET, *FILTERS, REASON)


class PlanFreeze(_Plan):
    """Plan to replace the aliases that guests of this host are pinned to by what they run.

    Change nothing; see 'mthook-admin help plan set'.
    """

    action = "freeze"
    examples: ClassVar = ("mthook-admin plan freeze --machine pc > plan.json",)
    arguments: ClassVar = (_UNSET, *FILTERS)


class PlanUnset(_Plan):
    """Plan to release pins; change nothing; see 'mthook-admin help plan set'.

    An instance on another host is refused unless --force is given: that host's mthook-sync would
    write its pin back.
    """

    action = "unset"
    examples: ClassVar = ("mthook-admin plan unset --name 'test-*' > plan.json",)
    arguments: ClassVar = (
        _ALL_HOSTS,
        _UNSET,
        *FILTERS,
        ALLOW,
        argument("--force", action="store_true", help="turn all refusals into warnings"),
        REASON,
    )


class PlanRealign(_Plan):
    """Plan to bring definitions of this host's guests to their pins.

    Change nothing; see 'mthook-admin help plan set'.
    """

    action = "realign"
    examples: ClassVar = ("mthook-admin plan realign --drift > plan.json",)
    arguments: ClassVar = (_UNSET, *FILTERS, ALLOW)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the plan, unless no definition may follow."""
        if not self.conf.sync.realign:
            raise ConfigError("[sync] realign = false: definitions stay as they are")
        return super().take_action(parsed_args)


class _Changing(AdminCommand):
    """A command that goes through many guests and says what becomes of each."""

    def report(self, outcomes: Iterable[Outcome], total: int) -> Counter[str]:
        """Say what becomes of each guest; return how many came to which end."""
        counts: Counter[str] = Counter()
        try:
            for one in self._with_progress(outcomes, total):
                counts[one.kind] += 1
                self._say_outcome(one)
        except BaseException:
            if counts:  # else "nothing to do" would be said of what failed at once
                self.say(_counted(counts))
            raise
        self.say(_counted(counts))
        return counts

    def _say_outcome(self, one: Outcome) -> None:
        what = label(one.uuid, one.name)
        for caution in one.cautions:
            if caution.kind in OF_THIS_HOST:
                self.warn_once(words(caution))
            else:
                self.warn(f"{what}: {words(caution)}")
        if one.kind in LEFT:
            parts = (printable(_PARTS.get(part, part)) for part in one.detail.split(", "))
            self.complain(f"{what}: {_LEFT[one.kind].format(', '.join(parts) or 'no host')}")
        elif one.kind == "failed":
            self.complain(one.detail)
        else:
            would = "would change " if one.kind == "foreseen" else ""
            self.say(
                f"{what}: {would}{printable(one.old or 'none')} → {printable(one.new or 'none')}"
            )

    def _with_progress(self, outcomes: Iterable[Outcome], total: int) -> Iterator[Outcome]:
        """Show how far it is, on a terminal."""
        if not total or not self.app.stderr.isatty():
            yield from outcomes
            return
        from tqdm import tqdm  # here: most runs need none

        with tqdm(total=total, unit=" guests", leave=False, file=self.app.stderr) as bar:
            for one in outcomes:
                bar.update()
                bar.clear()
                yield one
                bar.refresh()


def _counted(counts: Counter[str]) -> str:
    """Return how many guests came to which end."""
    return ", ".join(
        f"{counts[kind]} {name}" for kind, name in _OUTCOMES.items() if counts[kind]
    ) or ("nothing to do")


class Apply(_Changing):
    """Do what a plan says. A guest that has changed since is left alone.

    The same command resumes a plan that was interrupted; no guest is changed twice. 'mthook-admin
    undo' takes a plan back.
    """

    codes: ClassVar = {
        ExitCode.OK: "all guests of the plan are changed, except those that it refuses; or --max of them",
        ExitCode.ERROR: "some were left alone or failed, or any other error",
    }
    examples: ClassVar = (
        "mthook-admin apply plan.json --dry-run",
        "mthook-admin apply plan.json --max 10 --pause-after-errors 3",
    )
    arguments: ClassVar = (
        argument(
            "plan",
            metavar="PLAN",
            type=utf8,
            help="a file with a plan as mthook-admin has printed it",
        ),
        argument("--max", metavar="N", type=_positive, help="change at most this many guests"),
        argument(
            "--parallel",
            metavar="N",
            type=_positive,
            default=1,
            help="change this many guests at a time, each in its own process",
        ),
        argument(
            "--pause-after-errors",
            metavar="N",
            type=_positive,
            help="stop after this many failures; the same command resumes",
        ),
        DRY_RUN,
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Apply the plan."""
        args, plan = parsed_args, Document(parsed_args.plan)
        limits = Limits(args.max, args.pause_after_errors)
        with contextlib.ExitStack() as stack:
            directory = None
            if not args.dry_run:
                directory = stack.enter_context(journal.locked(self.conf.catalog.path))
            application = applying.begin(self.conf, plan, directory, actor(), limits)
            try:
                found = workers.run(application, args.parallel)
                counts = self.report(found, len(application))
            finally:
                if directory is not None and journal.can_undo(directory, plan.id):
                    self.say(f"to take it back: mthook-admin undo {plan.id}")
        if limits.paused:
            self.complain("stopped after that many failures: the same command resumes")
        return ExitCode.ERROR if any(counts[kind] for kind in (*LEFT, "failed")) else ExitCode.OK


class Undo(_Changing):
    """Take back what 'apply', 'set', 'accept', 'unset' or 'freeze' has changed.

    Each guest becomes what it was: its pin, Nova's record, its definition. One that somebody has
    changed since is left alone. No running guest changes; what it is started as next does.
    """

    codes: ClassVar = {
        ExitCode.OK: "all guests are what they were",
        ExitCode.ERROR: "some were left alone or failed, or any other error",
        ExitCode.NOT_FOUND: "no such change",
    }
    arguments: ClassVar = (DRY_RUN,)
    examples: ClassVar = ("mthook-admin undo --last --dry-run", "mthook-admin undo --last")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the command's parser: one change, or the last one."""
        parser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "change",
            metavar="CHANGE",
            type=utf8,
            nargs="?",
            help="as 'mthook-admin history' and 'apply' name it; with /UUID one guest of it alone",
        )
        which.add_argument("--last", action="store_true", help="the last that isn't taken back")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Take the change back."""
        change, slash, guest = (parsed_args.change or "").partition("/")
        only = uuid_of(guest) if slash else None
        if slash and only is None:
            raise UsageError(f"'{printable(guest)}' is no UUID")
        with journal.locked(self.conf.catalog.path) as directory:
            if change:
                state = journal.find(directory, change)
                counts = self._undo(directory, change, state, only, dry=parsed_args.dry_run)
            else:
                counts = self._undo_last(directory, dry=parsed_args.dry_run)
        return ExitCode.ERROR if any(counts[kind] for kind in (*LEFT, "failed")) else ExitCode.OK

    def _undo_last(self, directory: str, *, dry: bool) -> Counter[str]:
        """Take the last change back; one that failed or was killed may have changed nothing, so the one before it."""
        for name, state in journal.newest_first(directory):
            about = state.head
            self.say(f"change {name} of {about['began_at']}: {about['action']} by {about['by']}")
            counts = self._undo(directory, name, state, dry=dry)
            if counts:
                return counts
        raise NotFound("no change is there that could be taken back")

    def _undo(
        self,
        directory: str,
        name: str,
        state: journal.State,
        only: str | None = None,
        *,
        dry: bool,
    ) -> Counter[str]:
        undoing = Undoing(self.conf, name, journal.path_of(directory, name), state, actor(), dry)
        return self.report(undoing.run(only), 1 if only else len(state.left))
