# SPDX-License-Identifier: Apache-2.0
"""The results as one table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from tests.cloud.judgement import breaches
from tests.cloud.paths import PATHS
from tests.cloud.setups import DEFAULTS, SET_UPS
from tests.cloud.trial import Result

_HEAD = (
    *("set-up", "before", "first start", "after", "state"),
    *("next reboot", "state", "record", "request spec", ""),
)
_TROUBLE = 100


def table(results: Sequence[Result]) -> str:
    """Return all results, those of a path and a change of the default together.

    The next reboot is a hard one after the next sync; record and request spec are what they are then.
    """
    ordered = sorted(results, key=_place)
    rows = [_row(result) for result in ordered]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows)]
    lines = [_line(_HEAD, widths), _line(["-" * width for width in widths], widths)]
    for title, group in groupby(zip(ordered, rows), key=lambda pair: _title(pair[0])):
        lines += [title, *(_line(row, widths) for _, row in group)]
    return "\n".join(lines)


def _place(result: Result) -> tuple[int, ...]:
    """Return where in the table a result is."""
    return (
        PATHS.index(result.path),
        DEFAULTS.index(result.defaults),
        SET_UPS.index(result.set_up),
    )


def _title(result: Result) -> str:
    return f"{result.path.name} ({result.defaults.title})"


def _row(result: Result) -> tuple[str, ...]:
    return (
        f"  {result.set_up.title}",
        result.before,
        *((result.during[0], result.during[-1]) if result.during else ("-", "-")),
        result.state,
        result.after[-1] if result.after else "-",
        result.finally_,
        result.record or "-",
        result.requested or "-",
        remark(result),
    )


def remark(result: Result) -> str:
    """Return what is wrong with a result, what it took, and what was not done as asked."""
    wrong = breaches(result)
    said = ["BROKEN: " + ", ".join(wrong)] if wrong else []
    said += [result.waited] if result.waited else []
    return "; ".join([*said, *(" ".join(text.split())[:_TROUBLE] for text in result.trouble)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()
