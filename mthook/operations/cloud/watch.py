# SPDX-License-Identifier: Apache-2.0
"""mthook-sync --cloud --watch: look for changed instances every few seconds, until it is told to stop.

It looks back further than its last look: clocks of Nova's services differ, a transaction is seen only after its end,
and the host of a new instance takes a while to record its machine type, which doesn't change its row.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

from oslo_config import cfg

from mthook.errors import NovaError
from mthook.nova.cell import Cell
from mthook.nova.cells import Cells
from mthook.nova.instance import NovaInstance
from mthook.operations.acts import Failure, Result
from mthook.operations.cloud.images import ShelvedImages
from mthook.operations.cloud.once import locked
from mthook.operations.cloud.run import CloudRun
from mthook.operations.opening import opened_nova

#: The time between two looks.
SECONDS = 5.0
#: How far it looks back; the timer's syncs of hosts are five minutes apart.
OVERLAP = timedelta(minutes=6)
_LOCK = "watch.lock"
#: At most this many instances of a cell are remembered; the others are looked at again.
_REMEMBERED = 10_000


def watch(conf: cfg.ConfigOpts, result: Result, stopping: threading.Event) -> None:
    """Look until it is told to stop.

    :raises Busy: another process on this machine does so already.
    """
    with locked(conf, _LOCK):
        watched = _Watch(conf, result, stopping)
        while not stopping.is_set():
            # After a failure all connections are made anew, to wherever the API database then says.
            with opened_nova(conf) as cells:
                while watched.look(cells) and not stopping.wait(SECONDS):
                    pass
            stopping.wait(SECONDS)


class _Watch:
    def __init__(self, conf: cfg.ConfigOpts, result: Result, stopping: threading.Event) -> None:
        self._conf = conf
        self._result = result
        self._stopping = stopping
        self._since: dict[str, datetime] = {}
        self._done: dict[str, dict[str, tuple[str, str | None]]] = {}
        self._failures: set[str] = set()

    def look(self, cells: Cells) -> bool:
        """Look at all cells once, and return whether all databases answered."""
        failures: set[str] = set()
        try:
            for cell in cells.all():
                self._look_at(cells, cell, failures)
        except NovaError as error:
            failures.add(str(error))
        for text in sorted(failures - self._failures):  # once, not at each look
            self._result.add(Failure(NovaError(text)))
        self._failures = failures
        return not failures

    def _look_at(self, cells: Cells, cell: Cell, failures: set[str]) -> None:
        """Look at one cell; where it fails the next look begins where this one did."""
        try:
            newest = cell.newest_change()
            if newest is None:
                return
            # A clock that is fast, here or on a host, doesn't hide what others change.
            start = min(newest, datetime.now(timezone.utc).replace(tzinfo=None)) - OVERLAP
            with ShelvedImages(self._conf, self._result) as images:
                run = CloudRun(self._conf, cells, images, self._result)
                self._go_through(run, cell, self._since.setdefault(cell.name, start))
            self._since[cell.name] = start
        except NovaError as error:
            failures.add(str(error))

    def _go_through(self, run: CloudRun, cell: Cell, since: datetime) -> None:
        before = self._done.get(cell.name, {})
        done: dict[str, tuple[str, str | None]] = {}
        for page in cell.changed(since):
            if self._stopping.is_set():
                return
            known = [one for one in page if before.get(one.uuid) == _stamp(one)]
            fresh = [one for one in page if before.get(one.uuid) != _stamp(one)]
            self._result.guests += len(fresh)
            for one in (*known, *run.agree(cell, fresh)):
                if len(done) < _REMEMBERED:
                    done[one.uuid] = _stamp(one)
        self._done[cell.name] = done


def _stamp(instance: NovaInstance) -> tuple[str, str | None]:
    """Return what must be the same for an instance to need no further look."""
    return instance.updated_at, instance.machine
