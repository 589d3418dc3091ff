# SPDX-License-Identifier: Apache-2.0
"""``mthook-status``: may this host's default machine type be changed? As ``nova-status`` asks for an upgrade."""

from __future__ import annotations

from collections.abc import Sequence

from mthook.tools import program


def main(argv: Sequence[str] | None = None) -> int:
    """Run mthook-status.

    :param argv: arguments without the program's name; ``None``: the process's own.
    :return: an :class:`~mthook.tools.status.command.Exit`.
    """
    return program.run("mthook-status", "mthook.tools.status.command", argv, failure=255)
