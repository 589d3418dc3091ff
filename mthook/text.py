# SPDX-License-Identifier: Apache-2.0
"""Words and times as mthook prints and stores them. Part of the hook's fast path: builtins only."""

from __future__ import annotations

import time

#: The longest piece of untrusted text that a message quotes, in characters.
MAX_QUOTED = 200


def now(moment: float | None = None) -> str:
    """Return a moment as UTC text that sorts by time: ``2026-11-22T13:00:00.000000Z``.

    :param moment: seconds since the epoch; the present when absent.
    """
    if moment is None:
        moment = time.time()
    whole = int(moment // 1)
    micro = int((moment - whole) * 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{micro:06d}Z"


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
