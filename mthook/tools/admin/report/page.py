# SPDX-License-Identifier: Apache-2.0
"""A report as one page: it needs nothing but itself, and no script."""

from __future__ import annotations

from typing import Any

from mthook import __version__
from mthook.errors import Error
from mthook.operations.report.judged import LEFT, STANDINGS, Family, Report, Type
from mthook.text import counted, printable
from mthook.tools.admin.report import words

#: Whatever the template prints is cut there, and shows control characters and bidirectional overrides.
_LONGEST = 400


def html(report: Report) -> str:
    """Return the page.

    :raises Error: Jinja2 isn't installed.
    """
    try:
        import jinja2  # here: only a page needs it
    except ImportError as error:
        raise Error(f"the page can't be made: {error}: install python3-jinja2") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mthook.tools.admin.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(**_content(report))


def _shown(value: Any) -> Any:
    return printable(value, _LONGEST) if isinstance(value, str) else value


def _content(report: Report) -> dict[str, Any]:
    hosts, others = words.worst_first(report.hosts)
    most = max((one.figures.guests for f in report.families for one in f.types), default=1)
    pins = max((one.pins for one in report.endings), default=1)
    return {
        "words": words,
        "counted": counted,
        "version": __version__,
        "report": report,
        "hosts": hosts,
        "others": others,
        "families": [(one, _rest(one)) for one in report.families[: words.FAMILIES]],
        "bands": [one for one in LEFT if _has(report, one)],
        "share": lambda one: _percent(one.figures.guests, most),
        "pins": lambda one: _percent(one.pins, pins),
        "parts": _parts(report),
        "steps": [words.step(one, len(report.hosts)) for one in report.steps],
    }


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}"


def _has(report: Report, left: str) -> bool:
    return any(one.left == left for family in report.families for one in family.types)


def _rest(family: Family) -> tuple[int, int]:
    """Return how many machine types aren't shown, and how many guests have them."""
    rest: list[Type] = list(family.types[words.TYPES :])
    return len(rest), sum(one.figures.guests for one in rest)


def _parts(report: Report) -> list[tuple[str, int, str]]:
    """Return how many hosts stand how, and what part of all that is."""
    found = [(one, report.standings.get(one, 0)) for one in STANDINGS]
    return [(one, many, _percent(many, len(report.hosts))) for one, many in found if many]
