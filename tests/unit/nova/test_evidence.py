# SPDX-License-Identifier: Apache-2.0
"""How a machine type came to be recorded, as rows of Nova's tell."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from mthook.nova.cell import Cell
from mthook.nova.instance import MACHINE_KEY
from mthook.nova.tables import ACTIONS, MIGRATIONS, PROPERTIES
from mthook.reconcile import FILLED_IN, NOBODY_KNOWS, NOVA, SOMEBODY
from tests.unit.nova.novas import HOST, Databases, add, database, insert, put

URL = sa.engine.make_url("mysql+pymysql://mthook:geheim@db.example/cell1")
AT = datetime(2026, 11, 22, 13, 0, 0)
IMAGE, OTHER_IMAGE = "image-1", "image-2"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> sa.engine.Engine:
    """A cell's database."""
    databases = Databases(monkeypatch)
    return databases["cell1"]


@pytest.fixture
def cell(engine: sa.engine.Engine) -> Cell:
    """The cell."""
    return Cell(URL, "Nova's database", 10)


def at(seconds: float) -> datetime:
    """So many seconds after the instance's creation."""
    return AT + timedelta(seconds=seconds)


def act(engine: sa.engine.Engine, uuid: str, action: str, began: float, last: Any = None) -> int:
    """Add an action, with the time of its last event."""
    more = {"start_time": at(began), "updated_at": None if last is None else at(last)}
    return insert(engine, ACTIONS, instance_uuid=uuid, action=action, **more)


def record(engine: sa.engine.Engine, uuid: str, written: float, *, renewed: bool = True) -> None:
    """Record a machine type."""
    times = {"created_at": AT if renewed else at(written)}
    if renewed:
        times["updated_at"] = at(written)
    insert(
        engine,
        PROPERTIES,
        instance_uuid=uuid,
        key=MACHINE_KEY,
        value="q35",
        deleted=0,
        **times,
    )


@pytest.mark.parametrize(
    ("action", "began", "last", "task_state", "author"),
    [
        ("resize", 100, 125, None, NOVA),
        ("resize", 100, None, "resize_finish", NOVA),
        ("resize", 100, 105, "resize_finish", NOVA),  # between two of its events
        ("resize", 100, 105, None, SOMEBODY),
        ("resize", 100, 105, "image_snapshot", SOMEBODY),  # something else goes on
        ("rescue", 119, 120, None, NOVA),
        ("stop", 100, 101, None, SOMEBODY),
        ("attach_volume", 100, 130, None, SOMEBODY),
    ],
)
def test_an_action_around_the_time_of_writing_tells(
    cell: Cell,
    engine: sa.engine.Engine,
    action: str,
    began: float,
    last: float | None,
    task_state: str | None,
    author: str,
) -> None:
    """Written 120 seconds after the creation, over what was there."""
    uuid = add(engine, task_state=task_state)
    act(engine, uuid, "create", 0, 10)
    act(engine, uuid, action, began, last)
    record(engine, uuid, 120)

    assert cell.get(uuid).author == author


def test_what_is_filled_in_has_a_new_row(cell: Cell, engine: sa.engine.Engine) -> None:
    """Beside none of the instance's actions."""
    uuid = add(engine)
    act(engine, uuid, "create", 0, 10)
    record(engine, uuid, 120, renewed=False)

    assert cell.get(uuid).author == FILLED_IN


@pytest.mark.parametrize(
    ("kind", "status", "updated", "deleted", "author"),
    [
        ("resize", "confirmed", 150, 0, NOVA),
        ("migration", "migrating", 110, 0, NOVA),
        ("evacuation", "done", 119, 0, NOVA),
        ("live-migration", "completed", 150, 0, NOBODY_KNOWS),
        ("resize", "confirmed", 110, 0, NOBODY_KNOWS),
        ("resize", "confirmed", 150, 7, NOBODY_KNOWS),
    ],
)
def test_where_actions_are_purged_migrations_tell(
    cell: Cell,
    engine: sa.engine.Engine,
    kind: str,
    status: str,
    updated: float,
    deleted: int,
    author: str,
) -> None:
    """But not the live ones: they leave the record as it is."""
    uuid = add(engine)
    times = {"created_at": at(100), "updated_at": at(updated)}
    about = {"migration_type": kind, "status": status, "deleted": deleted, **times}
    insert(engine, MIGRATIONS, instance_uuid=uuid, **about)
    record(engine, uuid, 120)

    assert cell.get(uuid).author == author


@pytest.mark.parametrize(
    ("message", "image_ref", "base", "counts"),
    [
        ("Error", IMAGE, OTHER_IMAGE, False),  # refused: the scheduler found no host
        ("Error", OTHER_IMAGE, OTHER_IMAGE, True),  # it failed with the disk replaced
        (None, OTHER_IMAGE, OTHER_IMAGE, True),
        (None, IMAGE, OTHER_IMAGE, True),  # made from a snapshot, once
        ("Error", "", OTHER_IMAGE, True),  # its root is on a volume
        ("Error", IMAGE, None, True),
    ],
)
def test_a_refused_rebuild_is_none(
    cell: Cell,
    engine: sa.engine.Engine,
    message: str | None,
    image_ref: str,
    base: str | None,
    counts: bool,
) -> None:
    """What is recorded by then is Nova's doing."""
    uuid = add(engine, image_ref=image_ref)
    act(engine, uuid, "create", 0, 10)
    first = act(engine, uuid, "rebuild", 20, 30)
    times = {"start_time": at(119), "updated_at": at(121), "message": message}
    last = insert(engine, ACTIONS, instance_uuid=uuid, action="rebuild", **times)
    record(engine, uuid, 120)
    put(engine, uuid, base, "image_base_image_ref")

    found = cell.get(uuid)

    assert (found.rebuild, found.author) == ((last, SOMEBODY) if counts else (first, NOVA))


@pytest.mark.parametrize("ahead", [-3600, -2, 0, 2, 3600])
def test_times_are_told_by_this_hosts_clock(monkeypatch: pytest.MonkeyPatch, ahead: int) -> None:
    """Those of pins are by it; two seconds are what reading takes."""
    engine = Databases(monkeypatch)["cell1"]
    clock = datetime.now(timezone.utc) + timedelta(seconds=ahead)
    stored = f"{clock:%Y-%m-%d %H:%M:%S}.000000"
    with engine.connect() as connection:
        driver: Any = connection.connection
        driver.create_function("utc_timestamp", 0, lambda: stored)
    uuid = add(engine)
    began = (clock - timedelta(seconds=600)).replace(tzinfo=None, microsecond=0)
    insert(engine, ACTIONS, instance_uuid=uuid, action="rebuild", start_time=began)

    told = Cell(URL, "Nova's database", 10).get(uuid).rebuild_at

    age = datetime.now(timezone.utc) - datetime.fromisoformat(told.replace("Z", "+00:00"))
    assert 595 < age.total_seconds() < 606


def test_what_a_host_has_is_read_in_a_fixed_number_of_queries(
    cell: Cell, engine: sa.engine.Engine
) -> None:
    """However much there is to tell of its instances."""
    asked: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[2]))

    def read() -> int:
        asked.clear()
        assert all(one.author for one in cell.of_host(HOST))
        return len([text for text in asked if text.startswith("SELECT")])

    for number in range(3):
        uuid = add(engine)
        act(engine, uuid, "create", 0, 10)
        record(engine, uuid, 120)
        if number == 0:
            few = read()
    assert read() == few == 5


def test_a_stand_in_has_mysqls_clock() -> None:
    """Without it none of these tests would say anything."""
    with database(PROPERTIES.metadata).connect() as connection:
        assert connection.execute(sa.text("SELECT utc_timestamp()")).scalar()
