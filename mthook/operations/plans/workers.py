# SPDX-License-Identifier: Apache-2.0
"""Apply a plan in several processes: a connection to a database, or to libvirt, serves one guest at a time."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait

from mthook.errors import Error
from mthook.operations.plans.applying import Application
from mthook.operations.plans.outcomes import Outcome


def run(application: Application, processes: int) -> Iterator[Outcome]:
    """Apply a plan; yield what becomes of each guest, in any order.

    :raises Error: as :meth:`.Application.run`, once all processes have ended.
    """
    if processes == 1:
        yield from application.run()
        return
    context = multiprocessing.get_context("fork")
    workers, ends = [], []
    try:
        for number in range(processes):
            end, its_end = context.Pipe(duplex=False)
            worker = context.Process(
                target=_work, args=(application, number, processes, its_end), daemon=True
            )
            worker.start()
            its_end.close()  # so that its death closes the pipe
            workers.append(worker)
            ends.append(end)
        yield from _collected(ends)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


def _collected(ends: list[Connection]) -> Iterator[Outcome]:
    failure: Error | None = None
    while ends:
        for end in wait(ends):
            assert isinstance(end, Connection)
            try:
                said = end.recv()
            except EOFError:
                said = Error(
                    "a process that applies the plan was killed: run the same command again"
                )
            if isinstance(said, Outcome):
                yield said
                continue
            ends.remove(end)
            failure = failure or said
    if failure is not None:
        raise failure


def _work(application: Application, number: int, processes: int, end: Connection) -> None:
    """Be one of the processes; it ends without the program's own cleanup."""
    said: Error | None = None
    try:
        for outcome in application.run(number, processes):
            end.send(outcome)
    except Error as error:
        said = Error(str(error))
    except KeyboardInterrupt:
        os._exit(0)
    end.send(said)
    end.close()
    os._exit(0)
