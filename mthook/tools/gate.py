# SPDX-License-Identifier: Apache-2.0
"""``mthook-gate``: the proxy on libvirt's socket, in the foreground; under systemd with socket activation."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mthook.tools import program


def main(argv: Sequence[str] | None = None) -> int:
    """Run mthook-gate.

    :param argv: arguments without the program's name; ``None``: the process's own.
    :return: 0 when it was told to stop, 1 after an error.
    """
    return program.run("mthook-gate", "mthook.gate.service", argv)


if __name__ == "__main__":
    sys.exit(main())
