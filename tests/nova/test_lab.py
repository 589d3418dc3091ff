# SPDX-License-Identifier: Apache-2.0
"""The databases and the Nova that the tests here stand on are what they claim to be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.lab import PC, MariaDB, leftovers
from tests.lab.nova import Cloud
from tests.lab.novaschema import Schema
from tests.lab.queens import queens
from tests.nova.client import Nova

OTHER_IMAGE = "5d9a1c5e-0000-4000-8000-00000000dcba"
SECONDS_TO_VANISH = 10

OWNER = """\
import sys, time
from tests.lab import MariaDB

with MariaDB() as mariadb:
    if sys.argv[1] == "paused":
        mariadb.pause()
    print("up", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def server() -> Iterator[MariaDB]:
    """A server for one test."""
    with MariaDB() as mariadb:
        yield mariadb


def ask(url: str, sql: str) -> list[tuple[object, ...]]:
    """Ask a database as mthook does."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(sql))]


def columns(cloud: Cloud, table: str, name: str) -> set[str]:
    """Return the names of a table's columns."""
    return {row[0] for row in cloud.execute(f"SHOW COLUMNS FROM {table}", name=name)}


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_server_started_again_has_its_data_and_its_port(server: MariaDB, ending: str) -> None:
    """However it ended."""
    server.create("data")
    server.execute("CREATE TABLE numbers (number INT) ENGINE=InnoDB", "data")
    server.execute("INSERT INTO numbers VALUES (7)", "data")
    url = server.url("data")

    getattr(server, ending)()
    assert not server.running
    with pytest.raises(sa.exc.OperationalError):
        ask(url, "SELECT number FROM numbers")
    server.start()

    assert ask(url, "SELECT number FROM numbers") == [(7,)]


def test_a_dump_loads_elsewhere(server: MariaDB) -> None:
    """Binary data too."""
    for database in ("one", "two"):
        server.create(database)
    server.execute("CREATE TABLE words (word BLOB)", "one")
    server.execute("INSERT INTO words VALUES (%s)", "one", [b"\0\xff'%"])

    server.load("two", server.dump("one", "words"))

    assert server.execute("SELECT word FROM words", "two") == [(b"\0\xff'%",)]


def test_a_paused_server_accepts_and_never_answers(server: MariaDB) -> None:
    """Until it is resumed."""
    server.create("data")
    url = server.url("data", read_timeout=1)
    server.pause()

    with pytest.raises(sa.exc.OperationalError, match="timed out"):
        ask(url, "SELECT 1")
    server.resume()

    assert ask(url, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_paused_server_can_be_ended(server: MariaDB, ending: str) -> None:
    """And recovers."""
    server.pause()

    getattr(server, ending)()
    server.recover()

    assert server.execute("SELECT 1") == [(1,)]


def test_a_connection_is_encrypted_where_the_url_says_so(server: MariaDB, tmp_path: Path) -> None:
    """With the server's own authority, and no other."""
    server.create("data")
    status = "SHOW STATUS LIKE 'Ssl_cipher'"
    ((_, cipher),) = ask(server.url("data", ssl_ca=server.ca), status)
    ((_, none),) = ask(server.url("data", ssl_disabled="true"), status)
    with MariaDB() as other:
        strange = server.url("data", ssl_ca=other.ca)
        with pytest.raises(sa.exc.OperationalError, match="certificate verify failed"):
            ask(strange, status)

    assert str(cipher).startswith("TLS_")
    assert none == ""


def test_nova_is_an_ordinary_user(server: MariaDB) -> None:
    """A wrong password is refused, and a read-only server is read-only."""
    server.create("data")
    with pytest.raises(sa.exc.OperationalError, match="Access denied"):
        ask(server.url("data", password="wrong"), "SELECT 1")
    server.execute("SET GLOBAL read_only = 1")

    with pytest.raises(sa.exc.OperationalError, match="read-only"):
        ask(server.url("data"), "CREATE TABLE numbers (number INT)")


@pytest.mark.parametrize("how", ["running", "paused"])
def test_nothing_is_left_of_a_server_whose_owner_was_killed(how: str) -> None:
    """No process, no mount; its files were in memory."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, how],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        assert any(" mariadbd " in line for line in leftovers(owner.pid))
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + SECONDS_TO_VANISH
    while leftovers(owner.pid) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert leftovers(owner.pid) == []


def test_nothing_is_left_of_a_server_paused_at_the_end() -> None:
    """The end doesn't wait for it."""
    before = leftovers(os.getpid())
    with MariaDB() as mariadb:
        mariadb.pause()

    assert leftovers(os.getpid()) == before


def test_the_schema_is_real_novas(cloud: Cloud, nova: Nova) -> None:
    """Nova finds its own newest version in each database."""
    for command, name in (("db", "cell1"), ("api_db", "api")):
        version = cloud.execute("SELECT version_num FROM alembic_version", name=name)

        assert nova.manage(command, "version").stdout.split()[-1] == version[0][0]


def test_real_nova_reads_what_is_added(cloud: Cloud, nova: Nova) -> None:
    """In every cell."""
    cell2 = cloud.add_cell("cell2")
    pinned = cloud.add_instance(machine="pc-q35-7.2")
    unset = cloud.add_instance(host=None, vm_state="shelved_offloaded", image_ref="")
    other = cloud.add_instance(cell="cell2", host="beta")
    failed = cloud.add_instance(cell="cell0", host=None, vm_state="error")
    gone = cloud.add_instance(deleted=True)
    cloud.add_instance(vm_state="building")

    assert nova.get(pinned) == (0, "pc-q35-7.2\n")
    assert [nova.get(uuid).code for uuid in (unset, other, failed)] == [3, 3, 3]
    assert [nova.get(uuid).code for uuid in (gone, "no-such-instance")] == [2, 2]
    code, output = nova.list_unset()
    assert (code, set(output.split())) == (3, {unset, other})
    assert nova.list_unset("no-such-cell").code == 2
    assert cloud.cell_uuid("cell2") == cell2


def test_the_process_says_what_nova_manage_says(cloud: Cloud, nova: Nova) -> None:
    """Code and text."""
    uuid = cloud.add_instance(machine="pc")

    done = nova.manage("libvirt", "update_machine_type", uuid, "q35")

    assert nova.update(uuid, "q35") == (done.returncode, done.stdout)
    assert done.returncode == 3


def test_real_nova_writes_where_we_read(cloud: Cloud, nova: Nova) -> None:
    """In place, and beside what it hasn't seen."""
    uuid = cloud.add_instance(machine="pc", vm_state="stopped")
    ((before),) = cloud.rows(uuid)

    assert nova.update(uuid, "q35", force=True).code == 0
    ((after),) = cloud.rows(uuid)

    assert (after["id"], after["value"]) == (before["id"], "q35")
    assert (before["updated_at"], cloud.machine(uuid)) == (None, "q35")
    nova.save(uuid, image_hw_machine_type=None)
    assert cloud.rows(uuid) == []


def test_nova_loses_what_was_written_after_it_loaded(cloud: Cloud, nova: Nova) -> None:
    """A row it had seen goes back to what it was; that is the race which sync must live with."""
    uuid = cloud.add_instance()
    nova.load(uuid)
    cloud.execute(
        "INSERT INTO instance_system_metadata (instance_uuid, `key`, value, deleted)"
        " VALUES (%s, 'image_hw_machine_type', 'pc', 0)",
        (uuid,),
    )

    nova.touch(uuid)

    assert cloud.machine(uuid) is None


def test_alike_instances_are_as_nova_has_them(cloud: Cloud, nova: Nova) -> None:
    """Many at once."""
    uuids = cloud.add_instances(
        1000, machine=None, host="beta", metadata={"image_os_type": "linux"}
    )
    cloud.add_instances(10, machine="q35")

    assert set(nova.list_unset().output.split()) == set(uuids)
    assert len(cloud.rows(uuids[0], "image_os_type")) == 1


@pytest.mark.parametrize(
    "machine, arch, configured, expected",
    [
        (None, None, [], "pc"),
        (None, None, ["x86_64=q35"], "q35"),
        ("pc-i440fx-7.2", None, ["x86_64=q35"], "pc-i440fx-7.2"),
        (None, "aarch64", ["x86_64=q35"], "virt"),
    ],
)
def test_nova_tells_the_machine_type_of_the_next_start(
    cloud: Cloud, nova: Nova, machine: str, arch: str, configured: list[str], expected: str
) -> None:
    """From row and configuration."""
    uuid = cloud.add_instance(machine=machine, arch=arch)

    assert nova.machine(uuid, configured) == expected


def test_nova_generates_the_guest_from_the_row(cloud: Cloud, nova: Nova) -> None:
    """Complete domain XML."""
    pinned, unset = cloud.add_instance(machine=PC), cloud.add_instance()

    xml = nova.xml(pinned, ["x86_64=q35"])

    assert f"<uuid>{pinned}</uuid>" in xml and f"<name>{cloud.name(pinned)}</name>" in xml
    assert f'machine="{PC}"' in xml
    assert 'machine="q35"' in nova.xml(unset, ["x86_64=q35"])
    assert cloud.machine(unset) is None


def test_a_rebuild_takes_the_type_of_its_image(cloud: Cloud, nova: Nova) -> None:
    """And leaves an action behind."""
    uuid = cloud.add_instance(machine="pc", metadata={"image_hw_disk_bus": "ide"})

    cloud.begin_rebuild(uuid, image_ref=OTHER_IMAGE, hw_machine_type="q35")

    assert cloud.instance(uuid)["task_state"] == "rebuilding"
    assert nova.get(uuid) == (0, "q35\n")
    assert cloud.rows(uuid, "image_hw_disk_bus") == []
    assert [row["value"] for row in cloud.rows(uuid, "image_base_image_ref")] == [OTHER_IMAGE]
    actions = "SELECT action FROM instance_actions WHERE instance_uuid = %s ORDER BY id"
    assert cloud.execute(actions, (uuid,)) == [("create",), ("rebuild",)]
    cloud.finish_rebuild(uuid)
    assert cloud.instance(uuid)["task_state"] is None


def test_a_reset_cloud_is_as_at_first(cloud: Cloud) -> None:
    """Whatever was in it."""
    before = {name: cloud.dump_all(name) for name in ("api", "cell0", "cell1")}
    cloud.add_cell("cell2")
    for cell in ("cell0", "cell1", "cell2"):
        cloud.begin_rebuild(cloud.add_instance(cell=cell))
    assert cloud.dump_all() != before["cell1"]

    cloud.reset()

    assert {name: cloud.dump_all(name) for name in cloud.databases} == before


def test_queens_lacks_what_came_since(mariadb: MariaDB, schema: Schema) -> None:
    """And takes instances all the same."""
    with Cloud(mariadb, schema, prefix="queens_") as cloud:
        queens(cloud)
        uuid = cloud.add_instance(machine="pc")
        gone = cloud.add_instance(machine="pc", deleted=True)

        assert (cloud.machine(uuid), cloud.machine(gone)) == ("pc", None)
        assert not {"hidden", "compute_id"} & columns(cloud, "instances", "cell1")
        assert "disabled" not in columns(cloud, "cell_mappings", "api")
