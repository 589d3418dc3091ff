# SPDX-License-Identifier: Apache-2.0
"""``mthook-gate``: the proxy on libvirt's socket, in the foreground; under systemd with socket activation."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence

from mthook.gate.spawner import Spawner
from mthook.tools import program

main = functools.partial(program.run, "mthook-gate", "mthook.tools.gate")


def run(arguments: Sequence[str]) -> int:
    """Run it with what it forks its helpers from."""
    # Before anything else is loaded: what is forked from it shall know as little as possible.
    spawner = Spawner.start()
    try:
        from mthook.tools import gate_command

        return gate_command.run(arguments, spawner)
    finally:
        spawner.close()


if __name__ == "__main__":
    sys.exit(main())
