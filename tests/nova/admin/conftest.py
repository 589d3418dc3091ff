# SPDX-License-Identifier: Apache-2.0
"""mthook-admin on an administrator's host: no catalog, no libvirt, Nova's databases alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mthook.tools.admin import main
from tests.lab.nova import Cloud
from tests.programs import Run, runner


@pytest.fixture
def config(cloud: Cloud, tmp_path: Path) -> Path:
    """The configuration of a host that isn't one of Nova's."""
    return cloud.mthook_conf(tmp_path, host="admin")


@pytest.fixture
def run(config: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run mthook-admin in this process."""
    return runner(main, config, capsys)
