# SPDX-License-Identifier: Apache-2.0
"""A controller: Nova's tables in SQLite, and mthook-sync --cloud on them."""

from __future__ import annotations

import uuid as uuids
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from mthook import journal
from mthook.nova import cells, tables
from mthook.tools import sync
from tests.programs import Said
from tests.specs import properties_of, request_spec
from tests.unit.nova.novas import Databases, add, insert, put, rows

URL = "mysql+pymysql://nova:geheim@db.example/{}"
ID = {"cell0": 1, "cell1": 2, "cell2": 3}


def utcnow() -> datetime:
    """Return the present as Nova stores it."""
    return datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None)


class Controller:
    """The cloud, and the machine that mthook-sync --cloud runs on."""

    def __init__(
        self, databases: Databases, directory: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.databases = databases
        self.path = directory / "mthook" / "catalog.sqlite"
        self.config = directory / "mthook.conf"
        self._capsys = capsys
        self.configure()
        for name, number in ID.items():
            uuid = cells.CELL0 if name == "cell0" else str(uuids.uuid4())
            insert(
                databases["api"],
                tables.CELL_MAPPINGS,
                **{"id": number, "uuid": uuid, "name": name},
                database_connection=URL.format(name),
            )

    def configure(self, more: str = "") -> None:
        """Write the configuration."""
        self.config.write_text(
            f"[catalog]\npath = {self.path}\n[api_database]\nconnection = {URL.format('api')}\n{more}"
        )

    def add(
        self,
        machine: str | None,
        spec: str | None = "",
        *,
        cell: str = "cell1",
        mapped: str | None = "",
        **columns: Any,
    ) -> str:
        """Add an instance.

        :param machine: what is recorded for it.
        :param spec: the machine type in its request spec, or the whole of it; ``''``: none; None: no request spec.
        :param mapped: the cell that it is mapped to; ``''``: its own; None: none at all.
        """
        about = {"updated_at": datetime.now(timezone.utc).replace(tzinfo=None), **columns}
        uuid = add(self.databases[cell], **about)
        if machine is not None:
            put(self.databases[cell], uuid, machine)
        if mapped is not None:
            number = ID[mapped or cell]
            insert(
                self.databases["api"],
                tables.INSTANCE_MAPPINGS,
                instance_uuid=uuid,
                cell_id=number,
            )
        if spec is not None:
            whole = spec if spec[:1] in ("{", "[") or spec == "none" else None
            properties = {"hw_machine_type": spec} if spec else {}
            insert(
                self.databases["api"],
                tables.REQUEST_SPECS,
                instance_uuid=uuid,
                spec=whole or request_spec(uuid, properties),
            )
        return uuid

    def sync(self, *args: str) -> Said:
        """Run mthook-sync --cloud."""
        code = sync.main(["--config-file", str(self.config), "--cloud", *args])
        told = self._capsys.readouterr()
        return Said(int(code), told.out, told.err)

    def spec(self, uuid: str) -> str:
        """Return an instance's request spec."""
        table = tables.REQUEST_SPECS.c
        with self.databases["api"].connect() as connection:
            found = connection.execute(sa.select(table.spec).where(table.instance_uuid == uuid))
            return str(found.scalar())

    def specified(self, uuid: str) -> str | None:
        """Return the machine type in an instance's request spec."""
        return properties_of(self.spec(uuid)).get("hw_machine_type")

    def recorded(self, uuid: str, cell: str = "cell1") -> list[str]:
        """Return what is recorded for an instance."""
        return [value for _, value in rows(self.databases[cell], uuid)]

    def change(self, uuid: str, cell: str = "cell1", **columns: Any) -> None:
        """Change an instance's row."""
        table = tables.INSTANCES
        with self.databases[cell].begin() as connection:
            connection.execute(sa.update(table).where(table.c.uuid == uuid).values(**columns))


@pytest.fixture
def controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Controller:
    """A cloud without instances: cell0 and two cells."""
    monkeypatch.setattr(journal, "SOCKET", str(tmp_path / "log"))
    monkeypatch.setattr(journal, "_service", "")
    # A database in memory would end with its connection.
    monkeypatch.setattr(sa.engine.Engine, "dispose", lambda _: None)
    return Controller(Databases(monkeypatch), tmp_path, capsys)
