# SPDX-License-Identifier: Apache-2.0
"""Connections to Nova's databases that end with an error; also with the oldest SQLAlchemy."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa

from mthook.nova import connection


class Engine:
    """PyMySQL's is on SQLite here, and fails as it is told to.

    :ivar failing: the method of SQLAlchemy's dialect that fails.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: str, code: int) -> None:
        create = sa.create_engine
        monkeypatch.setattr(sa, "create_engine", lambda *_, **__: create("sqlite://", future=True))
        url = connection.parse_url("mysql+pymysql://nova@db.example/nova", "it")
        self.engine = connection.engine(url, "Nova's database", 1)

        def fail(*_: object) -> None:
            raise sqlite3.OperationalError(code, "it failed")

        self._fail = (self.engine.dialect, failing, fail)
        self._monkeypatch = monkeypatch

    def is_given_up(self) -> bool:
        """Tell whether a connection isn't used again after a transaction that fails."""
        with self.engine.connect() as one:
            self._monkeypatch.setattr(*self._fail)
            with pytest.raises(sa.exc.DBAPIError):
                one.execute(sa.text("SELECT 1"))
                one.commit()
            return one.invalidated


@pytest.mark.parametrize(
    ("failing", "code", "given_up"),
    [
        ("do_execute", 1047, True),
        ("do_commit", 1180, True),
        ("do_execute", 1213, False),
        ("do_commit", 1213, False),
    ],
)
def test_a_connection_that_galera_has_done_with_is_given_up(
    monkeypatch: pytest.MonkeyPatch, failing: str, code: int, given_up: bool
) -> None:
    """A node without a cluster, a commit that failed; after a deadlock it can be used again."""
    assert Engine(monkeypatch, failing, code).is_given_up() is given_up
