# SPDX-License-Identifier: Apache-2.0
"""mthook-admin on an administrator's host: no catalog, no libvirt, Nova's databases alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mthook.tools.admin import main
from tests.lab.nova import Cloud
from tests.nova.place import Said

Run = Callable[..., Said]


@pytest.fixture
def config(cloud: Cloud, tmp_path: Path) -> Path:
    """The configuration of a host that isn't one of Nova's."""
    return cloud.mthook_conf(tmp_path, host="admin")


@pytest.fixture
def run(config: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run mthook-admin in this process."""

    def run(*argv: str) -> Said:
        capsys.readouterr()
        code = main(["--config-file", str(config), *argv])
        said = capsys.readouterr()
        return Said(int(code), said.out, said.err)

    return run
