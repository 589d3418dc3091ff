# SPDX-License-Identifier: Apache-2.0
"""Many hosts write through several nodes of a real Galera cluster, and nodes are killed meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from mthook.errors import FleetError
from mthook.fleet import pushing, rows, tables, wishes
from mthook.fleet.connection import Record
from mthook.fleet.making import bring_up
from tests.lab.galera import Galera
from tests.lab.processes import wait_until

#: How many hosts write at once, and how many guests each has.
HOSTS, GUESTS = 6, 10
AT = "2026-01-01T00:00:00.000000Z"
OFFER = "what all of them offer"


@pytest.fixture(scope="module")
def galera() -> Iterator[Galera]:
    """Three nodes with the tables of the record."""
    with Galera(3) as found:
        found.nodes[0].create("mthook")
        with Record(url(found, 0)) as record:
            bring_up(record)
        yield found


def url(galera: Galera, node: int) -> str:
    """Return the URL of the record on a node."""
    return galera.nodes[node].url("mthook", ssl_disabled="true")


def said(number: int, turn: int) -> pushing.Push:
    """Return what a host has to say in its turn: all of its guests have changed."""
    key = pushing.key_of("galera", f"host-{number}")
    facts = ("0.1.0", "7.2.22", "9.0.0", "enforce", AT, AT, 0, None, True, True, True, AT)
    offer = pushing.digest_of(OFFER)
    host = rows.Host(key, f"host-{number}", *facts, offer, GUESTS, 0, 0, 0, 0, 0)
    guests = [
        rows.Guest(
            *(f"{number:08d}-0000-4000-8000-{one:012d}", f"guest-{one}", None, "x86_64", "kvm"),
            *("shut off", False, False, None, "pc-i440fx-7.2", "pc-i440fx-7.2", False, turn),
            *("pc-i440fx-7.2", None, "definition", "mthook-sync", None, AT, None, None, None, ""),
            *(False, False),
        )
        for one in range(GUESTS)
    ]
    machines = [rows.Machine("pc-i440fx-7.2", GUESTS, 0, GUESTS)]
    return pushing.Push(host, OFFER, guests, machines)


class Writer(threading.Thread):
    """A host that syncs again and again, through another node where one doesn't answer, as a proxy would lead it.

    :ivar acknowledged: its last turn that the record has acknowledged.
    """

    def __init__(self, galera: Galera, number: int, end: threading.Event) -> None:
        super().__init__()
        self._galera, self.number, self._end = galera, number, end
        self._node, self.acknowledged, self.errors = number % 3, 0, 0

    def run(self) -> None:
        """Push until the end."""
        turn = 1
        while not self._end.is_set():
            try:
                with Record(url(self._galera, self._node)) as record:
                    while not self._end.is_set():
                        self._push(record, turn)
                        self.acknowledged, turn = turn, turn + 1
            except FleetError:
                self.errors += 1
                self._node = (self._node + 1) % 3
                time.sleep(0.05)

    def _push(self, record: Record, turn: int) -> None:
        push = said(self.number, turn)
        mark = record.transact(lambda connection: pushing.mark(connection, push.host.id))
        history = [
            pushing.Entry(one, push.guests[0].uuid, AT, "drift", "hook", str(one), str(one))
            for one in range(mark.number + 1, turn + 1)
        ]
        pushing.push(record, replace(push, history=history, mark=mark))


def check(galera: Galera, node: int, writers: list[Writer]) -> None:
    """Make sure that a node has all that any node has acknowledged, once."""
    with Record(url(galera, node)) as record, record.reading() as connection:
        for one in writers:
            push = said(one.number, 0)
            columns = tables.GUESTS.c
            mine = columns.host_id == push.host.id
            turns = connection.execute(sa.select(columns.snapshots).where(mine)).scalars().all()
            assert len(turns) == GUESTS
            assert len(set(turns)) == 1
            assert turns[0] >= one.acknowledged > 0
            which = tables.HISTORY.c.host_id == push.host.id
            written = (
                connection.execute(sa.select(tables.HISTORY.c.old).where(which)).scalars().all()
            )
            # What a node didn't know yet that it was to lead to is written with the next turn.
            assert sorted(map(int, written)) == list(range(1, len(written) + 1))
            assert len(written) <= turns[0]
        offers = connection.execute(sa.select(tables.OFFERS.c.document)).scalars().all()
        assert offers == [OFFER]


def test_nothing_acknowledged_is_lost_with_a_node(galera: Galera) -> None:
    """Of three nodes one is killed, then of the two that are left another one."""
    end = threading.Event()
    writers = [Writer(galera, number, end) for number in range(HOSTS)]
    for one in writers:
        one.start()
    try:
        wait_for(writers, 5)
        galera.nodes[2].kill()
        wait_for(writers, 3)
        galera.nodes[1].kill()
        galera.nodes[0].carry_on()
        wait_for(writers, 3)
    finally:
        end.set()
        for one in writers:
            one.join()

    check(galera, 0, writers)
    assert sum(one.errors for one in writers) > 0


def wait_for(writers: list[Writer], turns: int) -> None:
    """Wait until each host has so many more turns acknowledged."""
    before = [one.acknowledged for one in writers]

    def done() -> bool:
        return all(one.acknowledged >= old + turns for one, old in zip(writers, before))

    wait_until("The hosts can't write", done, lambda: str([one.errors for one in writers]))


def test_a_wish_that_was_acknowledged_reaches_its_host(galera: Galera) -> None:
    """After the last node was killed as well, and started anew."""
    key = said(0, 0).host.id
    wish = rows.Wish("u", "token", "unset", None, None, "operator", None, AT, None)
    with Record(url(galera, 0)) as record:
        wishes.make(record, {key: wish})

    galera.nodes[0].kill()
    galera.nodes[0].start("--wsrep_new_cluster")

    with Record(url(galera, 0)) as record:
        assert wishes.pending(record, key) == [wish]
