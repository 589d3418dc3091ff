# SPDX-License-Identifier: Apache-2.0
"""mthook's commands in a process that lives on: starting one for each of thousands would take longer than they do.

Run as ``python -m tests.nova.racer``. Each line of standard input is a command line as JSON; each line of standard
output is its exit code and what it said. It ends with its input.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mthook.tools import admin, sync
from tests.nova.place import Said

if TYPE_CHECKING:
    from typing_extensions import Self

_PROGRAMS = {"mthook-sync": sync.main, "mthook-admin": admin.main}
_ROOT = Path(__file__).parents[2]


class Racer:
    """A context manager: such a process, which works while its owner does something else."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nova.racer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.terminate()

    def begin(self, *argv: object) -> None:
        """Begin a command."""
        assert self._process.stdin is not None
        print(json.dumps(argv, default=str), file=self._process.stdin, flush=True)

    def end(self) -> Said:
        """Return how the command ended that was begun."""
        assert self._process.stdout is not None
        return Said(*json.loads(self._process.stdout.readline()))


def main() -> None:
    """Execute commands until there are no more."""
    for line in sys.stdin:
        program, *arguments = json.loads(line)
        with (
            contextlib.redirect_stdout(io.StringIO()) as out,
            contextlib.redirect_stderr(io.StringIO()) as err,
        ):
            code = _PROGRAMS[program](arguments)
        print(json.dumps([int(code), out.getvalue(), err.getvalue()]), flush=True)


if __name__ == "__main__":
    main()
