# SPDX-License-Identifier: Apache-2.0
"""A database that fails in every way it can: exit code and one line, the catalog whole, the next run complete."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pymysql
import pytest

from mthook import deadline
from mthook.nova import cells
from tests.lab import OLD_PC, PC, MariaDB
from tests.lab.nova import Cloud
from tests.nova.moments import await_lock, before
from tests.nova.place import DEFAULT, UNKNOWN, Place, Said

OLD, NEW = OLD_PC, PC
#: How many instances there are: in every test some come before the trouble, and some after.
COUNT = 6
#: Nothing listens there.
CLOSED = "127.0.0.1:9"


@pytest.fixture
def place(cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    """A host without guests."""
    return Place(cloud, tmp_path, capsys)


@pytest.fixture
def uuids(cloud: Cloud) -> list[str]:
    """Instances of which Nova has no machine type."""
    return cloud.add_instances(COUNT, vm_state="stopped")


def _restart(mariadb: MariaDB) -> None:
    mariadb.kill()
    mariadb.start()


def _one_line(said: Said, *words: str) -> None:
    """Check that a command failed as it should: exit code 1, and one line on standard error that is in plain words.

    Where no sync has been, a warning says before that nothing tells what a QEMU offers.
    """
    errors = [line for line in said.err.splitlines() if UNKNOWN not in line]
    assert (said.code, said.out, len(errors)) == (1, "", 1), said
    for word in words:
        assert word in said.err
    assert not re.search(
        r"SELECT|INSERT|UPDATE|Traceback|\(pymysql|sqlalche|instance_system_metadata\.", said.err
    ), said.err


def _complete(place: Place, uuids: Sequence[str]) -> None:
    """Check that the next run, on a database that works, leaves nothing undone."""
    assert place.sync() == (0, "", "")
    assert place.pins() == dict.fromkeys(uuids, DEFAULT)
    assert place.recorded() == {uuid: [DEFAULT] for uuid in uuids}
    assert place.sync("--dry-run").out == "nothing to do\n"


def _stop(place: Place) -> None:
    place.cloud.mariadb.stop()


def _pause(place: Place) -> None:
    place.cloud.mariadb.pause()


def _lock_out(place: Place) -> None:
    url = place.cloud.cell_url()
    place.connect_with(url.replace(url.partition("@")[0].rpartition(":")[2], "falsch"))


def _take_database_away(place: Place) -> None:
    place.connect_with(place.cloud.mariadb.url("nova_of_yesterday"))


def _tell_nobody(place: Place) -> None:
    place.connect_with(place.cloud.cell_url().replace("127.0.0.1", "nova.invalid"))


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (_stop, "Can't connect to MySQL server on '127.0.0.1'"),
        (_pause, "timed out"),
        (_lock_out, "Access denied for user 'nova'"),
        (_take_database_away, "Unknown database 'nova_of_yesterday'"),
        (_tell_nobody, "Can't connect to MySQL server on 'nova.invalid'"),
    ],
)
def test_a_database_that_cant_be_asked_leaves_the_catalog_as_it_is(
    place: Place, uuids: list[str], breaks: Callable[[Place], None], words: str
) -> None:
    """Known instances keep their pins, and a hanging database takes ten seconds, once."""
    place.sync()
    place.cloud.add_instance(machine=OLD)
    before, config = place.kept(), place.config.read_text()
    breaks(place)

    began = time.monotonic()
    _one_line(place.sync(), "mthook-sync: Nova's database: ", words)
    assert time.monotonic() - began < 10 + 5

    assert place.kept() == before
    place.config.write_text(config)
    place.cloud.mariadb.recover()
    assert place.sync() == (0, "", "")
    assert sorted(place.pins().values()) == [DEFAULT] * COUNT + [OLD]


@pytest.mark.parametrize("api", [False, True])
def test_an_operators_commands_say_so_too(place: Place, uuids: list[str], api: bool) -> None:
    """Whichever database they ask first."""
    place.configure(api=api)
    place.sync()
    before = place.kept()
    place.cloud.mariadb.stop()

    name = "Nova's API database" if api else "Nova's database"
    for command in (
        ["get", uuids[0]],
        ["set", uuids[0], NEW, "--force"],
        ["unset", uuids[0], "--force"],
        ["list", "--unset"],
        ["list", "--unset", "-f", "value"],
    ):
        said = place.admin(*command)
        # A table or a list that breaks off is still one of what there was.
        _one_line(said._replace(out=""), f"mthook-admin: {name}: Can't connect")
        assert uuids[0] not in said.out
    assert place.kept() == before


#: Where a run can be when the server goes: reading, in a transaction that has written nothing yet, about to write.
MOMENTS = (
    ("FROM instances .*\n?WHERE instances.host", 1),
    ("FROM instance_system_metadata", 1),
    ("FROM instance_actions", 1),
    ("LOCK IN SHARE MODE", 3),
    ("FOR UPDATE", 3),
    ("INSERT INTO instance_system_metadata", 3),
)


@pytest.mark.parametrize(("statement", "number"), MOMENTS)
def test_a_server_that_restarts_meanwhile_breaks_off_one_run(
    place: Place, uuids: list[str], statement: str, number: int
) -> None:
    """What was committed before stays, and nothing is there twice."""
    with before(statement, number, lambda: _restart(place.cloud.mariadb)):
        _one_line(place.sync(), "Nova's database: ")

    written = place.recorded()
    assert written == {uuid: [DEFAULT] for uuid in uuids[: max(number - 1, 0)]} or number == 1
    assert len(written) == number - 1
    _complete(place, uuids)


@pytest.mark.parametrize(("statement", "number"), MOMENTS)
@pytest.mark.usefixtures("hasty")
def test_a_server_that_hangs_meanwhile_is_given_up(
    place: Place, uuids: list[str], statement: str, number: int
) -> None:
    """After the time limit, once: the other instances aren't waited for."""
    with before(statement, number, place.cloud.mariadb.pause):
        began = time.monotonic()
        _one_line(place.sync(), "Nova's database: ", "timed out")
        assert time.monotonic() - began < 1 + 4

    place.cloud.mariadb.resume()
    _complete(place, uuids)


def test_a_server_that_restarts_between_two_statements_isnt_noticed(
    place: Place, uuids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every transaction begins with a connection that is known to work."""
    record, calls = cells.Cell.record, []

    def recorded(*args: Any, **more: Any) -> int:
        calls.append(args)
        if len(calls) == 3:
            _restart(place.cloud.mariadb)
        return record(*args, **more)

    monkeypatch.setattr(cells.Cell, "record", recorded)

    assert place.sync() == (0, "", "")

    assert place.recorded() == {uuid: [DEFAULT] for uuid in uuids}


@pytest.mark.parametrize("committed", [False, True])
def test_a_commit_that_isnt_answered_is_looked_at_in_the_next_run(
    place: Place, uuids: list[str], committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it came to it or not."""
    commit, calls = pymysql.connections.Connection.commit, []

    def broken(connection: pymysql.connections.Connection) -> None:
        # One commit for each instance: reading ends without.
        calls.append(connection)
        if len(calls) == 3 and committed:
            commit(connection)
        if len(calls) == 3:
            _restart(place.cloud.mariadb)
        commit(connection)

    with monkeypatch.context() as patch:
        patch.setattr(pymysql.connections.Connection, "commit", broken)
        _one_line(place.sync(), "Nova's database: Lost connection")

    assert len(place.recorded()) == (3 if committed else 2)
    _complete(place, uuids)


def test_connections_that_are_killed_all_the_time_cost_nothing_but_time(
    place: Place, uuids: list[str]
) -> None:
    """Every run ends with 0 or with one line; what came through stays."""
    uuids += place.cloud.add_instances(60, vm_state="stopped")
    ends: list[int] = []
    with _killing(place.cloud.mariadb):
        while ends.count(1) < 5 and len(ends) < 100:
            said = place.sync()
            ends.append(said.code)
            if said.code:
                _one_line(said, "Nova's database: ")
            else:
                assert said == (0, "", "")

    assert ends.count(1) == 5
    assert all(found == [DEFAULT] for found in place.recorded().values())
    _complete(place, uuids)


@contextlib.contextmanager
def _killing(mariadb: MariaDB) -> Iterator[None]:
    """Kill every connection of mthook's, again and again."""
    over = threading.Event()

    def kill() -> None:
        with mariadb.connect() as cursor:
            while not over.wait(0.02):
                cursor.execute(
                    "SELECT id FROM information_schema.processlist WHERE user = %s", (mariadb.user,)
                )
                for (number,) in cursor.fetchall():
                    with contextlib.suppress(pymysql.err.MySQLError):  # it has ended by itself
                        cursor.execute(f"KILL {number}")

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Rival:
    """Another writer, which wants the same rows in another order: first an instance's metadata, then the instance.

    :param times: how often it does so.
    """

    def __init__(self, cloud: Cloud, uuid: str, times: int) -> None:
        self._cloud = cloud
        self._uuid = uuid
        self._times = times
        self._locked = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._locked.wait(20)

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            for _ in range(self._times):
                self._collide()
        except BaseException as error:
            self._failure = error

    def _collide(self) -> None:
        with self._cloud.connect() as cursor:
            # So it has written more than mthook by then: the database undoes what costs it less.
            cursor.execute(
                "UPDATE instance_system_metadata SET"
                " updated_at = COALESCE(updated_at, created_at) + INTERVAL 1 SECOND"
                " WHERE instance_uuid = %s",
                (self._uuid,),
            )
            self._locked.set()
            await_lock(self._cloud)
            cursor.execute(
                "UPDATE instances SET progress = progress + 1 WHERE uuid = %s", (self._uuid,)
            )


def _deadlocks(mariadb: MariaDB) -> int:
    """Return how many there were so far."""
    ((_, count),) = mariadb.execute("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    return int(count)


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long enough between two attempts for the rival to be first again."""
    monkeypatch.setattr(deadline.random, "uniform", lambda *_: 0.3)


@pytest.mark.usefixtures("_patient")
def test_a_deadlock_is_tried_again(place: Place, uuids: list[str], mariadb: MariaDB) -> None:
    """Four times it is undone in favour of another writer, the fifth attempt is alone."""
    before = _deadlocks(mariadb)

    with Rival(place.cloud, uuids[0], 4):
        assert place.sync() == (0, "", "")

    assert _deadlocks(mariadb) - before == 4
    assert place.cloud.instance(uuids[0])["progress"] == 4
    assert place.recorded() == {uuid: [DEFAULT] for uuid in uuids}


@pytest.mark.usefixtures("_patient")
def test_a_deadlock_that_comes_back_for_ever_is_reported(
    place: Place, uuids: list[str], mariadb: MariaDB
) -> None:
    """And the other writer has got what it wanted."""
    before = _deadlocks(mariadb)

    with Rival(place.cloud, uuids[0], 5):
        _one_line(place.sync(), "Nova's database: Deadlock found")

    assert _deadlocks(mariadb) - before == 5
    assert place.cloud.instance(uuids[0])["progress"] == 5
    assert place.recorded() == {}
    _complete(place, uuids)


@pytest.mark.usefixtures("hasty")
def test_rows_that_somebody_keeps_locked_are_given_up(place: Place, uuids: list[str]) -> None:
    """After the time limit."""
    with place.cloud.connect() as cursor:
        cursor.execute("SELECT * FROM instances WHERE uuid = %s FOR UPDATE", (uuids[2],))
        _one_line(place.sync(), "Nova's database: ")

    _complete(place, uuids)


def test_a_read_only_database_is_read(place: Place, uuids: list[str], mariadb: MariaDB) -> None:
    """As a replica is, or a primary during maintenance."""
    other = place.cloud.add_instance(vm_state="stopped", machine=OLD)
    mariadb.execute("SET GLOBAL read_only = 1")
    try:
        _one_line(place.sync(), "Nova's database: ", "--read-only")
        _one_line(
            place.admin("set", uuids[0], NEW), "mthook-admin: Nova's database: ", "--read-only"
        )
        assert place.admin("get", other) == (0, f"{OLD}\n", "")
    finally:
        mariadb.execute("SET GLOBAL read_only = 0")

    assert place.pins() == {**dict.fromkeys(uuids, DEFAULT), other: OLD}
    assert place.recorded() == {other: [OLD]}
    assert place.sync() == (0, "", "")
    assert place.recorded() == {**{uuid: [DEFAULT] for uuid in uuids}, other: [OLD]}


def test_a_full_disk_is_reported_in_the_servers_words(
    place: Place, uuids: list[str], cloud: Cloud
) -> None:
    """The third row doesn't fit."""
    # The server's own error, without filling anybody's disk.
    full = (
        "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114,"
        " MESSAGE_TEXT = 'The table ''instance_system_metadata'' is full'"
    )
    cloud.execute(
        "CREATE TRIGGER disk BEFORE INSERT ON instance_system_metadata FOR EACH ROW"
        f" IF NEW.instance_uuid = '{uuids[2]}' THEN {full}; END IF"
    )
    try:
        _one_line(place.sync(), "Nova's database: The table 'instance_system_metadata' is full")
    finally:
        cloud.execute("DROP TRIGGER disk")

    assert place.recorded() == {uuid: [DEFAULT] for uuid in uuids[:2]}
    _complete(place, uuids)


@pytest.fixture
def _cell2(place: Place) -> str:
    """An instance in a cell whose database is gone; its cell comes first."""
    cloud = place.cloud
    cloud.add_cell("cell2")
    cloud.add_cell("cell3")
    uuid = cloud.add_instance(cell="cell2", host="gamma")
    gone = cloud.cell_url("cell2").replace(f"127.0.0.1:{cloud.mariadb.port}", CLOSED)
    cloud.execute(
        "UPDATE cell_mappings SET database_connection = %s WHERE name = 'cell2'", (gone,), "api"
    )
    place.configure(api=True)
    return uuid


def test_without_one_cell_the_others_are_listed(
    place: Place, uuids: list[str], _cell2: str
) -> None:
    """The one that can't be reached is named, and the exit code isn't that of a whole list."""
    later = place.cloud.add_instance(cell="cell3", host="delta")

    said = place.admin("list", "--unset", "-f", "value", "-c", "UUID")

    assert said.out.split() == [*sorted(uuids), later]
    _one_line(said._replace(out=""), "mthook-admin: Nova's cell cell2: Can't connect")
    assert place.admin("list", "--unset", "--cell-uuid", place.cloud.cell_uuid("cell3")).code == 3


def test_without_one_cell_its_instances_alone_are_out_of_reach(
    place: Place, uuids: list[str], _cell2: str
) -> None:
    """And a host of another cell has nothing to do with it."""
    _one_line(place.admin("get", _cell2), "Nova's cell cell2: Can't connect")

    assert place.sync() == (0, "", "")
    assert place.admin("get", uuids[0]) == (0, f"{DEFAULT}\n", "")
