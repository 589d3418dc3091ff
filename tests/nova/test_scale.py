# SPDX-License-Identifier: Apache-2.0
"""What mthook costs a large cloud's database and itself: counted, as ``make bench`` measures it on larger ones."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from mthook.nova.cell import Cell
from tests.lab import MariaDB
from tests.lab.nova import Cloud
from tests.nova.client import Nova
from tests.nova.place import Place

OLD = "pc-i440fx-6.2"


class Counts:
    """What something has cost.

    :ivar statements: how many were executed.
    :ivar rows: how many rows the server has read for them.
    """

    statements = 0
    rows = 0


@pytest.fixture
def counted(mariadb: MariaDB) -> Iterator[Callable[[], contextlib.AbstractContextManager[Counts]]]:
    """A context manager that counts."""

    @contextlib.contextmanager
    def count() -> Iterator[Counts]:
        counts = Counts()

        def note(*_: Any) -> None:
            counts.statements += 1

        before = _rows_read(mariadb)
        sa.event.listen(sa.engine.Engine, "before_cursor_execute", note)
        try:
            yield counts
        finally:
            sa.event.remove(sa.engine.Engine, "before_cursor_execute", note)
        counts.rows = _rows_read(mariadb) - before

    yield count


def _rows_read(mariadb: MariaDB) -> int:
    ((_, rows),) = mariadb.execute("SHOW GLOBAL STATUS LIKE 'Rows_read'")
    return int(rows)


Count = Callable[[], "contextlib.AbstractContextManager[Counts]"]


def _peak(cell: Cell, count: int) -> int:
    """Return the memory, in bytes, that it takes at most to go through what a cell lists."""
    tracemalloc.start()
    try:
        assert sum(1 for _ in cell.unset()) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def cell(cloud: Cloud) -> Iterator[Cell]:
    """The cell's database."""
    opened = Cell(sa.engine.make_url(cloud.cell_url()), "cell1", 10)
    yield opened
    opened.close()


def test_what_is_listed_takes_no_more_memory_however_much_it_is(cloud: Cloud, cell: Cell) -> None:
    """Four times as many instances; were but their UUIDs kept, it would be more than twice the memory."""
    cloud.add_instances(3000)
    assert _peak(cell, 3000) > 0  # what is kept from the first time on doesn't count
    few = _peak(cell, 3000)
    cloud.add_instances(9000)

    assert _peak(cell, 12000) < few * 1.4


@pytest.mark.parametrize("machine", [None, OLD])
def test_a_list_reads_each_row_once(
    cloud: Cloud, cell: Cell, counted: Count, machine: str | None
) -> None:
    """The server reads four times as many for four times as many instances, whether they are listed or not."""
    found = {}
    for count in (3000, 12000):
        cloud.add_instances(count - sum(found), machine=machine)
        cloud.execute("ANALYZE TABLE instances, instance_system_metadata")
        with counted() as found[count]:
            assert sum(1 for _ in cell.unset()) == (0 if machine else count)

    few, many = found[3000], found[12000]
    assert many.rows < few.rows * 4.2
    assert many.statements <= few.statements * 4


def test_no_query_of_a_list_goes_through_the_whole_cloud(
    cloud: Cloud, cell: Cell, mariadb: MariaDB
) -> None:
    """Where no instance is without a machine type, one that looks for some would outlast the time limit."""
    cloud.add_instances(12000, machine=OLD)
    read = []

    def note(*_: Any) -> None:
        read.append(_rows_read(mariadb))

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", note)
    try:
        assert list(cell.unset()) == []
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", note)
    note()

    # Of each instance its own row and nine of metadata: of all of them, that is four times as many.
    assert max(after - before for before, after in zip(read, read[1:])) < 30000


@pytest.mark.parametrize("others", [3000])
def test_a_sync_has_nothing_to_do_with_the_instances_of_other_hosts(
    cloud: Cloud,
    counted: Count,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    others: int,
) -> None:
    """The same statements, and the server reads the same rows for them; the first time and later on."""
    place = Place(cloud, tmp_path, capsys)
    costs = []
    for _ in range(2):
        cloud.reset()
        place.path.unlink(missing_ok=True)
        cloud.add_instances(100, vm_state="stopped")
        # Some from the beginning: the tables of so few instances as one host's the server reads whole.
        cloud.add_instances(others if costs else others // 3, host="beta")
        # The statistics that queries are planned by are otherwise made some time later.
        cloud.execute(
            "ANALYZE TABLE instances, instance_system_metadata, instance_actions, migrations"
        )
        for _ in range(2):
            with counted() as found:
                assert place.sync() == (0, "", "")
            costs.append((found.statements, found.rows))

    first, again, first_among_many, again_among_many = costs
    assert (first_among_many[0], again_among_many[0]) == (first[0], again[0])
    assert first_among_many[1] <= first[1] * 1.1
    assert again_among_many[1] <= again[1] * 1.1


def test_the_list_is_real_novas(
    cloud: Cloud, nova: Nova, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Instances in every state, with and without, in several cells: the same UUIDs and the same exit code."""
    place = Place(cloud, tmp_path, capsys)
    place.configure(api=True)
    cloud.add_cell("cell2")
    assert nova.list_unset().code == place.admin("list", "--unset").code == 0
    for state in ("active", "stopped", "shelved", "error", "building", "soft-delete", None):
        for cell in ("cell1", "cell2"):
            cloud.add_instance(vm_state=state, cell=cell)
            cloud.add_instance(vm_state=state, cell=cell, machine=OLD)
    cloud.add_instances(2500)
    cloud.add_instances(1500, cell="cell2", machine=OLD)
    cloud.add_instances(3, deleted=True)

    ours = place.admin("list", "--unset", "-f", "value", "-c", "UUID")
    novas = nova.list_unset()

    assert ours.code == novas.code == 3
    assert sorted(ours.out.split()) == sorted(novas.output.split())
