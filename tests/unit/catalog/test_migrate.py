# SPDX-License-Identifier: Apache-2.0
"""How a catalog is created and brought up to date."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from mthook.catalog import files, lookup, migrate, schema
from mthook.catalog.connection import Connection
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError

from .samples import UUID, make_empty, names, pin

Steps = dict[str, Callable[[Connection], object]]

ROOT = str(Path(lookup.__file__).parents[2])


def test_an_empty_file_becomes_a_catalog(path: str) -> None:
    """The first step starts from nothing."""
    make_empty(path)
    with Catalog.open(path) as catalog:
        assert catalog.add_pin(pin())

    assert names(path) == ["catalog.sqlite"]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """The steps, which a newer mthook has one more of."""
    monkeypatch.setattr(lookup, "SCHEMA", "9999")
    monkeypatch.setattr(lookup, "OLDER", tuple(schema.STEPS))
    monkeypatch.setattr(schema, "STEPS", dict(schema.STEPS))
    return schema.STEPS


def test_an_older_catalog_is_upgraded(path: str, catalog: Catalog, steps: Steps) -> None:
    """The steps it lacks run in one transaction, which others wait for."""
    ran: list[bool] = []
    steps["9999"] = lambda connection: ran.append(connection.in_transaction)
    catalog.add_pin(pin())
    with Catalog.open(path, create=False) as upgraded:
        found = upgraded.get_pin(UUID)
    Catalog.open(path, create=False).close()

    assert (found, ran) == (pin(), [True])


def test_a_failed_upgrade_changes_nothing(
    path: str, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, steps: Steps
) -> None:
    """A step that breaks is undone with those before it and the record that they ran."""

    def broken(connection: Connection) -> None:
        connection.execute("DROP TABLE pins")
        connection.execute("broken")

    catalog.add_pin(pin())
    steps["9998"] = lambda connection: connection.execute("DROP TABLE guests")
    steps["9999"] = broken
    with pytest.raises(CatalogError):
        Catalog.open(path)
    monkeypatch.undo()

    with Catalog.open(path, create=False) as again:
        assert again.get_pin(UUID) == pin()
        assert again.guests() == []


def test_bringing_up_what_is_up_to_date_changes_nothing(path: str, catalog: Catalog) -> None:
    """Of two that want to upgrade a catalog the second finds the work done."""
    catalog.add_pin(pin())
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
        assert catalog.add_pin(pin())

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
