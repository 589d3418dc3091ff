# SPDX-License-Identifier: Apache-2.0
"""What ``-f table`` prints: one line for each row; and the cells that people and programs read differently."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from cliff import columns
from cliff.formatters import base

from mthook.operations.inventory import Drift
from mthook.text import printable
from mthook.tools.options import drift_of

if TYPE_CHECKING:
    import argparse

    _Column = columns.FormattableColumn[Any]
else:  # generic only in newer releases of cliff
    _Column = columns.FormattableColumn

#: Long enough for whatever the catalog holds.
MAX_CELL = 1000
#: A column that is never shortened: no command takes a UUID without its middle.
_UUID = "UUID"
#: Columns that are shortened before all others.
_FIRST = ("Name", "Display name", "Guest", "Drift", "Why", "By", "Source")
#: How narrow those get, and at last any column; no narrower than its heading.
_NARROW, _NARROWEST = 7, 4
#: What stands for what was left out.
_CUT = "…"
_GAP = "  "
# Select Graphic Rendition, ECMA-48 8.3.117.
_BOLD, _RED, _YELLOW = "1", "31", "33"


class Cell(_Column):
    """A value that is ``None`` where there is none, and sorts last then.

    :ivar colour: what a terminal shows it in, '' for nothing special.
    :ivar whole: it is never shortened.
    """

    colour = ""
    whole = False

    def __lt__(self, other: object) -> bool:
        """Compare by value."""
        if not isinstance(other, Cell):
            return NotImplemented
        return (self._value is None, self._value) < (other._value is None, other._value)

    def human_readable(self) -> str:
        """Return it as text."""
        return printable("" if self._value is None else self._value, limit=MAX_CELL)


class Time(Cell):
    """A moment as :func:`mthook.text.now` writes it; people see it to the second."""

    whole = True

    def human_readable(self) -> str:
        """Return it without the fraction: ``2026-11-22T13:00:00Z``."""
        whole, point, _ = (self._value or "").partition(".")
        return f"{whole}Z" if point else whole


class Whole(Cell):
    """What has to be typed as it is."""

    whole = True


class Answer(Cell):
    """A yes, a no, or neither."""

    def human_readable(self) -> str:
        """Return it as a word."""
        return {True: "yes", False: "no", None: "-"}[self._value]


class Name(Cell):
    """What libvirt calls a guest; without any name people see how its UUID begins, which commands take, too."""

    def __init__(self, value: str | None, display: str | None, uuid: str) -> None:
        super().__init__(value)
        self._instead = "" if display else uuid[:8]

    def human_readable(self) -> str:
        """Return the name, else what stands for it."""
        return printable(self._value or self._instead, limit=MAX_CELL)


class Why(Cell):
    """Why something happened to a pin; without a reason people see where the pin came from."""

    def __init__(self, value: str | None, source: str | None) -> None:
        super().__init__(value)
        self._instead = source

    def human_readable(self) -> str:
        """Return the reason, else what stands for it."""
        return printable(self._value or self._instead or "", limit=MAX_CELL)


class PinCell(Cell):
    """The machine type that an instance is pinned to."""

    def __init__(self, value: str | None) -> None:
        super().__init__(value)
        self.colour = _YELLOW if value is None else ""

    def human_readable(self) -> str:
        """Return it, or the word for no pin."""
        return self._value or "none"


class DriftCell(Cell):
    """In what an instance is unlike its pin: programs get the kinds as a list."""

    def __init__(self, drift: Iterable[Drift]) -> None:
        self._drift = tuple(drift)
        super().__init__([one.where for one in self._drift])
        self.colour = _RED if self._drift else ""

    def human_readable(self) -> str:
        """Return the machine types as well: ``runs pc-i440fx-7.2, start stopped``."""
        return drift_of(self._drift) or "no"


class Table(base.ListFormatter, base.SingleFormatter):
    """Columns, one line a row: on a terminal as wide as that is, elsewhere as wide as they have to be."""

    def add_argument_group(self, parser: argparse.ArgumentParser) -> None:
        """Add no options."""

    def emit_list(
        self,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
        stdout: TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        """Print the rows below their headings; ``none`` where there are none."""
        rows = [list(row) for row in data]
        if not rows:
            stdout.write("none\n")
            return
        texts = [[_text(cell) for cell in row] for row in rows]
        natural = [max(map(width_of, column)) for column in zip(column_names, *texts)]
        floors = [
            max(width_of(name), *map(_floor, cells)) for name, *cells in zip(column_names, *rows)
        ]
        room = _room(stdout, parsed_args)
        widths = _fitting(natural, floors, column_names, room) if room else natural
        paints = _has_colours(stdout)
        lines = [(column_names, [_BOLD] * len(widths))]
        lines += [(row, [_colour(c) for c in cells]) for row, cells in zip(texts, rows)]
        for texts_of_row, colours in lines:
            stdout.write(f"{line(texts_of_row, widths, colours if paints else ())}\n")

    def emit_one(
        self,
        column_names: Sequence[str],
        data: Sequence[Any],
        stdout: TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        """Print a line for each field."""
        self.emit_list(("Field", "Value"), list(zip(column_names, data)), stdout, parsed_args)


def line(texts: Sequence[str], widths: Sequence[int], colours: Sequence[str] = ()) -> str:
    """Return a row as a line of a table."""
    painted = map(_paint, texts, widths, colours or [""] * len(widths))
    return _GAP.join(painted).rstrip()


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes (https://www.unicode.org/reports/tr11/)."""
    return sum(map(_width, text))


def shortened(text: str, width: int) -> str:
    """Return a text that takes so many columns at most: its middle is left out, names often differ at the end."""
    if width_of(text) <= width:
        return text
    head, tail, left = "", "", width - 1
    while text:
        end = len(head) > len(tail)
        one = text[-1] if end else text[0]
        left -= _width(one)
        if left < 0:
            break
        head, tail = (head, one + tail) if end else (head + one, tail)
        text = text[:-1] if end else text[1:]
    return f"{head}{_CUT}{tail}"


def _width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):  # drawn over the one before
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _text(cell: Any) -> str:
    readable = cell.human_readable() if isinstance(cell, columns.FormattableColumn) else cell
    return "" if readable is None else str(readable)


def _colour(cell: object) -> str:
    return cell.colour if isinstance(cell, Cell) else ""


def _room(stdout: TextIO, args: argparse.Namespace) -> int:
    """Return how wide a table may be; 0: as wide as it has to be."""
    if not stdout.isatty() or getattr(args, "long", False):
        return 0
    return shutil.get_terminal_size().columns


def _has_colours(stdout: TextIO) -> bool:
    """Tell whether colours are wanted (https://no-color.org)."""
    return stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _floor(cell: object) -> int:
    """Return how wide a column has to be for a cell."""
    return width_of(cell.human_readable()) if isinstance(cell, Cell) and cell.whole else 0


def _fitting(
    natural: Sequence[int], floors: Sequence[int], names: Sequence[str], room: int
) -> list[int]:
    """Return the columns' widths; the widest get narrower until all of them fit.

    :param floors: how narrow each may get.
    """
    widths = list(natural)
    room -= len(_GAP) * (len(widths) - 1)
    elastic = [number for number, name in enumerate(names) if name != _UUID]
    first = [number for number in elastic if names[number] in _FIRST]
    for some, least in ((first, _NARROW), (elastic, _NARROWEST)):
        while sum(widths) > room:
            wide = [number for number in some if widths[number] > max(least, floors[number])]
            if not wide:
                break
            widths[max(wide, key=lambda number: widths[number])] -= 1
    return widths


def _paint(text: str, width: int, colour: str) -> str:
    """Return a cell as wide as its column."""
    shown = shortened(text, width)
    padding = " " * (width - width_of(shown))
    return f"\x1b[{colour}m{shown}\x1b[0m{padding}" if colour and shown else shown + padding
