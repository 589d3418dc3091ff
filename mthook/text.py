# SPDX-License-Identifier: Apache-2.0
"""Words and times as mthook prints and stores them. Part of the hook's fast path: builtins only."""

from __future__ import annotations

import time

#: The longest piece of untrusted text that a message quotes, in characters.
MAX_QUOTED = 200
#: By how many seconds another host's clock may be ahead of this one's. A later time isn't believed.
SKEW = 86400

_DIGITS = str.maketrans("123456789", "0" * 9)
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


def counted(number: int, what: str) -> str:
    """Return how many of what there are: ``1 guest``, ``2,000 guests``."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def is_time(value: str) -> bool:
    """Tell whether a text is a time as :func:`now` makes it; times that come from elsewhere may be anything."""
    if value.translate(_DIGITS) != "0000-00-00T00:00:00.000000Z":
        return False
    year, month, day = int(value[:4]), int(value[5:7]), int(value[8:10])
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 1 <= day <= _DAYS[month - 1] - (month == 2 and not leap):
        return False
    return value[11:13] < "24" and value[14:16] < "60" and value[17:19] < "60"


def latest() -> str:
    """Return the latest time that is believed when it comes from another host; see :data:`SKEW`."""
    return now(time.time() + SKEW)


def after(earlier: str, at: str) -> str:
    """Return ``at``, or the microsecond after ``earlier`` where ``at`` isn't later.

    So a replacement is always later than what it replaces, whatever the clock says: it may have been ahead once.
    """
    if at > earlier or not is_time(earlier):
        return at
    micro = int(earlier[20:26]) + 1
    if micro < 1_000_000:
        return f"{earlier[:20]}{micro:06d}Z"
    import calendar  # here: it is needed one time in a million

    try:
        whole = calendar.timegm(time.strptime(earlier[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return at
    return now(whole + 1)


def label(uuid: str, name: str | None = None, display: str | None = None) -> str:
    """Return what messages call a guest, with all names by which commands know it.

    ``web-1 (instance-0000000f, 7d3f0a52-0000-4000-8000-000000000001)``: Nova's name where there is one, else libvirt's,
    comes first.
    """
    names = [printable(one) for one in dict.fromkeys((display, name)) if one]
    return f"{names[0]} ({', '.join([*names[1:], uuid])})" if names else uuid


def may_begin_uuid(text: str) -> bool:
    """Whether a text may be the beginning of a UUID; one shorter than ``7d3f`` is more likely a typo."""
    return len(text) >= 4 and not text.lower().strip("0123456789abcdef-")


def printable(value: object, limit: int = MAX_QUOTED) -> str:
    """Return untrusted text (a guest's name, a file's content) fit for one line of a log or a terminal.

    Control characters, line ends and lone surrogates are escaped as Python would; what is longer than
    ``limit`` characters is cut and ends in ``...``.
    """
    text = str(value)
    if len(text) > limit:
        text = text[:limit] + "..."
    if text.isprintable():
        return text  # as nearly all text is
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def cause(error: Exception) -> str:
    """Return why something failed; of an error of the system's, the words without its number and its file."""
    return str((isinstance(error, OSError) and error.strerror) or error)


def explain(path: str, error: OSError, way_out: str = "") -> str:
    """Return which file is at fault, why, and what to do; a user other than root is told to be it.

    :param way_out: what root is told to do.
    """
    import os  # here: without an error to explain, nobody needs to wait for it

    if isinstance(error, PermissionError) and os.geteuid() != 0:
        way_out = "run it as root"
    return f"{printable(path)}: {cause(error)}{f': {way_out}' if way_out else ''}"
