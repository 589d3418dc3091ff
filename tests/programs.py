# SPDX-License-Identifier: Apache-2.0
"""A program of mthook's, run in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

#: What messages name where there is no catalog.
WAY_OUT = "'mthook-admin setup' sets this host up, mthook-sync makes the catalog alone"
#: What a configuration begins with where mthook is to stop starts and change definitions.
ENFORCE = "[hook]\nmode = enforce\n"


class Said(NamedTuple):
    """What a program answered."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


def runner(
    main: Callable[[Sequence[str]], int], config: Path, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Return what runs a program with a configuration."""

    def run(*argv: str) -> Said:
        capsys.readouterr()
        code = main(["--config-file", str(config), *argv])
        return Said(int(code), *capsys.readouterr())

    return run
