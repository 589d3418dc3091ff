# SPDX-License-Identifier: Apache-2.0
"""Options in the text of a configuration file, read and changed without touching the rest, comments included."""

from __future__ import annotations

import re
from collections.abc import Iterator

_HEADING = re.compile(r"\[([^\]]+)\]")
_OPTION = re.compile(r"([^\s=:#;\[][^=:]*?)\s*[=:]\s*(.*)")


def get(text: str, group: str, name: str) -> str | None:
    """Return an option's value as it is written, the last one where there are several; ``None``: not set."""
    lines = text.splitlines()
    values = [_value(lines, start, end) for start, end in _places(lines, group, name)]
    return values[-1] if values else None


def put(text: str, group: str, name: str, value: str, comment: str = "") -> str:
    """Return the text with an option set, once.

    :param comment: a line before it, without the ``#``.
    """
    lines = text.splitlines()
    new = [f"# {comment}"] * bool(comment) + [f"{name} = {value}"]
    places = list(_places(lines, group, name))
    if not places:
        return _join(_added(lines, group, new))
    for start, end in reversed(places[1:]):
        del lines[start:end]
    start, end = places[0]
    lines[start:end] = new
    return _join(lines)


def drop(text: str, group: str, name: str) -> str:
    """Return the text without an option."""
    lines = text.splitlines()
    for start, end in reversed(list(_places(lines, group, name))):
        del lines[start:end]
    return _join(lines)


def _added(lines: list[str], group: str, new: list[str]) -> list[str]:
    heading = next((n for n, line in enumerate(lines) if _is_heading(line, group)), None)
    if heading is not None:
        return [*lines[: heading + 1], *new, *lines[heading + 1 :]]
    return [*lines, *([""] if lines else []), f"[{group}]", *new]


def _places(lines: list[str], group: str, name: str) -> Iterator[tuple[int, int]]:
    """Yield where an option begins and ends; what follows indented belongs to it."""
    inside = False
    for number, line in enumerate(lines):
        if _HEADING.match(line):
            inside = _is_heading(line, group)
            continue
        option = _OPTION.match(line)
        if inside and option and option[1].replace("-", "_") == name:
            end = number + 1
            while end < len(lines) and lines[end][:1] in (" ", "\t") and lines[end].strip():
                end += 1
            yield number, end


def _value(lines: list[str], start: int, end: int) -> str:
    option = _OPTION.match(lines[start])
    assert option is not None
    first = option[2].strip()
    if (
        len(first) > 1 and first[0] == first[-1] and first[0] in "'\""
    ):  # as oslo.config strips quotes
        first = first[1:-1]
    return "\n".join([first, *(line.strip() for line in lines[start + 1 : end])])


def _is_heading(line: str, group: str) -> bool:
    found = _HEADING.match(line)
    return found is not None and found[1].strip() == group


def _join(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
