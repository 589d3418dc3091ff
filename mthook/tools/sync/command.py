# SPDX-License-Identifier: Apache-2.0
"""The command line of mthook-sync, and one run by it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import TypeVar

from oslo_config import cfg

from mthook import conf as configuration
from mthook import journal
from mthook.errors import Error
from mthook.locks import Busy
from mthook.operations.acts import (
    Act,
    Event,
    Failure,
    LeftAlone,
    Result,
    StartedUnguarded,
    SyncResult,
)
from mthook.operations.sync.figures import recorded
from mthook.operations.sync.reported import Reported
from mthook.operations.sync.synchronize import synchronize
from mthook.settings import fingerprint
from mthook.text import printable
from mthook.tools import options, program
from mthook.tools.sync import cloud, words
from mthook.tools.sync.cloud import CloudReport, Forbidden

PROGRAM = "mthook-sync"

#: How many guests it takes for a progress bar to be worth its line.
_MANY = 200

_EXAMPLES = (
    "mthook-sync --dry-run",
    "mthook-sync -v",
    "mthook-sync --only repair --start",
    "mthook-sync --dry-run -f json",
    "mthook-sync --config-file admin.conf --cloud",
)

_Thing = TypeVar("_Thing")


class Exit(options.Exit):
    """What mthook-sync ends with, and what that means."""

    DONE = 0, "all is well, whether or not there was anything to do"
    ERROR = 1, "something failed, one line each on standard error; the rest was done"
    USAGE = (
        options.USAGE,
        "the command line is wrong, or the configuration forbids what it asks for",
    )
    BUSY = 3, "another mthook-sync is running"
    INTERRUPTED = program.INTERRUPTED, "interrupted before it began"
    BROKEN_PIPE = program.BROKEN_PIPE, "the reader of the pipe went away"


def run(arguments: Sequence[str]) -> int:
    """Do what a command line asks for, and return an :class:`Exit`."""
    parser = _parser()
    given = parser.parse_args(arguments)
    _check_options(parser, given)
    report = Report(given)
    cloud_report = CloudReport(given, report) if given.cloud else None
    result = cloud_report.result if cloud_report else SyncResult(report, dry_run=given.dry_run)
    code = _synchronize(given, result, report)
    report.end()
    if code == Exit.USAGE:
        return code
    if cloud_report is not None:
        cloud_report.print()
    elif isinstance(result, SyncResult):
        _print(given, result)
    if report.speaks and code != Exit.BUSY:
        options.say(PROGRAM, words.summary(result))
    return code


class Lines:
    """Tells a terminal what is done, a line a guest: acts that follow each other are joined."""

    def __init__(self) -> None:
        self._last: tuple[str | None, str] = None, ""
        self._done: list[str] = []
        self._changes: list[str] = []

    def add(self, act: Act) -> None:
        """Tell an act, once it is known that none of the same guest follows."""
        who, what = words.told(act)
        if (act.uuid, who) != self._last:
            self.end()
            self._last = act.uuid, who
        self._done.append(what)
        self._changes += act.changes

    def end(self) -> None:
        """Tell what waits to be told."""
        if self._done:
            lines = [
                f"{self._last[1]}: {', '.join(self._done)}",
                *(f"  {c}" for c in self._changes),
            ]
            print(*lines, sep="\n", file=sys.stderr)
        self._done, self._changes = [], []


class Report:
    """Logs or complains of what happens at once: nobody's guest is changed in silence.

    :ivar speaks: somebody looks on, and is told what is done.
    :ivar whole: the run has met all faults that there are.
    """

    whole = False

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        on_terminal = sys.stderr.isatty() and given.format == "text" and not given.watch
        self.speaks: bool = given.verbose or on_terminal
        self._lines = Lines() if on_terminal and not given.verbose else None
        self.remember(configuration.DEFAULT_CATALOG)

    def remember(self, catalog: str) -> None:
        """Find out, beside a catalog, what was reported before."""
        name = "reported-cloud.json" if self._given.cloud else "reported.json"
        path = os.path.join(os.path.dirname(catalog), name)
        keeps = self._given.scheduled and not self._given.dry_run
        self._reported = Reported(path) if keeps else None

    def __call__(self, event: Event) -> None:
        """Report one thing."""
        if isinstance(event, Act):
            if not self._given.dry_run:
                self._done(event)
        elif isinstance(event, Failure):
            text = str(event)
            # The other run's PID is no news.
            self._failed(text, "busy" if isinstance(event.error, Busy) else text)
        elif isinstance(event, StartedUnguarded):
            # It is met once: the history knows it from then on.
            options.say(PROGRAM, words.unguarded(event))
        elif isinstance(event, LeftAlone) and self._given.verbose:
            options.say(PROGRAM, words.left_alone(event))

    def end(self) -> None:
        """Tell the rest, and keep what was reported, for the next run."""
        self._flush()
        if self._reported is not None:
            self._reported.keep(whole=self.whole)

    def _done(self, act: Act) -> None:
        for line in words.done(act):
            journal.info(f"sync: {line}")
            if self._given.verbose and not self._given.watch:
                options.say(PROGRAM, line)
        if self._lines is not None:
            self._lines.add(act)

    def _flush(self) -> None:
        if self._lines is not None:
            self._lines.end()

    def _failed(self, text: str, fault: str) -> None:
        self._flush()
        if self._reported is None or self._reported.is_due(fault):
            options.say(PROGRAM, text)


def _synchronize(given: argparse.Namespace, result: Result, report: Report) -> int:
    """Do one run, and return what the program is to end with."""
    files = given.config_file
    stamp = fingerprint(files or configuration.default_files())
    try:
        conf = configuration.load(files)
        report.remember(conf.catalog.path)
        if isinstance(result, SyncResult):
            _check_step(conf, given.only)
            settings = configuration.settings(conf, stamp)
            whole = given.only is None and not given.dry_run
            with recorded(conf, options.files(given), result) if whole else nullcontext():
                synchronize(conf, settings, result, given.only, _progress, start=given.start)
        else:
            cloud.check(given, conf)
            cloud.run(given, conf, result)
        report.whole = given.only is None
    except Busy as error:
        result.add(Failure(error))
        return Exit.BUSY
    except Forbidden as error:
        result.add(Failure(error))
        return Exit.USAGE
    except Error as error:
        result.add(Failure(error))
        return Exit.ERROR
    except OSError as error:
        result.add(Failure(Error(printable(error))))
        return Exit.ERROR
    except KeyboardInterrupt:
        text = "interrupted: what was begun is finished, the rest waits for the next run"
        result.add(Failure(Error(text)))
        return Exit.ERROR
    # A service that was stopped has said all else in its time.
    return Exit.ERROR if result.failed and not given.watch else Exit.DONE


def _check_options(parser: options.Parser, given: argparse.Namespace) -> None:
    """Refuse options that don't go together."""
    if given.cloud and given.only:
        parser.error("--only is for a host, not for --cloud")
    if given.start and given.only != "repair":
        parser.error("--start is for --only repair")
    if given.watch and not given.cloud:
        parser.error("--watch is for --cloud")
    if given.watch and (given.dry_run or given.scheduled or given.format != "text"):
        parser.error("--watch doesn't go with --dry-run, --scheduled or --format")


def _check_step(conf: cfg.ConfigOpts, only: str | None) -> None:
    """Refuse a step that the configuration forbids or has no means for.

    :raises Forbidden: it does.
    """
    if only == "realign" and not conf.sync.realign:
        raise Forbidden("--only realign: the configuration has [sync] realign = false")
    if only in ("pull", "push") and not configuration.has_nova(conf):
        raise Forbidden(f"--only {only}: the configuration has no [database] connection")
    if only == "push" and not conf.sync.write_back:
        raise Forbidden("--only push: the configuration has [sync] write_back = false")


def _parser() -> options.Parser:
    parser = options.Parser(
        PROGRAM,
        "Give every guest of this host its pin, bring pins and Nova's records together,\n"
        "bring definitions back to their pins, and mend guests whose start was stopped.\n"
        "On a terminal it prints what it does, and a summary; elsewhere it is silent\n"
        "unless something is wrong. -v also names the guests that it leaves alone.",
        Exit,
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="change nothing, print what would be done"
    )
    parser.add_argument(
        "--only",
        choices=("pull", "seed", "push", "realign", "repair"),
        help="do only this step; pull reads from Nova's database, push writes to it",
    )
    parser.add_argument(
        "--start",
        action="store_true",
        help="with --only repair: also start the guests whose start the hook stopped in the last ten minutes, except"
        " Nova's; make sure that nothing else has started them meanwhile, here or elsewhere",
    )
    parser.add_argument(
        "--cloud",
        action="store_true",
        help="on a controller, in place of all that: write the machine types that Nova has recorded into the request"
        " specs of all instances in all cells, and record those of instances on no host",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="with --cloud: keep running, and look every few seconds for instances that Nova has changed",
    )
    parser.add_argument(
        "--scheduled",
        action="store_true",
        help="for cron and timers: report a lasting fault once, and then once a day",
    )
    parser.add_argument(
        "-f",
        "--format",
        choices=("text", "json"),
        default="text",
        help="json: print what was or would be done, who was left alone and what failed as one JSON document"
        " (default: %(default)s)",
    )
    return parser


def _print(given: argparse.Namespace, result: SyncResult) -> None:
    """Print what standard output is for: what a dry run would do, or the document."""
    if given.format == "json":
        print(json.dumps(words.document(result), indent=2))
    elif given.dry_run:
        for act in result.acts:
            print(*words.planned(act), sep="\n")
        for one in result.foreseen:
            print(*words.foreseen(one), sep="\n")
        if not result.acts and not result.foreseen and not result.errors:
            print("nothing to do")


def _progress(things: Iterable[_Thing], total: int) -> Iterable[_Thing]:
    """Show a bar on standard error while things are gone through, if many and a person looks on."""
    if total <= _MANY or not sys.stderr.isatty():
        return things
    from tqdm import tqdm  # here: cron's runs need none

    bar: Iterable[_Thing] = tqdm(things, total=total, desc=PROGRAM, unit=" guests", leave=False)
    return bar
