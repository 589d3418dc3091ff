# SPDX-License-Identifier: Apache-2.0
"""The help of a command: what is its own comes first, what all commands that print rows have in common last."""

from __future__ import annotations

import argparse
import functools

from mthook.tools import options

#: Options of the formatters that everybody needs; the usage leaves out the others.
_COMMON = ("formatter", "columns")

_Group = argparse._ArgumentGroup


class HelpFormatter(argparse.HelpFormatter):
    """Wraps each paragraph by itself; argparse would make a single one of them all."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if options.HEADING in text:
            return text
        return "\n\n".join(
            super(HelpFormatter, self)._fill_text(part, width, indent)
            for part in text.split("\n\n")
        )


def put_formatters_last(parser: argparse.ArgumentParser) -> None:
    """Make a parser's help and usage end with the formatters, which cliff has put first."""
    _, formatters = _groups(parser)
    for action in (action for group in formatters for action in group._group_actions):
        if action.dest == "formatter" and action.choices:
            action.metavar = "FORMAT"
            action.help = f"{', '.join(action.choices)}; default: {action.default}"
    parser.format_usage = functools.partial(_usage, parser)  # type: ignore[method-assign]
    parser.format_help = functools.partial(_help, parser)  # type: ignore[method-assign]


def _usage(parser: argparse.ArgumentParser) -> str:
    formatter = parser._get_formatter()
    _add_usage(formatter, parser)
    return formatter.format_help()


def _help(parser: argparse.ArgumentParser) -> str:
    formatter = parser._get_formatter()
    own, formatters = _groups(parser)
    _add_usage(formatter, parser)
    formatter.add_text(parser.description)
    _add_groups(formatter, own)
    formatter.add_text(parser.epilog)
    _add_groups(formatter, formatters)
    return formatter.format_help()


def _groups(parser: argparse.ArgumentParser) -> tuple[list[_Group], list[_Group]]:
    """Return a command's own groups of arguments, and those of the formatters."""
    found: tuple[list[_Group], list[_Group]] = ([], [])
    for group in parser._action_groups:
        found["format" in (group.title or "").lower()].append(group)
    return found


def _add_usage(formatter: argparse.HelpFormatter, parser: argparse.ArgumentParser) -> None:
    own, formatters = _groups(parser)
    actions = [action for group in own for action in group._group_actions]
    for group in formatters:
        actions += [action for action in group._group_actions if action.dest in _COMMON]
    formatter.add_usage(parser.usage, actions, parser._mutually_exclusive_groups)


def _add_groups(formatter: argparse.HelpFormatter, groups: list[_Group]) -> None:
    for group in groups:
        formatter.start_section(group.title)
        formatter.add_text(group.description)
        formatter.add_arguments(group._group_actions)
        formatter.end_section()
