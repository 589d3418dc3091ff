# SPDX-License-Identifier: Apache-2.0
"""``complete``: what the shells' completion can't know by itself."""

from __future__ import annotations

import argparse
from typing import ClassVar

from mthook.operations.inventory import guest_words, known_machines
from mthook.operations.opening import opened_catalog
from mthook.text import printable
from mthook.tools.admin.command import AdminCommand, ExitCode, argument, utf8


class Complete(AdminCommand):
    """Print guests of this host, or machine types: what the shells' completion offers.

    The completion itself, for bash and zsh, comes with mthook. 'mthook-admin setup' puts it where the
    shells look for it.
    """

    codes: ClassVar = {ExitCode.OK: "the words are on standard output, one a line"}
    examples: ClassVar = ("mthook-admin complete guests we", "mthook-admin complete types")
    arguments: ClassVar = (
        argument("what", choices=("guests", "types"), help="what to print"),
        argument(
            "beginning",
            metavar="BEGINNING",
            type=utf8,
            nargs="?",
            default="",
            help="what the words begin with; UUIDs are printed only where it is given",
        ),
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the words that can be typed."""
        beginning = parsed_args.beginning
        with opened_catalog(self.conf) as catalog:
            guests = parsed_args.what == "guests"
            words = guest_words(catalog, beginning) if guests else known_machines(catalog)
        for word in sorted(words):
            if word.startswith(beginning) and printable(word) == word:
                print(word, file=self.app.stdout)
        return ExitCode.OK
