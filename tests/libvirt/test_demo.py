# SPDX-License-Identifier: Apache-2.0
"""The demonstration, as README promises it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.lab import leftovers, traces

ROOT = Path(__file__).parents[2]


def test_the_demonstration_shows_what_it_says_and_leaves_nothing(tmp_path: Path) -> None:
    """Under two minutes, every step checked by the demonstration itself."""
    before = traces()
    begun = time.monotonic()

    process = subprocess.Popen(
        [sys.executable, "-m", "demo"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = process.communicate()[0].decode()

    assert process.returncode == 0, output
    assert time.monotonic() - begun < 120
    assert "Left behind: nothing." in output
    assert "Traceback" not in output
    assert leftovers(process.pid, before=before) == []


def test_ctrl_c_ends_the_demonstration_and_its_hosts() -> None:
    """In the middle of it, with a guest running."""
    before = traces()
    process = subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None
    for line in process.stdout:
        if b"behind mthook's back" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    process.stdout.read()

    assert process.wait(timeout=60) == 130
    assert b"Traceback" not in process.stderr.read()
    assert leftovers(process.pid, before=before) == []
