# SPDX-License-Identifier: Apache-2.0
"""``fleet init``: it makes the tables, or what is missing of them, in a database of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from mthook.errors import FleetError, FleetSchema
from mthook.fleet.connection import Record, parse_url
from mthook.fleet.making import bring_up
from mthook.fleet.tables import HOSTS, SCHEMA, TABLES


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """An empty database."""
    return Record(f"sqlite:///{tmp_path}/fleet.sqlite")


def execute(record: Record, *statements: str) -> None:
    """Change something."""
    with record.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_an_empty_database_gets_all_tables(record: Record) -> None:
    """Once; the second time there is nothing to do."""
    with pytest.raises(FleetSchema, match="no tables yet"):
        record.check()

    assert bring_up(record) is None
    assert bring_up(record) == SCHEMA

    record.check()
    names = set(sa.inspect(record.engine).get_table_names())
    assert names == {"alembic_version", *(table.name for table in TABLES)}


def test_what_was_interrupted_is_finished(record: Record) -> None:
    """MariaDB keeps the tables that were made until then."""
    HOSTS.create(record.engine)

    assert bring_up(record) is None

    record.check()


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE instances (id INTEGER)",),
        ("CREATE TABLE alembic_version (v TEXT)", "CREATE TABLE instances (id INTEGER)"),
        (
            "CREATE TABLE alembic_version (version_num TEXT)",
            "INSERT INTO alembic_version VALUES ('8f2f1571d55b')",
        ),
        (
            "CREATE TABLE alembic_version (version_num TEXT)",
            "INSERT INTO alembic_version VALUES ('0099')",
        ),
    ],
    ids=["tables", "another alembic", "Nova", "newer"],
)
def test_a_database_of_something_else_is_left_alone(
    record: Record, statements: tuple[str, ...]
) -> None:
    """Such as one of Nova's, or one that a newer mthook has made."""
    execute(record, *statements)
    before = set(sa.inspect(record.engine).get_table_names())

    with pytest.raises(FleetError):
        bring_up(record)

    assert set(sa.inspect(record.engine).get_table_names()) == before


@pytest.mark.parametrize(
    "url",
    [
        "",
        "geheim",
        "mysql://u:geheim@x@host/mthook",
        "mysql://u:x@geheim/y@host/mthook",
        "postgresql://u:x@geheim/y@host/mthook",
        "oracle://u:geheim@host/mthook",
        "sqlite:///relative.sqlite",
        "mysql://u:geheim@host:port/mthook",
        "postgresql://u:geheim@host/mthook?sslmode=wrong&x=y",
    ],
)
def test_a_wrong_url_is_told_without_its_password(url: str) -> None:
    """In one line that names the option."""
    with pytest.raises(FleetError) as told:
        Record(url).check()

    assert "geheim" not in str(told.value)
    assert "\n" not in str(told.value)
    assert "fleet" in str(told.value)


@pytest.mark.parametrize("name", ["mysql", "mariadb", "mysql+pymysql", "mariadb+mysqldb"])
def test_all_of_mysqls_drivers_are_pymysql(name: str) -> None:
    """Whatever a URL names."""
    assert parse_url(f"{name}://u:p@host/mthook").drivername == "mysql+pymysql"
