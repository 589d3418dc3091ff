# SPDX-License-Identifier: Apache-2.0
"""``mthook-status``: may this host's default machine type be changed? As ``nova-status`` asks for an upgrade."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mthook.tools import program


def main(argv: Sequence[str] | None = None) -> int:
    """Run mthook-status.

    :param argv: arguments without the program's name; ``None``: the process's own.
    :return: an exit status as ``--help`` has them.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)

    def command() -> int:
        from mthook.tools.status_command import run  # here: see mthook.tools.program

        return run(arguments)

    return program.run("mthook-status", command, failure=255)
