# SPDX-License-Identifier: Apache-2.0
"""Runs a program: whatever happens, it ends with an exit code, and with one line at most, no traceback.

It imports next to nothing, and what the program does is imported only when it is run: even while that
takes its time, Ctrl-C ends it quietly.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from mthook.text import cause, printable

ERROR = 1
#: Ctrl-C: 128 and the number of SIGINT.
INTERRUPTED = 130
#: Nobody reads standard output any more: 128 and the number of SIGPIPE.
BROKEN_PIPE = 141


def run(program: str, module: str, argv: Sequence[str] | None = None, failure: int = ERROR) -> int:
    """Run a program and return its exit code, which is also its output's.

    :param module: where its ``run`` is, which takes the arguments and returns an exit code. An ``OSError``
        without a file name that it lets pass is taken for one of standard output.
    :param argv: arguments without the program's name; ``None``: the process's own.
    :param failure: the exit code of output that can't be written.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_streams()
    code = 0
    try:
        code = _run(module, arguments)
        sys.stdout.flush()
        if code != BROKEN_PIPE:
            return code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    except OSError as error:
        if not code:  # else the command has said so itself
            sys.stderr.write(f"{program}: {printable(explain(error))}\n")
        code = failure
    _abandon_output()
    return code


def explain(error: OSError) -> str:
    """Return what an operator reads of an error of the system's."""
    # What has no name is no file: nothing but standard output is written by a command itself.
    return f"{error.filename or 'standard output'}: {cause(error)}"


def _run(module: str, arguments: list[str]) -> int:
    try:
        return int(importlib.import_module(module).run(arguments))
    except SystemExit as end:  # --help, --version, a wrong command line
        return int(end.code or 0)


def _open_streams() -> None:
    """Make all three standard streams usable, and any guest's name printable on any terminal.

    One that the caller has closed would be ``None`` here, and its number the next file's. What is
    written to standard output then fails as with any program; a message is lost.
    """
    if sys.stdin is None:
        sys.stdin = open(_reopened(0, os.O_WRONLY))  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(_reopened(1, os.O_RDONLY), "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(_reopened(2, os.O_WRONLY), "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _reopened(number: int, flags: int) -> int:
    """Open nothing under the number of a standard stream."""
    descriptor = os.open(os.devnull, flags)
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)
    return number


def _abandon_output() -> None:
    """Drop what is still to be written: Python would try again at its end, and complain."""
    _reopened(1, os.O_WRONLY)
