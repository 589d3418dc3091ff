# SPDX-License-Identifier: Apache-2.0
"""Lab hosts with a gate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gate.node import Node, gated
from tests.lab import Host


@pytest.fixture(scope="module")
def alpha() -> Iterator[Host]:
    """A lab host for the tests of a module."""
    with Host("alpha") as host:
        yield host


@pytest.fixture
def here(alpha: Host) -> Iterator[Node]:
    """That host with a gate."""
    with gated(alpha) as node:
        yield node
