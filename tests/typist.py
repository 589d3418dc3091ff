# SPDX-License-Identifier: Apache-2.0
"""Run a shell's command line on a terminal of its own, and answer what it asks: python typist.py LINE."""

from __future__ import annotations

import os
import pty
import sys

#: Questions, and what is typed then.
_ANSWERS = {b"[y/N] ": b"y\n", b"(not shown; empty: none): ": b"\n"}


def main(line: str) -> None:
    """Run it, and show what it prints."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("sh", ["sh", "-c", line])
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        answer = next((text for asked, text in _ANSWERS.items() if shown.endswith(asked)), b"")
        os.write(terminal, answer)
    os.waitpid(pid, 0)
    sys.stdout.buffer.write(shown)


if __name__ == "__main__":
    main(sys.argv[1])
