# SPDX-License-Identifier: Apache-2.0
"""``apply`` and ``undo`` that are killed at random moments, while the server counts what they change."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Callable

from tests.lab.nova import Cloud

#: Counts what is written; the server itself does, as whoever is killed can't.
TRIGGERS = {
    "cell1": (
        "CREATE TABLE mthook_count (uuid CHAR(36))",
        "CREATE TRIGGER mthook_count AFTER UPDATE ON instance_system_metadata FOR EACH ROW"
        " BEGIN IF NEW.`key` = 'image_hw_machine_type' AND NEW.value <> OLD.value THEN"
        " INSERT INTO mthook_count VALUES (NEW.instance_uuid); END IF; END",
    ),
    "api": (
        "CREATE TABLE mthook_count (uuid CHAR(36))",
        "CREATE TRIGGER mthook_count AFTER UPDATE ON request_specs FOR EACH ROW"
        " BEGIN IF NEW.spec <> OLD.spec THEN"
        " INSERT INTO mthook_count VALUES (NEW.instance_uuid); END IF; END",
    ),
}


@contextlib.contextmanager
def counting(cloud: Cloud) -> Iterator[None]:
    """Have a cloud count its changes."""
    for name, orders in TRIGGERS.items():
        for order in orders:
            cloud.execute(order, (), name)
    yield
    for name in TRIGGERS:
        cloud.execute("DROP TRIGGER mthook_count", (), name)
        cloud.execute("DROP TABLE mthook_count", (), name)


def taken(cloud: Cloud) -> list[Counter[str]]:
    """Return how often each instance was changed since, in the cell and in the API database."""
    found = []
    for name in TRIGGERS:
        found.append(
            Counter(uuid for (uuid,) in cloud.execute("SELECT uuid FROM mthook_count", (), name))
        )
        cloud.execute("DELETE FROM mthook_count", (), name)
    return found


def killed(
    run: Callable[..., int],
    words: Sequence[str],
    kills: int,
    moments: random.Random,
    longest: float,
) -> int:
    """Run a command in processes of its own and kill each with SIGKILL after a while.

    :param longest: seconds that it is left alone at most.
    :return: how many were killed before they were done.
    """
    return sum(_is_killed(run, words, moments.uniform(0.02, longest)) for _ in range(kills))


def _is_killed(run: Callable[..., int], words: Sequence[str], seconds: float) -> bool:
    child = os.fork()
    if not child:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os._exit(run(*words))
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
