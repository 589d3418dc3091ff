# SPDX-License-Identifier: Apache-2.0
"""Lab hosts, one for each module that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Host


@pytest.fixture(scope="module")
def alpha() -> Iterator[Host]:
    """A lab host for the tests of a module."""
    with Host("alpha") as host:
        yield host


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """A lab host for the tests of a module."""
    with Host("node-1") as host:
        yield host
