# SPDX-License-Identifier: Apache-2.0
"""A real MariaDB with the databases of real Nova, and Nova itself."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator

import pytest

from mthook.nova import cells
from tests.lab import MariaDB
from tests.lab.nova import Cloud
from tests.lab.novaschema import Schema, make_schema
from tests.nova.client import Nova


def pytest_configure() -> None:
    """End with one sentence where Nova is missing; skipped tests would pass for good ones."""
    if importlib.util.find_spec("nova") is None:
        raise pytest.UsageError("The tests in tests/nova need Nova: run them with 'tox -e nova'.")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """The database server; a test that stops or pauses it need not start it again."""
    with MariaDB() as server:
        yield server


@pytest.fixture(scope="session")
def schema(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Schema:
    """What real Nova made of empty databases, once for all the processes of a run."""
    own = tmp_path_factory.getbasetemp()
    return make_schema(mariadb, own if worker_id == "master" else own.parent)


@pytest.fixture(scope="session")
def databases(mariadb: MariaDB, schema: Schema) -> Iterator[Cloud]:
    """The cloud of all tests."""
    with Cloud(mariadb, schema) as cloud:
        yield cloud


@pytest.fixture
def cloud(mariadb: MariaDB, databases: Cloud) -> Cloud:
    """A cloud without instances."""
    mariadb.recover()
    databases.reset()
    return databases


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """One second of patience with a database in place of ten, where a test isn't about how long that is."""
    monkeypatch.setattr(cells, "opened", functools.partial(cells.opened, seconds=1))


@pytest.fixture(scope="session")
def nova_process(databases: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nova]:
    """Nova for all tests."""
    with Nova(databases, tmp_path_factory.mktemp("nova")) as nova:
        yield nova


@pytest.fixture
def nova(cloud: Cloud, nova_process: Nova) -> Nova:
    """Nova, to be asked about the cloud."""
    return nova_process
