# SPDX-License-Identifier: Apache-2.0
"""A fresh clone on a fresh Debian: ``make demo``, then ``make test``, begin and end there.

``python -m tests.matrix.development [--suite SUITE] [TARGET...]``. What git has here is
tried, changes included.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab import LabError, exit_code, roots
from tests.lab.machine import Machine
from tests.lab.processes import ENVIRONMENT
from tests.lab.table import log, table
from tests.matrix.roots import SUITES
from tests.packages import building, ways

#: What README takes for granted, and what brings the clone.
_PACKAGES = ["ca-certificates", "git", "make"]
#: Where users other than root can read it, too: a test runs programs as one of them.
_CLONE = "/srv/mthook"
_CERTIFICATES = "/root/certificates"


def main() -> int:
    """Run it; the exit code is 1 where a target failed."""
    parser = argparse.ArgumentParser(prog="tests.matrix.development", description=__doc__)
    parser.add_argument("--suite", choices=SUITES, action="append", help="only this release")
    parser.add_argument("target", nargs="*", default=["demo", "test"], help="of make")
    args = parser.parse_args()
    suites = args.suite or ["bullseye", "trixie"]
    print(f"Each release takes half an hour and downloads about 500 MB: {', '.join(suites)}.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        rows = [(SUITES[suite], *_try(suite, args.target)) for suite in suites]
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(("release", *args.target), rows), flush=True)
    return int(any("FAILED" in cell for row in rows for cell in row))


def _try(suite: str, targets: Sequence[str]) -> list[str]:
    announcement = f"Making {SUITES[suite]} in {roots.cache()}, once."
    root = roots.debian(f"fresh-{suite}", suite, [_PACKAGES], announcement)
    # Packages and environments are too much for a file system in memory.
    with tempfile.TemporaryDirectory(prefix="development.", dir=roots.cache()) as directory:
        changes = Path(directory, "changes")
        changes.mkdir()
        machine = Machine(suite, [root], changes=changes)
        try:
            building.copy_checkout(machine.path(_CLONE))
            machine.path(_CERTIFICATES).write_bytes(ways.CERTIFICATES.read_bytes())
            return [_make(machine, suite, target) for target in targets]
        finally:
            machine.close()


def _make(machine: Machine, suite: str, target: str) -> str:
    """Run make with its output on this terminal; tell how it ended."""
    log(f"{SUITES[suite]}: make {target}")
    begun = time.monotonic()
    done = subprocess.run(
        machine.command(["make", "-C", _CLONE, target]),
        stdin=subprocess.DEVNULL,
        env={**ENVIRONMENT, "PIP_CERT": _CERTIFICATES},
        check=False,
    )
    minutes, seconds = divmod(round(time.monotonic() - begun), 60)
    return f"{'FAILED' if done.returncode else 'passed'} in {minutes}:{seconds:02}"


if __name__ == "__main__":
    sys.exit(exit_code(main()))
