# SPDX-License-Identifier: Apache-2.0
"""Writers that are killed at random moments, and what they had acknowledged until then.

Every writer is a process of its own, forked from one that has imported everything, so that most of
its short life is spent writing.
"""

from __future__ import annotations

import os
import random
import select
import signal
import time
from typing import Callable

from mthook.catalog import lookup
from mthook.catalog.store import Catalog

from .samples import AT, summary

#: A writer opens the catalog at the given path, writes for ever and calls back after each change.
Writer = Callable[[str, int, Callable[[str], None]], None]


def hook(path: str, round_number: int, acknowledge: Callable[[str], None]) -> None:
    """Record pins as hooks do, each with its own connection."""
    for number in range(1_000_000):
        uuid = f"hook-{round_number:03}-{number:06}"
        connection = lookup.connect(path, 30)
        Catalog(connection).record_pin(
            summary(uuid), "pc", source="first boot", at=AT, running="pc"
        )
        acknowledge(f"{uuid} pc")
        connection.close()
        time.sleep(0.005)  # without a break it would keep others out


def admin(path: str, round_number: int, acknowledge: Callable[[str], None]) -> None:
    """Set pins, and every other one twice, as commands do."""
    with Catalog.open(path, timeout=30) as catalog:
        for number in range(1_000_000):
            uuid = f"admin-{round_number:03}-{number:06}"
            catalog.set_pin(uuid, "pc", source="operator", actor="root")
            acknowledge(f"{uuid} pc")
            if number % 2:
                catalog.set_pin(uuid, "q35", source="operator", actor="root")
                acknowledge(f"{uuid} q35")
            time.sleep(0.001)  # as above


class Running:
    """A writer at work."""

    def __init__(self, writer: Writer, path: str, round_number: int) -> None:
        reading, writing = os.pipe()
        self._reading = reading
        self._pid = os.fork()
        if not self._pid:
            self._work(writer, path, round_number, writing)
        os.close(writing)

    def _work(self, writer: Writer, path: str, round_number: int, pipe: int) -> None:
        try:
            writer(path, round_number, lambda line: _write(pipe, f"{line}\n"))
        except Exception as error:  # noqa: BLE001 - the test sees whatever it was
            _write(pipe, f"failed {error!r}\n")
        finally:
            os._exit(1)

    def wait(self) -> None:
        """Wait until it has acknowledged something."""
        select.select([self._reading], [], [], 60)

    def kill(self) -> list[str]:
        """End it the hard way; return what it had acknowledged."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        with os.fdopen(self._reading) as pipe:
            return pipe.read().splitlines()


def _write(pipe: int, line: str) -> None:
    os.write(pipe, line.encode())


def kill_round(
    path: str, writers: list[Writer], round_number: int, longest: float, *, patient: bool
) -> dict[str, str]:
    """Let writers write at once and kill each at its own random moment.

    :param longest: seconds that a writer may live,
    :param patient: after all have acknowledged something.
    :return: the last machine type that was acknowledged, by UUID.
    """
    running = [Running(writer, path, round_number) for writer in writers]
    acknowledged: dict[str, str] = {}
    if patient:
        for one in running:
            one.wait()
    begun = time.monotonic()
    moments = sorted(random.uniform(0, longest) for _ in running)
    for moment, one in zip(moments, random.sample(running, len(running))):
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        for line in one.kill():
            uuid, machine = line.split(" ", 1)
            acknowledged[uuid] = machine
    return acknowledged
