# SPDX-License-Identifier: Apache-2.0
"""Words and times as mthook prints and stores them. Part of the hook's fast path: builtins only."""

from __future__ import annotations

import time

#: The longest piece of untrusted text that a message quotes, in characters.
MAX_QUOTED = 200
_SHAPE = "0000-00-00T00:00:00.000000Z"
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def now(moment: float | None = None) -> str:
    """Return a moment as UTC text that sorts by time: ``2026-11-22T13:00:00.000000Z``.

    :param moment: seconds since the epoch; the present when absent.
    """
    if moment is None:
        moment = time.time()
    whole = int(moment // 1)
    micro = int((moment - whole) * 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{micro:06d}Z"


def is_moment(text: str) -> bool:
    """Tell whether a text is a moment as :func:`now` makes it, of a day that there is."""
    if "".join(["0" if c in "0123456789" else c for c in text]) != _SHAPE:
        return False
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 1 <= day <= _DAYS[month - 1] - (month == 2 and not leap):
        return False
    return text[11:13] < "24" and text[14:16] < "60" and text[17:19] < "60"


def printable(value: object, limit: int = MAX_QUOTED) -> str:
    """Return untrusted text (a guest's name, a file's content) fit for one line of a log or a terminal.

    Control characters, line ends and lone surrogates are escaped as Python would; what is longer than
    ``limit`` characters is cut and ends in ``...``.
    """
    text = str(value)
    if len(text) > limit:
        text = text[:limit] + "..."
    if text.isprintable():
        return text  # as nearly all is
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
