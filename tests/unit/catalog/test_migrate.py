# SPDX-License-Identifier: Apache-2.0
"""How a catalog is created and brought up to date."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from mthook.catalog import fastsql, files, migrate
from mthook.catalog.opening import open_database
from mthook.catalog.schema import PINS
from mthook.catalog.session import Session
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError

from .samples import UUID, make_empty, names, pin

ROOT = str(Path(fastsql.__file__).parents[2])


def test_an_empty_file_becomes_a_catalog(path: str) -> None:
    """The first migration starts from nothing."""
    make_empty(path)
    with Catalog.open(path) as catalog:
        assert catalog.record_pin(pin())

    assert names(path) == ["catalog.sqlite"]


def test_an_older_catalog_is_upgraded(
    path: str, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps it lacks run in one transaction, which others wait for."""
    steps: list[str] = []

    def upgrade(config: Config, revision: str) -> None:
        connection = config.attributes["connection"]
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        steps.append(revision)

    monkeypatch.setattr(fastsql, "SCHEMA", "9999")
    monkeypatch.setattr(fastsql, "OLDER", ("0001", "0002", "0003"))
    monkeypatch.setattr("alembic.command.upgrade", upgrade)
    catalog.record_pin(pin())
    with Catalog.open(path, create=False) as upgraded:
        found = upgraded.get_pin(UUID)

    assert (found, steps) == (pin(), ["head"])


def test_a_catalog_of_the_first_schema_keeps_its_pins(path: str) -> None:
    """The real steps from there to here; what is compiled is compiled anew."""
    make_empty(path)
    raw = open_database(path, 1)
    with Session(raw).transaction() as connection:
        config = Config()
        config.set_main_option("script_location", migrate.SCRIPTS)
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(PINS.insert().values(**asdict(pin())))
    raw.close()
    with pytest.raises(CatalogError, match="run mthook-sync"):
        fastsql.connect(path, 1)

    with Catalog.open(path, create=False) as upgraded:
        assert (upgraded.get_pin(UUID), upgraded.settings()) == (pin(), None)
        assert upgraded.compared() == {}


def test_a_failed_upgrade_changes_nothing(
    path: str, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that breaks is undone with the record that it ran."""

    def upgrade(config: Config, revision: str) -> None:
        connection = config.attributes["connection"]
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.exec_driver_sql("DROP TABLE pins")
        connection.exec_driver_sql("broken")

    catalog.record_pin(pin())
    with monkeypatch.context() as newer, pytest.raises(CatalogError):
        newer.setattr(fastsql, "SCHEMA", "9999")
        newer.setattr(fastsql, "OLDER", ("0001", "0002", "0003"))
        newer.setattr("alembic.command.upgrade", upgrade)
        Catalog.open(path)

    with Catalog.open(path, create=False) as again:
        assert again.get_pin(UUID) == pin()


def test_bringing_up_what_is_up_to_date_changes_nothing(path: str, catalog: Catalog) -> None:
    """Of two that want to upgrade a catalog the second finds the work done."""
    catalog.record_pin(pin())
    catalog.close()
    before = Path(path).read_bytes()
    migrate.bring_up(path, create=False, timeout=1)

    assert Path(path).read_bytes() == before


def test_what_a_killed_creator_left_is_no_hindrance(path: str) -> None:
    """A half-made draft is thrown away, and it never has the catalog's name."""
    files.create_directory(os.path.dirname(path))
    for name in (".new", ".new-journal", ".new-wal", ".new-shm"):
        Path(path + name).write_bytes(b"half")
    with Catalog.open(path) as catalog:
        assert catalog.record_pin(pin())

    assert names(path) == ["catalog.sqlite"]


@pytest.mark.parametrize("broken", ["rename", "fsync"])
def test_a_failed_creation_leaves_nothing(
    path: str, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Neither a draft nor a half-made catalog; the message says why."""

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(CatalogError) as caught:
        Catalog.open(path)

    assert str(caught.value) == f"the catalog {path} can't be created: Input/output error"
    assert [name for name in names(path) if name != "catalog.sqlite"] == []


_OPEN = f"""
import sys; sys.path.insert(0, {ROOT!r})
from mthook.catalog import migrate
from mthook.catalog.store import Catalog
print("ready", flush=True); sys.stdin.readline()
with Catalog.open(sys.argv[1]) as catalog:
    print(catalog.set_pin(sys.argv[2], "pc", source="operator", actor="root").machine)
"""


@pytest.mark.parametrize("empty_file", [False, True])
def test_two_first_opens_at_once(path: str, empty_file: bool) -> None:
    """All of several creators get one catalog, and nobody's pin is lost."""
    if empty_file:
        make_empty(path)
    uuids = [f"{UUID[:-1]}{number}" for number in range(6)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _OPEN, path, uuid],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for uuid in uuids
    ]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    answers = [worker.communicate("go\n") for worker in workers]
    with Catalog.open(path, create=False) as catalog:
        found = [one.uuid for one in catalog.pins()]

    assert answers == [("pc\n", "")] * len(uuids)
    assert found == uuids
    assert names(path) == ["catalog.sqlite"]


def test_a_creator_that_hangs_is_not_waited_for_forever(path: str) -> None:
    """Another mthook that holds the directory is named as what it is."""
    directory = os.path.dirname(path)
    files.create_directory(directory)
    with migrate._alone_in(directory, 1), pytest.raises(CatalogError) as caught:
        Catalog.open(path, timeout=0.05)

    assert str(caught.value) == f"{directory} is locked by another mthook: try again"
