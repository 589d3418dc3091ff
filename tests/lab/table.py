# SPDX-License-Identifier: Apache-2.0
"""Progress and results for people."""

from __future__ import annotations

import time
from collections.abc import Sequence

_BEGUN = time.monotonic()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns that are as wide as what is in them."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in (head, ["-" * width for width in widths], *rows)
    )
    return "\n".join(lines)


def log(text: str) -> None:
    """Print what has been done, and after how many seconds."""
    print(f"{time.monotonic() - _BEGUN:5.0f} s  {text}", flush=True)
