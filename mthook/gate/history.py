# SPDX-License-Identifier: Apache-2.0
"""The history of rewrites, recorded once libvirtd has accepted them and the catalog can be written.

No verdict waits for another writer of the catalog. A client that may not define a guest leaves no history of it:
libvirtd's access control says so in its answer.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Iterable
from typing import NamedTuple

from mthook import journal, text
from mthook.catalog import lookup
from mthook.catalog.store import Catalog
from mthook.errors import Error
from mthook.gate.configuration import Configuration
from mthook.gate.verdict import Outcome
from mthook.hook import answer

#: Seconds to wait for other writers, while there may be a domain to judge; and until the next try.
_PATIENCE, _PAUSE = 0.05, 1.0
#: Seconds until a rewrite is written down: the next domain needn't wait for the disk, and one wait serves many.
_LATER = 0.1
#: After how many seconds, and beyond how many rewrites, those that can't be written down are given up.
_LIMIT, _MOST = 60.0, 1000


class Rewrite(NamedTuple):
    """One rewrite.

    :ivar old: the machine type that the client asked for; None: it left that open.
    :ivar actor: who it was made for.
    :ivar reason: libvirt's name for what the client did.
    :ivar at: when it was, as :func:`mthook.text.now` makes it.
    :ivar push: Nova is to have the pin, too.
    """

    uuid: str
    old: str | None
    new: str
    actor: str
    reason: str
    at: str
    push: bool

    @classmethod
    def of(cls, outcome: Outcome, actor: str, call: str) -> Rewrite:
        """Return the rewrite that an outcome amounts to."""
        new, push = outcome.new, outcome.push
        return cls(outcome.uuid, outcome.old, new, actor, call, text.now(), push)


def _write(rewrites: Iterable[Rewrite], path: str, patience: float) -> None:
    with Catalog(lookup.connect(path, patience)) as catalog, catalog.transaction():
        for one in rewrites:
            entry = one._asdict()
            del entry["push"]
            catalog.add_history(event="rewritten", **entry)


def lose(one: Rewrite, error: Error) -> None:
    """Log that a rewrite isn't written down."""
    journal.error(f"a rewrite of guest {one.uuid} isn't recorded: {error}")


class HistoryQueue:
    """Rewrites that are to be written down."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._rewrites: collections.deque[tuple[float, Rewrite]] = collections.deque()
        self._again = 0.0

    @property
    def wait(self) -> float | None:
        """Seconds until there is something to do; None: nothing."""
        return max(self._again - time.monotonic(), 0) if self._rewrites else None

    def add(self, one: Rewrite) -> None:
        """Write something down in a moment, or later."""
        if one.push:
            answer.ask_for_push(self._configuration.catalog, one.uuid)
        if not self._rewrites:
            self._again = time.monotonic() + _LATER
        self._rewrites.append((time.monotonic() + _LIMIT, one))

    def write(self, patience: float = _PATIENCE) -> None:
        """Write down what is to be, if it is time for that."""
        if not self._rewrites or time.monotonic() < self._again:
            return
        try:
            _write((one for _, one in self._rewrites), self._configuration.catalog, patience)
        except Error as error:
            self._again = time.monotonic() + _PAUSE
            self._give_up(error)
        else:
            self._rewrites.clear()

    def _give_up(self, error: Error) -> None:
        """Lose those that have waited too long, or are too many, without another try for each."""
        while self._rewrites and (
            time.monotonic() >= self._rewrites[0][0] or len(self._rewrites) > _MOST
        ):
            lose(self._rewrites.popleft()[1], error)

    def close(self, patience: float) -> None:
        """Write down the rest, or say that it isn't."""
        self._again = 0.0
        self.write(patience)
        for _, one in self._rewrites:
            lose(one, Error("the gate ends"))
