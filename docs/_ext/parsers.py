# SPDX-License-Identifier: Apache-2.0
"""The command lines of mthook's programs, as their own parsers have them."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Sequence
from unittest import mock

from mthook.tools.options import EXAMPLES

#: The modules whose ``main`` is a program.
PROGRAMS = {
    "mthook-admin": "mthook.tools.admin",
    "mthook-gate": "mthook.tools.gate",
    "mthook-status": "mthook.tools.status",
    "mthook-sync": "mthook.tools.sync",
}

#: An exit code in an epilog: ``  3  what it means``.
_CODE = re.compile(r" +(\d+)  (\S.*)")


class _Found(BaseException):
    """Carries the parser that was about to print its help."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def parser_of(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a program, or of one of its commands.

    :param words: such as ``["mthook-admin", "hook", "install"]``.
    :raises LookupError: there is no such program or command.
    """

    def found(parser: argparse.ArgumentParser, *_: object) -> None:
        raise _Found(parser)

    if words[0] not in PROGRAMS:
        raise LookupError(f"no program {words[0]}")
    main = importlib.import_module(PROGRAMS[words[0]]).main
    with mock.patch.object(argparse.ArgumentParser, "print_help", found):
        try:
            main([*words[1:], "--help"])
        except _Found as end:
            return end.parser
    raise LookupError(f"no help for {' '.join(words)}")


def commands() -> dict[str, str]:
    """Return the commands of mthook-admin by name, each with the beginning of what it says of itself."""
    from mthook.tools.admin.application import Admin

    names = sorted(name for name, _ in Admin().command_manager)
    found = {name: parser_of(["mthook-admin", *name.split()]) for name in names}
    return {name: (one.description or "").split("\n\n")[0] for name, one in found.items()}


def exit_codes(parser: argparse.ArgumentParser) -> dict[int, str]:
    """Return the exit codes that a parser's help ends with, and their meanings."""
    codes: dict[int, str] = {}
    last = None
    for line in (parser.epilog or "").splitlines():
        begins = _CODE.fullmatch(line)
        if begins:
            last = int(begins[1])
            codes[last] = begins[2]
        elif last is not None and line.startswith("  "):
            codes[last] += f" {line.strip()}"
        else:
            last = None
    return codes


def examples(parser: argparse.ArgumentParser) -> list[str]:
    """Return the command lines that a parser's help ends with."""
    lines = (parser.epilog or "").partition(f"{EXAMPLES}\n")[2].partition("\n\n")[0].splitlines()
    return [line.strip() for line in lines]


def groups(parser: argparse.ArgumentParser) -> list[tuple[str, list[argparse.Action]]]:
    """Return the groups of arguments that have any to tell of, by their titles."""
    found = []
    for group in parser._action_groups:
        actions = [one for one in group._group_actions if one.help is not argparse.SUPPRESS]
        if actions:
            found.append((group.title or "", actions))
    return found
