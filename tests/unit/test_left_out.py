# SPDX-License-Identifier: Apache-2.0
"""A test that this machine can't run is left out by name, and none where all can run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """\
import pytest


@pytest.mark.needs(False, "a TPM")
@pytest.mark.needs(True, "a disk")
def test_one(): ...


def test_two(): ...
"""
RUN = """\
import sys, pytest
from tests import conftest
conftest.COMPLETE = sys.argv[1]
sys.exit(pytest.main(["-p", "no:cacheprovider", "-p", "tests.conftest", "-c", "tox.ini", sys.argv[2]]))
"""


@pytest.mark.parametrize(
    ("complete", "code", "told"),
    [
        ("NAME=nowhere", 0, "test_left.py::test_one: a TPM\n"),
        ("ID=", 4, "ERROR: test_left.py::test_one needs a TPM.\n"),
    ],
)
def test_what_is_lacking_is_named(tmp_path: Path, complete: str, code: int, told: str) -> None:
    """With what it lacks."""
    path = tmp_path / "test_left.py"
    path.write_text(TESTS)
    (tmp_path / "tox.ini").write_text("[pytest]\n")

    done = subprocess.run(
        [sys.executable, "-c", RUN, complete, str(path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )

    assert (done.returncode, told in done.stdout + done.stderr) == (code, True), done.stdout
