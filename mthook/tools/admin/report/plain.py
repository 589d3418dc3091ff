# SPDX-License-Identifier: Apache-2.0
"""A report as text of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from mthook.operations.report.judged import Family, Report, Type
from mthook.text import counted, printable
from mthook.tools.admin.report import words
from mthook.tools.admin.table import shortened, width_of
from mthook.tools.findings import wrapped

_WIDTH = 80
_NAME, _BAR = 24, 9


def text(report: Report) -> str:
    """Return all of it."""
    parts = (_head, _hosts, _families, _endings, _drift, _steps)
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part(report)))) + "\n"


def _head(report: Report) -> Iterator[str]:
    yield from wrapped(words.headline(report), _WIDTH, "", "")
    yield from wrapped(words.explanation(report), _WIDTH, "", "")
    yield from wrapped(words.extent(report), _WIDTH, "", "")
    yield ""
    for one in words.figures(report):
        yield f"  {one.label:20}{one.value:>9} {one.note}"


def _hosts(report: Report) -> Iterator[str]:
    yield "HOSTS"
    shown, others = words.worst_first(report.hosts)
    for one in shown:
        what = [words.STANDING[one.standing], *words.problems(one, report.at)]
        yield from wrapped("; ".join(what), _WIDTH, f"  {_padded(one.host.name)}", " " * 28)
    for standing, many in others.items():
        yield f"  {words.number(many)} more: {words.STANDING[standing]}"


def _families(report: Report) -> Iterator[str]:
    if report.families:
        yield "MACHINE TYPES, oldest first"
    most = max((one.figures.guests for f in report.families for one in f.types), default=0)
    for family in report.families[: words.FAMILIES]:
        yield f"  {printable(family.name or words.NOT_KNOWN, 40)}: {counted(family.guests, 'guest')}"
        yield from (f"    {_bar(one, most)}" for one in family.types[: words.TYPES])
        yield from _rest(family)


def _bar(one: Type, most: int) -> str:
    length = max(1, round(_BAR * one.figures.guests / most))
    bar, guests = "#" * length, words.number(one.figures.guests)
    return f"{_padded(one.figures.name or words.NOT_KNOWN)}{guests:>9}  {bar:{_BAR}} {words.end_of(one)}"


def _rest(family: Family) -> Iterator[str]:
    rest = family.types[words.TYPES :]
    if rest:
        guests = sum(one.figures.guests for one in rest)
        yield f"    {_padded(counted(len(rest), 'other type'))}{words.number(guests):>9}"


def _endings(report: Report) -> Iterator[str]:
    if report.endings:
        yield "WHAT ENDS WHEN, by the rule of upstream's QEMU"
    for one in report.endings:
        when = f"{one.month}  QEMU {words.version(one.release)}" if one.release else "not known"
        first = f"  {when:20}{counted(one.pins, 'pin'):>12}  "
        yield from wrapped(", ".join(words.ending_types(one)), _WIDTH, first, " " * 36)


def _drift(report: Report) -> Iterator[str]:
    if any(report.drift.values()):
        yield "DRIFT"
    for where, many in report.drift.items():
        if many:
            yield f"  {words.DRIFT[where]}: {words.number(many)}"
        for one in report.drifters:
            if one.where == where:
                line = words.drifter(one, len(report.hosts))
                yield from wrapped(line, _WIDTH, "    ", "      ")


def _steps(report: Report) -> Iterator[str]:
    yield "WHAT TO DO NEXT" if report.steps else "NOTHING IS LEFT TO DO"
    for place, one in enumerate(report.steps, 1):
        line, commands = words.step(one, len(report.hosts))
        yield from wrapped(line, _WIDTH, f"  {place}. ", "     ")
        yield from (f"       {command}" for command in commands)


def _padded(name: str) -> str:
    """Return a stranger's name as wide as its column."""
    shown = shortened(printable(name, 300), _NAME)
    return shown + " " * (_NAME + 2 - width_of(shown))
