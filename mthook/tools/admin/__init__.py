# SPDX-License-Identifier: Apache-2.0
"""``mthook-admin``: ask for and change the machine types that guests are held to."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mthook.tools import program


def main(argv: Sequence[str] | None = None) -> int:
    """Run mthook-admin.

    :param argv: the command line without the program's name; ``None``: the process's own.
    :return: an :class:`~mthook.tools.admin.exitcode.ExitCode`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)

    def command() -> int:
        from mthook.tools.admin.application import run  # here: see mthook.tools.program

        return run(arguments)

    return program.run("mthook-admin", command)
