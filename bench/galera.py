# SPDX-License-Identifier: Apache-2.0
"""What keeps two writers on two nodes of a Galera cluster apart, and what it costs.

Galera doesn't replicate locks. When transactions commit, the keys of the rows that they have changed are compared: two
that have changed no row in common both succeed. Two that each add a row, where there was none, have none in common.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pymysql
from pymysql.cursors import Cursor

from bench.timing import report
from tests.lab.galera import Galera
from tests.lab.nova import MACHINE_KEY, Cloud
from tests.lab.novaschema import make_schema

#: MySQL's code for a deadlock, and Galera's for a transaction that another node was faster with.
_DEADLOCK = 1213
_LIVE = f"instance_uuid = %s AND `key` = '{MACHINE_KEY}' AND deleted = 0"
_OTHER = f"instance_uuid = %s AND `key` <> '{MACHINE_KEY}' ORDER BY id LIMIT 1"
_MACHINES = ("pc-i440fx-6.2", "pc-i440fx-7.2")

#: What a writer does in its transaction beside locking and adding its row.
Mechanism = Callable[[Cursor, str], None]


def _nothing(_cursor: Cursor, _uuid: str) -> None:
    pass


def _own_row(cursor: Cursor, uuid: str) -> None:
    cursor.execute(
        "INSERT INTO mthook.locks VALUES (%s, 1) ON DUPLICATE KEY UPDATE counter = counter + 1",
        (uuid,),
    )


def _same_value(cursor: Cursor, uuid: str) -> None:
    cursor.execute(
        f"UPDATE instance_system_metadata SET updated_at = updated_at WHERE {_OTHER}", (uuid,)
    )


def _other_time(cursor: Cursor, uuid: str) -> None:
    cursor.execute(
        "UPDATE instance_system_metadata SET updated_at ="
        " IF(updated_at <=> UTC_TIMESTAMP(), updated_at + INTERVAL 1 SECOND, UTC_TIMESTAMP())"
        f" WHERE {_OTHER}",
        (uuid,),
    )


class _Writer:
    """Somebody who records a machine type where there is none, and is told whether that was done."""

    def __init__(self, node: int, database: str, galera: Galera) -> None:
        server = galera.nodes[node]
        self._connection = pymysql.connect(
            host="127.0.0.1",
            port=server.port,
            user=server.user,
            password=server.password,
            database=database,
            ssl_disabled=True,
        )
        self.done = False
        self.seconds: list[float] = []

    def close(self) -> None:
        self._connection.close()

    def write(
        self,
        uuid: str,
        machine: str,
        mechanism: Mechanism,
        afterwards: bool,
        begin: threading.Barrier,
    ) -> None:
        """Write, again where the database says that somebody was in the way."""
        begin.wait()
        begun = time.perf_counter()
        self.done = self._again(lambda cursor: _insert(cursor, uuid, machine, mechanism))
        if self.done and afterwards:
            self.done = self._again(lambda cursor: _withdraw(cursor, uuid, machine))
        self.seconds.append(time.perf_counter() - begun)

    def _again(self, work: Callable[[Cursor], bool]) -> bool:
        while True:
            try:
                with self._connection.cursor() as cursor:
                    self._connection.begin()
                    done = work(cursor)
                    self._connection.commit()
                    return done
            except pymysql.err.OperationalError as error:
                self._connection.rollback()
                if error.args[0] != _DEADLOCK:
                    raise


def _insert(cursor: Cursor, uuid: str, machine: str, mechanism: Mechanism) -> bool:
    """Add a row, unless there is one."""
    cursor.execute("SELECT host FROM instances WHERE uuid = %s LOCK IN SHARE MODE", (uuid,))
    cursor.execute(f"SELECT id FROM instance_system_metadata WHERE {_LIVE} FOR UPDATE", (uuid,))
    if cursor.fetchall():
        return False
    mechanism(cursor, uuid)
    cursor.execute(
        "INSERT INTO instance_system_metadata (created_at, instance_uuid, `key`, value, deleted)"
        " VALUES (UTC_TIMESTAMP(), %s, %s, %s, 0)",
        (uuid, MACHINE_KEY, machine),
    )
    return True


def _withdraw(cursor: Cursor, uuid: str, machine: str) -> bool:
    """Take one's own row back if there is another one, which is changed with it: just one writer can do so."""
    cursor.execute(
        f"SELECT id, value FROM instance_system_metadata WHERE {_LIVE} FOR UPDATE", (uuid,)
    )
    rows = cursor.fetchall()
    if len(rows) < 2:
        return True
    for row, value in rows:
        if value == machine:
            cursor.execute("DELETE FROM instance_system_metadata WHERE id = %s", (row,))
        else:
            cursor.execute(
                "UPDATE instance_system_metadata SET updated_at = UTC_TIMESTAMP() WHERE id = %s",
                (row,),
            )
    return False


#: By name: what is done in the transaction, and whether it is looked at again after it.
MECHANISMS: dict[str, tuple[Mechanism, bool]] = {
    "locks alone": (_nothing, False),
    "a row of mthook's own": (_own_row, False),
    "another row of the instance, unchanged": (_same_value, False),
    "another row of the instance, its updated_at": (_other_time, False),
    "looking again after the commit": (_nothing, True),
}


def run(rounds: int) -> bool:
    """Measure and print; return whether the mechanism that mthook has made no mistake."""
    with tempfile.TemporaryDirectory() as name, Galera(2) as galera:
        schema = make_schema(galera.nodes[0], Path(name))
        with Cloud(galera.nodes[0], schema) as cloud:
            galera.nodes[0].create("mthook")
            cloud.mariadb.execute(
                "CREATE TABLE locks (name CHAR(36) PRIMARY KEY, counter BIGINT NOT NULL)", "mthook"
            )
            writers = [_Writer(node, cloud.databases["cell1"], galera) for node in (0, 1)]
            wrong = {name: _race(cloud, writers, name, rounds) for name in MECHANISMS}
            for writer in writers:
                writer.close()
    return wrong["another row of the instance, its updated_at"] == 0


def _race(cloud: Cloud, writers: Sequence[_Writer], name: str, rounds: int) -> int:
    """Have both writers add a row at once, again and again; return how often that went wrong."""
    mechanism, afterwards = MECHANISMS[name]
    both = neither = 0
    for writer in writers:
        writer.seconds.clear()
    begin = threading.Barrier(2)
    uuids = cloud.add_instances(rounds, vm_state="stopped")
    for uuid in uuids:
        threads = [
            threading.Thread(
                target=writer.write, args=(uuid, machine, mechanism, afterwards, begin)
            )
            for writer, machine in zip(writers, _MACHINES)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        told = [writer.done for writer in writers]
        both += all(told)
        neither += not any(told)
    wrong = rounds - _count_single(cloud, uuids)
    seconds = [one for writer in writers for one in writer.seconds]
    report(
        f"{name}: {rounds} rounds of two writers with different values on two nodes",
        {"a write, median": statistics.median(seconds), "a write, at most": max(seconds)},
        [],
    )
    print(f"  rounds with other than one row: {wrong}; both told done: {both}; neither: {neither}")
    return wrong + both + neither


def _count_single(cloud: Cloud, uuids: Sequence[str]) -> int:
    """Return how many instances have one machine type, once all writes have come to the node that is asked."""
    with cloud.connect() as cursor:
        cursor.execute("SET SESSION wsrep_sync_wait = 1")
        cursor.execute(
            "SELECT COUNT(*) FROM instance_system_metadata WHERE instance_uuid IN %s"
            f" AND `key` = '{MACHINE_KEY}' AND deleted = 0 GROUP BY instance_uuid",
            (uuids,),
        )
        return [count for (count,) in cursor.fetchall()].count(1)
