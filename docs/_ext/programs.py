# SPDX-License-Identifier: Apache-2.0
"""Sphinx directives that document a program by the parser of its command line.

``.. program-help:: mthook-admin set`` becomes usage, description, arguments, options and exit codes of that command,
``.. command-list::`` a list of mthook-admin's commands. So the guide and the man pages say what the program does.
"""

from __future__ import annotations

import argparse
import os
import re
import textwrap
from collections.abc import Iterable
from typing import Any
from unittest import mock

from docutils import nodes
from docutils.parsers.rst import directives
from parsers import commands, examples, exit_codes, groups, parser_of
from sphinx.util.docutils import SphinxDirective

_QUOTED = re.compile(r"(?<!\w)'([^']+)'(?!\w)")


class ProgramHelp(SphinxDirective):
    """``.. program-help:: PROGRAM [COMMAND]``.

    Option ``only``: just the groups of options with this word in their titles; ``without``: not those.
    """

    required_arguments = 1
    optional_arguments = 0
    final_argument_whitespace = True
    option_spec = {"only": directives.unchanged, "without": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        parser = parser_of(self.arguments[0].split())
        if "only" in self.options:
            return self._options(parser)
        usage = _usage(parser)
        return [
            nodes.literal_block(usage, usage),
            *_paragraphs(parser.description or ""),
            *self._options(parser),
            *_examples(examples(parser)),
            *_paragraphs(_remarks(parser.epilog or "")),
            *_codes(exit_codes(parser)),
        ]

    def _options(self, parser: argparse.ArgumentParser) -> list[nodes.Node]:
        wanted = [actions for title, actions in groups(parser) if self._is_wanted(title.lower())]
        formatter = parser._get_formatter()
        return [
            nodes.option_list("", *(_option(action, formatter) for action in actions))
            for actions in wanted
        ]

    def _is_wanted(self, title: str) -> bool:
        only, without = self.options.get("only", ""), self.options.get("without")
        return only in title and (without is None or without not in title)


class CommandList(SphinxDirective):
    """``.. command-list::``."""

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        return [_definitions({f"mthook-admin {name}": text for name, text in commands().items()})]


def _usage(parser: argparse.ArgumentParser) -> str:
    with mock.patch.dict(os.environ, {"COLUMNS": "79"}):
        first, _, rest = parser.format_usage().partition("usage: ")[2].rstrip().partition("\n")
    return f"{first}\n{textwrap.indent(textwrap.dedent(rest), '    ')}".rstrip()


def _remarks(epilog: str) -> str:
    """Return what an epilog says besides examples and exit codes, and besides where there is more help."""
    told = re.compile(r" |also: |examples:|exit codes:")
    return "\n".join(line for line in epilog.splitlines() if not told.match(line))


def _paragraphs(text: str) -> list[nodes.Node]:
    parts = (" ".join(part.split()) for part in text.split("\n\n"))
    return [nodes.paragraph("", "", *_inline(part)) for part in parts if part]


def _inline(text: str) -> Iterable[nodes.Node]:
    """Return a text with what it quotes as literals."""
    pieces = _QUOTED.split(text)
    kinds = (nodes.Text, lambda piece: nodes.literal("", piece))
    return [kinds[number % 2](piece) for number, piece in enumerate(pieces) if piece]


def _option(action: argparse.Action, formatter: argparse.HelpFormatter) -> nodes.Node:
    names = action.option_strings or [formatter._format_action_invocation(action)]
    argument = ""
    if action.option_strings and action.nargs != 0:
        metavar = formatter._get_default_metavar_for_optional(action)
        argument = formatter._format_args(action, metavar)
    options = [nodes.option("", nodes.option_string("", name)) for name in names]
    for option in options:
        if argument:
            option += nodes.option_argument("", argument, delimiter=" ")
    text = formatter._expand_help(action) if action.help else ""
    told = _paragraphs(text) or [nodes.paragraph()]
    return nodes.option_list_item(
        "", nodes.option_group("", *options), nodes.description("", *told)
    )


def _examples(lines: list[str]) -> list[nodes.Node]:
    text = "\n".join(lines)
    return [nodes.paragraph("", "Examples:"), nodes.literal_block(text, text)]


def _codes(codes: dict[int, str]) -> list[nodes.Node]:
    if not codes:
        return []
    told = {str(code): text for code, text in sorted(codes.items())}
    return [nodes.paragraph("", "Exit codes:"), _definitions(told)]


def _definitions(told: dict[str, str]) -> nodes.Node:
    items = [
        nodes.definition_list_item(
            "",
            nodes.term("", "", nodes.literal("", term)),
            nodes.definition("", *_paragraphs(text)),
        )
        for term, text in told.items()
    ]
    return nodes.definition_list("", *items)


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx of the directives."""
    app.add_directive("program-help", ProgramHelp)
    app.add_directive("command-list", CommandList)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
