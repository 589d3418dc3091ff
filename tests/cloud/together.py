# SPDX-License-Identifier: Apache-2.0
"""Several things at a time."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, TypeVar

#: Two processors aren't busy with less, and Nova takes too long over more.
AT_ONCE = 8

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


def together(act: Callable[[_Item], _Answer], items: Iterable[_Item]) -> list[_Answer]:
    """Do something with every item, some at a time, and return what came of it in their order.

    When one fails, or at Ctrl-C, nobody waits for the others: what they wait for is about to end.
    """
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        return list(pool.map(act, items))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
