# SPDX-License-Identifier: Apache-2.0
"""``mthook-sync --cloud``: a run for the whole cloud, or one that doesn't end."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from oslo_config import cfg

from mthook import journal
from mthook.errors import Error
from mthook.operations.acts import Act, Event, Result
from mthook.tools.sync import words
from mthook.tools.sync.spool import Spool


class Forbidden(Error):
    """The configuration forbids what the command line asks for, or has no means for it."""


class CloudReport:
    """What is printed of a run.

    :param report: logs or complains of what happens.
    """

    def __init__(self, given: argparse.Namespace, report: Callable[[Event], None]) -> None:
        self._given = given
        self._report = report
        self._spool = Spool() if given.format == "json" else None
        self.result = Result(self._take, dry_run=given.dry_run)

    def _take(self, event: Event) -> None:
        self._report(event)
        if self._spool is not None:
            self._spool.add(event)
        elif self._given.dry_run and isinstance(event, Act):
            print(*words.planned(event), sep="\n")

    def print(self) -> None:
        """Print what comes at the end."""
        if self._spool is not None:
            self._spool.print(self.result, sys.stdout)
        elif self._given.dry_run and not self.result.counts and not self.result.failed:
            print("nothing to do")


def check(given: argparse.Namespace, conf: cfg.ConfigOpts) -> None:
    """Refuse what the configuration has no means for.

    :raises Forbidden: it has none.
    """
    if not conf.api_database.connection:
        raise Forbidden("--cloud: the configuration has no [api_database] connection")
    if not conf.sync.write_back and not given.dry_run:
        raise Forbidden("--cloud: the configuration has [sync] write_back = false")


def run(given: argparse.Namespace, conf: cfg.ConfigOpts, result: Result) -> None:
    """Do one run, or look for changes until a signal comes.

    :raises Error: see :mod:`mthook.operations.cloud`.
    """
    # Here: SQLAlchemy takes its time, and hosts may do without.
    from mthook.operations.cloud import once, watch

    if not given.watch:
        once.synchronize(conf, result)
        return
    journal.serve("mthook-sync", verbose=given.verbose)
    with _until_a_signal() as stopping:
        watch.watch(conf, result, stopping)


@contextlib.contextmanager
def _until_a_signal() -> Iterator[threading.Event]:
    """Yield what is set once a service manager or Ctrl-C asks for the end; what was begun is finished."""
    stopping = threading.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in numbers}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
