# SPDX-License-Identifier: Apache-2.0
"""What the hook imports on every guest start stays small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mthook

PACKAGE_DIR = str(Path(mthook.__file__).parents[1])
HEAVY = {"collections", "dataclasses", "enum", "json", "logging", "lxml", "re", "typing"}


@pytest.mark.parametrize(
    "module",
    [
        "mthook.judgement",
        "mthook.machinetype",
        "mthook.policy",
        "mthook.reconcile",
        "mthook.xmlrewrite.summary",
    ],
)
def test_a_fast_module_loads_nothing_heavy(module: str) -> None:
    """In a bare interpreter, as the hook runs it, none of the slow standard modules gets in."""
    script = f"import sys; sys.path.append(sys.argv[1]); import {module}; print(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, PACKAGE_DIR],
        capture_output=True,
        check=True,
        text=True,
    )

    loaded = set(done.stdout.split())
    assert module in loaded
    assert loaded & HEAVY == set()
