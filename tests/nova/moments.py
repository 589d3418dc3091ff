# SPDX-License-Identifier: Apache-2.0
"""The right moment to get in mthook's way."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from tests.lab.nova import Cloud


@contextlib.contextmanager
def before(statement: str, number: int, act: Callable[[], object]) -> Iterator[None]:
    """Do something just before a statement is executed for so many times, and check that it came to that.

    :param statement: a regular expression that is found in it.
    """
    seen = 0

    def watch(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        nonlocal seen
        if re.search(statement, text):
            seen += 1
            if seen == number:
                act()

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", watch)
    try:
        yield
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", watch)
    assert seen >= number, f"{seen} times {statement}"


def await_lock(cloud: Cloud) -> None:
    """Wait until a transaction waits for another one."""
    deadline = time.monotonic() + 20
    while True:
        time.sleep(0.15)  # asked more often, the server says what it said before
        if cloud.execute(
            "SELECT * FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        ):
            return
        assert time.monotonic() < deadline, "nobody waits"
