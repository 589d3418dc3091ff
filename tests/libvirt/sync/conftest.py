# SPDX-License-Identifier: Apache-2.0
"""A lab host and a fresh catalog."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Host
from tests.libvirt.sync.setting import Setting


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """A lab host for the tests of this module."""
    with Host("node-1") as host:
        yield host


@pytest.fixture
def setting(node: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Setting]:
    """The lab host without guests, and without a catalog."""
    yield Setting(node, tmp_path, capsys)
    node.remove_guests()
