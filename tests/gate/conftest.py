# SPDX-License-Identifier: Apache-2.0
"""A gate for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gate.rig import Rig


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One whose messages have a second to become complete."""
    rig = Rig(
        tmp_path_factory.mktemp("gate"),
        prepare="from mthook.gate import connection, server\nconnection.PATIENCE = 1\nserver.DRAIN_SECONDS = 2",
    )
    rig.start()
    yield rig
    rig.close()
