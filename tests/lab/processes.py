# SPDX-License-Identifier: Apache-2.0
"""Processes of a lab: run, waited for, looked at."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from tests.lab.requirements import PATH, LabError

#: How long a daemon may take to do what it is told.
SECONDS = 60
#: What programs find around them.
ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"}

_SECONDS_TO_RUN = 300


def wait_until(
    failure: str, is_so: Callable[[], bool], log: Callable[[], str], seconds: float = SECONDS
) -> None:
    """Wait for something that a daemon does.

    :raises LabError: it doesn't do it; the text begins with ``failure``, the log follows.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise LabError(f"{failure} within {seconds:.0f} s.\n{log()}")
        time.sleep(0.01)


def hold(argv: Sequence[str], failure: str) -> subprocess.Popen[str]:
    """Start a process that holds a lab's namespaces, and wait until everything in them is mounted.

    It is no part of the terminal's process group, so Ctrl-C reaches the owner alone.

    :raises LabError: the kernel refused something; the text begins with ``failure`` and says what.
    """
    holder = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": PATH, "LC_ALL": "C"},
        cwd="/",
        start_new_session=True,
    )
    assert holder.stdout is not None and holder.stderr is not None
    try:
        if holder.stdout.readline() == "ready\n":
            return holder
    except BaseException:  # Ctrl-C, say
        holder.kill()
        holder.wait()
        raise
    holder.kill()
    raise LabError(f"{failure}: {holder.stderr.read().strip()}")


def child_of(pid: int) -> int:
    """Return the process id of a process's first child."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def state_of(pid: int) -> str:
    """Return the kernel's letter for what a process does; T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def run(argv: Sequence[str], input: bytes = b"") -> bytes:
    """Run a program and return its output.

    :raises LabError: it failed; what it says follows.
    """
    done = subprocess.run(
        argv,
        check=False,
        input=input,
        capture_output=True,
        timeout=_SECONDS_TO_RUN,
        env=ENVIRONMENT,
        cwd="/",
    )
    if done.returncode:
        output = (done.stderr + done.stdout).decode(errors="replace")
        raise LabError(f"{' '.join(argv)} ended with {done.returncode}.\n{output}")
    return done.stdout
