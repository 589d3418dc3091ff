# SPDX-License-Identifier: Apache-2.0
"""Hosts and administrators, each as the database user that the guide gives them."""

from __future__ import annotations

import time

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from mthook.errors import FleetError
from mthook.fleet import connection, tables
from mthook.fleet.connection import Record, asked
from tests.fleets import NEW, OLD, Node, Site
from tests.lab import MariaDB

from .conftest import DATABASE, OWNER, Server, url

WEB, DB = "3f2c1d3e-0000-4000-8000-000000000001", "3f2c1d3e-0000-4000-8000-000000000002"


@pytest.fixture
def hosts(site: Site, server: Server) -> tuple[Node, Node]:
    """Two hosts with a guest each."""
    one = site.node("compute-1", url(server, "compute-1"))
    other = site.node("compute-2", url(server, "compute-2"))
    one.has(WEB, "web-1", OLD)
    other.has(DB, "db-1", OLD)
    assert one.sync() == other.sync() == (0, "", "")
    return one, other


def test_an_administrators_wish_is_carried_out(
    site: Site, server: Server, hosts: tuple[Node, Node]
) -> None:
    """With no more rights than the guide grants, from the wish to its outcome; then the guest moves."""
    one, other = hosts
    desk = site.node("admin", url(server, "alice"))
    desk.is_down = True

    assert desk.admin("set", "web-1", NEW).code == 0
    assert one.sync() == (0, "", "")
    assert desk.admin("get", "web-1") == (0, f"{NEW}\n", "")

    moved = one.libvirt.domains.pop()
    moved.defined = moved.defined.replace(NEW, OLD)
    one.sync()
    other.libvirt.domains.append(moved)
    assert other.sync() == (0, "", "")
    assert other.pins()[WEB] == (NEW, "fleet")
    listed = desk.admin(
        "list", "--all-hosts", "--machine", "pc-i440*-7.?", "-f", "value", "-c", "Host"
    )
    assert listed.out == "compute-1\ncompute-2\n"
    history = [event for (event,) in site.rows(tables.HISTORY, "event")]
    assert history.count("changed") == 1


#: What a host must not be able to do: a statement, and what the server says.
FORBIDDEN = [
    "DELETE FROM guests WHERE uuid = '{db}'",
    "UPDATE guests SET pin = 'pc' WHERE uuid = '{db}'",
    "UPDATE hosts SET host = 'x'",
    "INSERT INTO wishes (host_id, uuid, token, kind, actor, made_at) VALUES ('{id}', '{db}', 't', 'unset', 'a', '')",
    "INSERT INTO own_wishes (host_id, uuid, token, kind, actor, made_at) VALUES ('{own}', '{db}', 't', 'x', 'a', '')",
    "UPDATE own_wishes SET pin = 'pc'",
    "UPDATE offers SET document = ''",
    "DELETE FROM offers",
    "DELETE FROM own_history",
    "UPDATE own_hosts SET owner = 'compute-2'",
    "INSERT INTO own_guests SELECT '{id}', 'u', 'd', name, display, arch, virt_type, state, nova, windows, running,"
    " defined, machine, managed_save, snapshots, pin, seen, source, actor, reason, pinned_at, recorded, stopped,"
    " elsewhere, drift, deprecated, unsupported FROM guests WHERE uuid = '{web}'",
    "INSERT INTO own_machines (host_id, name, guests, running, pins) VALUES ('{id}', 'x', 1, 1, 1)",
    "INSERT INTO own_history (host_id, host, uuid, at, event, actor) VALUES ('{id}', 'x', 'u', 'a', 'e', 'a')",
    "DROP TABLE wishes",
    "CREATE TABLE x (y INTEGER)",
]
#: What changes nothing: the views don't show it.
USELESS = [
    "DELETE FROM own_guests WHERE uuid = '{db}'",
    "DELETE FROM own_hosts WHERE id = '{id}'",
    "UPDATE own_hosts SET host = 'x' WHERE id = '{id}'",
    "UPDATE own_wishes SET outcome = 'done' WHERE host_id = '{id}'",
]


def test_a_host_can_write_its_own_rows_only(
    site: Site, server: Server, hosts: tuple[Node, Node]
) -> None:
    """Whatever it tries."""
    site.node("admin", url(server, "alice")).admin("set", "db-1", NEW)
    keys = dict(site.rows(tables.HOSTS, "host", "id"))
    facts = {"web": WEB, "db": DB, "own": keys["compute-1"], "id": keys["compute-2"]}
    before = [sorted(site.rows(table), key=str) for table in tables.TABLES]

    with Record(url(server, "compute-1")) as record:
        for statement in FORBIDDEN:
            with pytest.raises(FleetError), asked(), record.engine.begin() as begun:
                begun.exec_driver_sql(statement.format(**facts))
        for statement in USELESS:
            with asked(), record.engine.begin() as begun:
                assert begun.exec_driver_sql(statement.format(**facts)).rowcount == 0

    assert [sorted(site.rows(table), key=str) for table in tables.TABLES] == before


def test_the_tables_are_as_they_are_read(site: Site) -> None:
    """The last step leaves what the rest of the program goes by, and is done once."""
    with site.record as record, record.engine.connect() as opened:
        context = MigrationContext.configure(opened, opts={"compare_type": True})
        found = compare_metadata(context, tables.HOSTS.metadata)
        # Python 3.9's newest alembic misses PostgreSQL's word for AUTO_INCREMENT in MariaDB, too.
        known = ["alembic_version", *([] if opened.dialect.name == "postgresql" else ["Identity("])]

    assert [one for one in found if not any(name in str(one) for name in known)] == []
    desk = site.node("admin")
    assert desk.admin("fleet", "init").err == (
        f"the fleet's record has schema {tables.SCHEMA} already\n"
    )


def test_a_host_is_forgotten(site: Site, hosts: tuple[Node, Node]) -> None:
    """Its guests and wishes too, but not its history."""
    owner = site.node("admin")

    assert owner.admin("fleet", "forget", "compute-1", "nobody") == (
        2,
        "",
        "compute-1: forgotten\nmthook-admin: the fleet's record has no host 'nobody'\n",
    )

    assert site.rows(tables.GUESTS, "name") == [("db-1",)]
    assert len(site.rows(tables.HISTORY)) == 2


def test_rows_of_another_user_are_left_to_it(
    site: Site, server: Server, hosts: tuple[Node, Node]
) -> None:
    """As where a host gets a user of its own: the message says what to do first."""
    one, _ = hosts
    one.configure(site.url)

    code, _, err = one.sync()

    assert (code, err) == (
        1,
        "mthook-sync: the fleet's record: the rows of this host belong to the database user compute-1:"
        f" 'mthook-admin fleet forget compute-1' as the record's owner lets {OWNER} write them anew\n",
    )


def test_a_server_that_doesnt_answer_is_given_up(
    site: Site, server: Server, hosts: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts connections, and no more; all else is done by then."""
    one, _ = hosts
    one.has(DB, "db-2", OLD)
    monkeypatch.setattr(connection, "_SECONDS", 1)
    begun = time.monotonic()
    server.pause()
    try:
        code, _, err = one.sync()
    finally:
        server.resume()

    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("mthook-sync: the fleet's record: ")
    assert time.monotonic() - begun < 15
    assert DB in one.pins()


def test_a_server_that_can_only_be_read_is_an_error_until_it_can_be_written(
    site: Site, server: Server, hosts: tuple[Node, Node]
) -> None:
    """As while an administrator switches to another one; the next sync writes what has changed meanwhile."""
    one, _ = hosts
    one.has(DB, "db-2", OLD)
    set_read_only(server, "1")
    try:
        code, _, err = one.sync()
    finally:
        set_read_only(server, "0")

    assert (code, err.count("\n")) == (1, 1)
    assert "read-only" in err
    assert DB in one.pins()
    assert one.sync() == (0, "", "")
    assert ("db-2",) in site.rows(tables.GUESTS, "name")


def set_read_only(server: Server, value: str) -> None:
    """Let a server refuse writers, or take them again."""
    if isinstance(server, MariaDB):
        server.execute(f"SET GLOBAL read_only = {value}")
    else:
        server.execute(f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = {value}")
