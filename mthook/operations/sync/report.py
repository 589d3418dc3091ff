# SPDX-License-Identifier: Apache-2.0
"""What mthook-sync says: nothing when all is well, one line per error, more on request."""

from __future__ import annotations

import collections
import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from mthook import journal

PROGRAM = "mthook-sync"

#: How many guests it takes for a progress bar to be worth its line.
_MANY = 200
#: What a run does, in the order of the summary line.
_DONE = ("pinned", "released", "written", "realigned", "repaired", "forgotten", "drifting")
_LEFT = "left alone"
#: How the system log says that something was done, where that isn't the summary's word.
_PAST = {"written": "wrote", "forgotten": "forgot", "drifting": "noted"}

_Thing = TypeVar("_Thing")


class Report:
    """Collects what one run does. Standard output is for what a dry run would do.

    What a run does is also told to the system log: nobody's guest is changed in silence.

    :param dry_run: print at the end what would be done.
    :param verbose: print a line for each guest that is left alone, and a summary.
    """

    def __init__(self, *, dry_run: bool = False, verbose: bool = False) -> None:
        self.dry_run = dry_run
        self.verbose = verbose
        self.guests = 0
        self.acts = 0
        self.errors = 0
        self._counts: collections.Counter[str] = collections.Counter()
        self._would: list[str] = []
        self._said: set[tuple[str, str]] = set()

    def done(self, kind: str, what: str) -> None:
        """Count something done, and log it; a dry run keeps it to be printed.

        :param kind: one of the summary's words.
        :param what: in the imperative, as it follows the word "would".
        """
        if self._is_new(kind, what):
            self.acts += 1
            self._counts[kind] += 1
            if self.dry_run:
                self._would.append(f"would {what}")
            else:
                journal.info(f"sync: {_PAST.get(kind, kind)} {what.partition(' ')[2]}")

    def detail(self, who: str, changes: Sequence[str]) -> None:
        """Log, or in a dry run print, what becomes of a guest's hardware, a line each."""
        for change in changes:
            if self.dry_run:
                self._would.append(f"  {who}: {change}")
            else:
                journal.info(f"sync: {who}: {change}")

    def left_alone(self, line: str) -> None:
        """Count a guest that would need something which mthook doesn't do by itself."""
        if self._is_new(_LEFT, line):
            self._counts[_LEFT] += 1
            if self.verbose:
                _complain(line)

    def error(self, line: str) -> None:
        """Count and print an error, once however many steps meet it."""
        if self._is_new("error", line):
            self.errors += 1
            _complain(line)

    def finish(self) -> None:
        """Say what the run came to.

        :raises OSError: standard output can't be written.
        """
        if self.dry_run and self.acts == 0 and self.errors == 0:
            self._would.append("nothing to do")
        for line in self._would:
            print(line)
        if self.verbose:
            counts = ", ".join(f"{kind}: {self._counts[kind]}" for kind in (*_DONE, _LEFT))
            mode = "dry run: " if self.dry_run else ""
            _complain(f"{mode}guests: {self.guests}, {counts}, errors: {self.errors}")

    def _is_new(self, kind: str, line: str) -> bool:
        """Tell whether this is said for the first time: several steps may meet the same guest."""
        new = (kind, line) not in self._said
        self._said.add((kind, line))
        return new


def progress(things: Iterable[_Thing], total: int) -> Iterable[_Thing]:
    """Show a bar on standard error while things are gone through, if many and a person looks on."""
    if total <= _MANY or not sys.stderr.isatty():
        return things
    from tqdm import tqdm  # here: cron's runs need none

    bar: Iterable[_Thing] = tqdm(things, total=total, desc=PROGRAM, unit=" guests", leave=False)
    return bar


def _complain(line: str) -> None:
    print(f"{PROGRAM}: {line}", file=sys.stderr)
