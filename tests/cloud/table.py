# SPDX-License-Identifier: Apache-2.0
"""The results as one table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from tests.cloud.judgement import breaches
from tests.cloud.trial import Result

_HEAD = (
    "set-up",
    "before",
    "starts",
    "state",
    "after sync, reboot",
    "state",
    "record",
    "request spec",
    "",
)


def table(results: Sequence[Result]) -> str:
    """Return all results, those of a path and a change of the default together."""
    rows = [_row(result) for result in results]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows)]
    lines = [_line(_HEAD, widths), _line(["-" * width for width in widths], widths)]
    ordered = sorted(zip(results, rows), key=lambda pair: _title(pair[0]))
    for title, group in groupby(ordered, key=lambda pair: _title(pair[0])):
        lines += [title, *(_line(row, widths) for _, row in group)]
    return "\n".join(lines)


def _title(result: Result) -> str:
    return f"{result.path.name} ({result.defaults.title})"


def _row(result: Result) -> tuple[str, ...]:
    wrong = breaches(result)
    return (
        f"  {result.set_up.title}",
        result.before,
        _starts(result.during),
        result.state,
        _starts(result.after),
        result.finally_,
        result.record or "-",
        result.requested or "-",
        "; ".join(["BROKEN: " * bool(wrong) + ", ".join(wrong), *result.trouble]).strip("; "),
    )


def _starts(machines: Sequence[str]) -> str:
    """Return machine types in order, each once in a row."""
    return ", ".join(machine for machine, _ in groupby(machines)) or "-"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()
