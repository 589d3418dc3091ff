# SPDX-License-Identifier: Apache-2.0
"""``mthook-sync``: what the hook can't do while libvirtd waits for it; for cron or a systemd timer.

One run compiles the configuration for the hook, takes down what the host's emulators offer, gives
guests without a pin theirs, realigns definitions, repairs guests whose start was stopped, and
forgets those that are long gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from mthook.tools import program


def main(argv: Sequence[str] | None = None) -> int:
    """Run mthook-sync.

    :param argv: arguments without the program's name; ``None``: the process's own.
    :return: an :class:`~mthook.tools.sync.command.Exit`.
    """
    return program.run("mthook-sync", "mthook.tools.sync.command", argv)
