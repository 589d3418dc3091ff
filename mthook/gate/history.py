# SPDX-License-Identifier: Apache-2.0
"""What is rewritten, written down when the catalog can be: a verdict waits for nobody who writes to it."""

from __future__ import annotations

import collections
import time
from typing import NamedTuple

from mthook import journal
from mthook.catalog import lookup
from mthook.catalog.store import Catalog
from mthook.errors import Error
from mthook.gate.rewriting import Configuration

#: Seconds to wait for others that write, while there may be a domain to judge; and until the next try.
_PATIENCE, _PAUSE = 0.05, 1.0
#: Seconds, and rewrites, until those that can't be written down are given up.
_LIMIT, _MOST = 60.0, 1000


class Rewrite(NamedTuple):
    """One rewrite.

    :ivar old: the machine type that the client asked for; None: it left that open.
    :ivar actor: for whom it was.
    :ivar reason: libvirt's name of what the client did.
    :ivar at: when it was, as :func:`mthook.text.now` makes it.
    """

    uuid: str
    old: str | None
    new: str
    actor: str
    reason: str
    at: str


def write(one: Rewrite, configuration: Configuration, patience: float) -> None:
    """Write a rewrite down."""
    with Catalog(lookup.connect(configuration.catalog, patience)) as catalog:
        catalog.add_history(event="rewritten", **one._asdict())


def lose(one: Rewrite, error: Error) -> None:
    """Say that a rewrite isn't written down."""
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
        """Write something down, now or later."""
        self._rewrites.append((time.monotonic() + _LIMIT, one))

    def write(self, patience: float = _PATIENCE) -> None:
        """Write down what is to be, if it is time for that."""
        while self._rewrites and time.monotonic() >= self._again:
            try:
                write(self._rewrites[0][1], self._configuration, patience)
            except Error as error:
                self._again = time.monotonic() + _PAUSE
                self._give_up(error)
            else:
                self._rewrites.popleft()

    def _give_up(self, error: Error) -> None:
        """Lose what has waited too long, or is too much, without another try for each."""
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
