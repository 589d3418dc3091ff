# SPDX-License-Identifier: Apache-2.0
"""A record in MariaDB and in PostgreSQL, with the users and the rights that the guide gives them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Union

import pytest

from tests.fleets import Site
from tests.lab import MariaDB
from tests.lab.postgresql import PostgreSQL

Server = Union[MariaDB, PostgreSQL]

DOCS = Path(__file__).parents[2] / "docs"
DATABASE, OWNER, PASSWORD = "mthook", "mthook-owner", "PASSWORD"
_GRANTS = {
    MariaDB: DOCS / "grants-fleet-mariadb.sql",
    PostgreSQL: DOCS / "grants-fleet-postgresql.sql",
}


@pytest.fixture(scope="package")
def mariadb() -> Iterator[MariaDB]:
    """A server for all tests."""
    with MariaDB() as server:
        yield server


@pytest.fixture(scope="package")
def postgresql() -> Iterator[PostgreSQL]:
    """A server for all tests."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture(params=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server, then the other; the record's database and users are gone afterwards."""
    found: Server = request.getfixturevalue(request.param)
    yield found
    found.drop(DATABASE)
    mine = isinstance(found, MariaDB)
    for role in ("mthook_host", "mthook_admin"):
        found.execute(f"DROP ROLE IF EXISTS {role}")
    for user in (OWNER, "compute-1", "compute-2", "alice"):
        found.execute(
            f"DROP USER IF EXISTS '{user}'@'%'" if mine else f'DROP ROLE IF EXISTS "{user}"'
        )


@pytest.fixture
def site(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Site:
    """Hosts with an empty record, made as the guide says."""
    owner, *parts = statements(server)
    for statement in owner:
        server.execute(statement)
    made = Site(url(server, OWNER), tmp_path, monkeypatch, capsys)
    for statement in [one for part in parts for one in part]:
        grant(server, statement)
    for statement in parts[2]:  # a second host
        grant(server, statement.replace("compute-1", "compute-2"))
    return made


def grant(server: Server, statement: str) -> None:
    """Execute a statement in the record's database."""
    server.execute(statement, DATABASE)


def statements(server: Server) -> list[list[str]]:
    """Return what the guide has for a server, by paragraph; any address will do here."""
    text = _GRANTS[type(server)].read_text().replace("10.0.0.%", "%")
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    parts = "\n".join(lines).strip().split("\n\n")
    return [[one.strip() for one in part.split(";") if one.strip()] for part in parts]


def url(server: Server, user: str) -> str:
    """Return the record's URL for a user."""
    more = {"ssl_disabled": "true"} if isinstance(server, MariaDB) else {}
    return server.url(DATABASE, user, PASSWORD, **more)
