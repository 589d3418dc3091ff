# SPDX-License-Identifier: Apache-2.0
"""What mthook-sync writes to the fleet's record, and what it does where that can't be reached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from mthook.fleet import tables
from mthook.fleet.connection import Record
from mthook.fleet.making import bring_up
from mthook.hook import daemons
from tests.unit.host.fakes import UUID, FakeDomain, domain_xml
from tests.unit.operations.sync.setting import Setting


class Fleet:
    """A record, and the hosts that write to it."""

    def __init__(self, url: str, record: Record) -> None:
        self.url, self.record = url, record

    def join(self, setting: Setting, host: str = "host-a", more: str = "") -> None:
        """Let a host write to the record from now on."""
        setting.configure(f"[DEFAULT]\nhost = {host}\n[fleet]\nconnection = {self.url}\n{more}")

    def rows(self, table: sa.Table, *names: str) -> list[tuple[Any, ...]]:
        """Return some columns of a table, or its whole rows."""
        columns = [table.c[name] for name in names] or list(table.c)
        with self.record.reading() as connection:
            return [tuple(row) for row in connection.execute(sa.select(*columns))]


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """An empty record, on a machine without libvirt daemons."""
    monkeypatch.setattr(daemons, "running", lambda *_: [])
    url = f"sqlite:///{tmp_path}/fleet.sqlite"
    with Record(url) as opened:
        bring_up(opened)
        yield Fleet(url, opened)


def test_a_run_writes_its_host_and_guests(setting: Setting, record: Fleet) -> None:
    """One row a guest, one a machine type, what its QEMU offers, and what has happened."""
    record.join(setting)
    setting.libvirt.domains = [FakeDomain(domain_xml(), running=domain_xml("pc-i440fx-6.2"))]

    assert setting.sync() == (0, "", "")

    guests = record.rows(tables.GUESTS, "uuid", "pin", "running", "source", "state", "drift")
    assert guests == [(UUID, "pc-i440fx-6.2", "pc-i440fx-6.2", "running guest", "running", "")]
    ((host, errors, number, running, ran, succeeded),) = record.rows(
        tables.HOSTS, "host", "errors", "guests", "running", "ran_at", "succeeded_at"
    )
    assert (host, errors, number, running) == ("host-a", 0, 1, 1)
    with setting.catalog() as catalog:
        assert ran == succeeded == catalog.host().ran_at
        history = [(one.at, one.event) for one in catalog.history()]
    assert record.rows(tables.MACHINES, "name", "guests", "running", "pins") == [
        ("pc-i440fx-6.2", 1, 1, 1)
    ]
    assert record.rows(tables.HISTORY, "at", "event") == history
    assert record.rows(tables.OFFERS, "digest") == record.rows(tables.HOSTS, "offer")
