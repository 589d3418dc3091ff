# SPDX-License-Identifier: Apache-2.0
"""``mthook-admin``: ask for and change the machine types that guests are held to."""

from __future__ import annotations

from collections.abc import Sequence

from mthook.tools import program


def main(argv: Sequence[str] | None = None) -> int:
    """Run mthook-admin.

    :param argv: the command line without the program's name; ``None``: the process's own.
    :return: an :class:`~mthook.tools.admin.exitcode.ExitCode`.
    """
    return program.run("mthook-admin", "mthook.tools.admin.application", argv)
