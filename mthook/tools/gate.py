# SPDX-License-Identifier: Apache-2.0
"""``mthook-gate``: the proxy on libvirt's socket, in the foreground; under systemd with socket activation."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mthook.gate.spawner import Spawner
from mthook.tools import ending


def main(argv: Sequence[str] | None = None) -> int:
    """Run mthook-gate.

    :param argv: arguments without the program's name; ``None``: the process's own.
    :return: an :class:`~mthook.tools.gate_command.Exit`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)

    def command() -> int:
        # Before anything else is loaded: what is forked from it shall know as little as possible.
        spawner = Spawner.start()
        try:
            from mthook.tools.gate_command import run  # here: see mthook.tools.ending

            return run(arguments, spawner)
        finally:
            spawner.close()

    return ending.run("mthook-gate", command)


if __name__ == "__main__":
    sys.exit(main())
