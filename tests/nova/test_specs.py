# SPDX-License-Identifier: Apache-2.0
"""Request specs that real Nova reads, in a real MariaDB: mthook-sync --cloud, and what set and a host's sync write."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mthook.nova import requestspecs
from tests.lab import MariaDB
from tests.lab.mariadb import can_isolate
from tests.lab.nova import Cloud
from tests.lab.novaschema import Schema
from tests.nova.client import Nova, NovaError
from tests.nova.place import DEFAULT, UNKNOWN, Place
from tests.specs import request_spec

OLD, NEW, Q35 = "pc-i440fx-6.2", "pc-i440fx-7.2", "q35"


@pytest.fixture
def place(cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    """A controller; a host without guests as well."""
    place = Place(cloud, tmp_path, capsys)
    place.configure(api=True)
    return place


def _without_the_machine(primitive: dict[str, Any]) -> str:
    """Return a request spec without what mthook writes."""
    image = primitive["nova_object.data"]["image"]["nova_object.data"]
    image["properties"]["nova_object.data"].pop("hw_machine_type", None)
    return json.dumps(primitive, sort_keys=True)


def test_nova_reads_what_was_written(place: Place, cloud: Cloud, nova: Nova) -> None:
    """The machine type, and all else as before; what Nova saves after that keeps it."""
    uuid = cloud.add_instance(machine=OLD)
    nova.make_spec(uuid)
    cloud.execute(
        "UPDATE request_specs SET spec = REPLACE(spec, %s, %s)", (f'"{OLD}"', f'"{Q35}"'), "api"
    )
    machine, before = nova.spec(uuid)
    assert machine == Q35

    assert place.sync("--cloud") == (0, "", "")

    machine, after = nova.spec(uuid)
    assert machine == OLD
    assert _without_the_machine(after) == _without_the_machine(before)
    assert nova.show_property(uuid, "hw_machine_type") == (0, f"{OLD}\n")
    nova.save_spec(uuid)
    assert nova.spec(uuid)[0] == cloud.specified(uuid) == OLD
    assert place.sync("--cloud", "--dry-run")[1] == "nothing to do\n"


def test_a_spec_that_had_none_gets_one_as_from_nova(place: Place, cloud: Cloud, nova: Nova) -> None:
    """Nova's own command leaves nothing to do, and ours leaves the same."""
    ours, novas = cloud.add_instances(2, vm_state="stopped")
    for uuid in (ours, novas):
        nova.make_spec(uuid)
    assert nova.set_property(novas, f"hw_machine_type={NEW}").code == 0
    before = cloud.spec(novas)

    assert place.admin("set", ours, NEW).code == 0
    assert place.sync("--cloud") == (0, "", "")

    assert cloud.spec(novas) == before
    assert nova.spec(ours)[0] == nova.spec(novas)[0] == NEW
    assert nova.show_property(ours, "hw_machine_type") == (0, f"{NEW}\n")


def test_set_unset_and_freeze_write_it(place: Place, cloud: Cloud, nova: Nova) -> None:
    """As Nova reads it."""
    uuid = cloud.add_instance(vm_state="stopped", machine=OLD)
    nova.make_spec(uuid)

    assert place.admin("set", uuid, NEW).code == 0
    assert nova.spec(uuid)[0] == NEW
    assert place.admin("unset", uuid).code == 0
    assert nova.spec(uuid)[0] is None
    assert "hw_machine_type" not in cloud.spec(uuid)


def test_a_hosts_sync_writes_it_where_it_has_the_database(
    place: Place, cloud: Cloud, nova: Nova
) -> None:
    """Of its own instances, once: of the image's property the pin is made, which is written to both."""
    lacks, other = cloud.add_instances(2, vm_state="stopped", machine=OLD)
    new, elsewhere = cloud.add_instance(vm_state="stopped"), cloud.add_instance(host="beta")
    for uuid in (lacks, other, new, elsewhere):
        cloud.add_spec(uuid, {"hw_machine_type": Q35} if uuid == other else None)

    assert place.sync() == (0, "", "")

    assert [nova.spec(one)[0] for one in (lacks, other, new)] == [OLD, OLD, DEFAULT]
    assert nova.spec(elsewhere)[0] is None
    before = cloud.dump_all("api")
    assert place.sync("--dry-run")[1] == "nothing to do\n"
    assert place.sync() == (0, "", "")
    assert cloud.dump_all("api") == before


def test_a_shelved_instance_without_a_host_gets_what_its_image_says(
    place: Place, cloud: Cloud, nova: Nova
) -> None:
    """Else the default; in both places."""
    named, plain = cloud.add_instances(2, host=None, vm_state="shelved_offloaded")
    cloud.add_spec(named, {"hw_machine_type": Q35})
    cloud.add_spec(plain)

    assert place.sync("--cloud") == (0, "", "")

    assert [cloud.machine(one) for one in (named, plain)] == [Q35, "pc"]
    assert [nova.spec(one)[0] for one in (named, plain)] == [Q35, "pc"]
    assert nova.get(plain).code == 0


def test_ironics_instances_are_left_out(place: Place, cloud: Cloud) -> None:
    """They are no guests."""
    uuid = cloud.add_instance(machine=OLD, node="n1")
    other = cloud.add_instance(machine=OLD, node="n2")
    for node, kind in (("n1", "ironic"), ("n2", "QEMU")):
        cloud.execute(
            "INSERT INTO compute_nodes (vcpus, memory_mb, local_gb, vcpus_used, memory_mb_used,"
            " local_gb_used, hypervisor_version, cpu_info, host, hypervisor_hostname,"
            " hypervisor_type, deleted) VALUES (1, 1, 1, 0, 0, 0, 1, '', 'alpha', %s, %s, 0)",
            (node, kind),
        )
    for one in (uuid, other):
        cloud.add_spec(one)

    assert place.sync("--cloud") == (0, "", "")

    assert [cloud.specified(one) for one in (uuid, other)] == [None, OLD]


@pytest.mark.parametrize(
    "spec", ["", "{", "[]", request_spec("x").replace('"1.15"', '"2.0"'), '{"nova_object.name": 1}']
)
def test_a_spec_that_isnt_understood_stays_as_it_is(place: Place, cloud: Cloud, spec: str) -> None:
    """And keeps nobody from the rest."""
    bad, good = cloud.add_instances(2, machine=OLD)
    cloud.add_specs({bad: spec, good: request_spec(good)})

    said = place.sync("--cloud", "-v")

    assert said.code == 0
    assert f"({bad}): its request spec is left alone: " in said.err
    assert (cloud.spec(bad), cloud.specified(good)) == (spec, OLD)


@pytest.fixture
def small(mariadb: MariaDB, schema: Schema) -> Iterator[Cloud]:
    """A cloud whose request specs are in a column of 64 KiB, on a server that cuts what is too long."""
    before = mariadb.execute("SELECT @@GLOBAL.sql_mode")[0][0]
    with Cloud(mariadb, schema, "small_") as cloud:
        cloud.execute("ALTER TABLE request_specs MODIFY spec TEXT NOT NULL", (), "api")
        mariadb.execute("SET GLOBAL sql_mode = ''")
        yield cloud
        mariadb.execute("SET GLOBAL sql_mode = %s", None, (before,))


def test_a_spec_that_would_not_fit_is_not_cut(
    small: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the server's mode: half a spec is none."""
    place = Place(small, tmp_path, capsys)
    place.configure(api=True)
    full, good = small.add_instances(2, vm_state="stopped", machine=OLD)
    spec = request_spec(full, {"filler": "#"})
    spec = spec.replace("#", "#" * (65_535 - len(spec) + 1))
    small.add_specs({full: spec, good: request_spec(good)})
    assert len(small.spec(full)) == 65_535

    said = place.sync("--cloud", "-v")
    set_ = place.admin("set", full, NEW)

    text = "its request spec is left alone: it is too large for its column"
    assert said.code == 0
    assert f"({full}): {text}" in said.err
    assert (set_.code, text in set_.err, small.machine(full)) == (0, True, NEW)
    assert (small.spec(full), small.specified(good)) == (spec, OLD)


def test_a_spec_of_more_than_64_kib_is_written_where_it_fits(place: Place, cloud: Cloud) -> None:
    """As in every release that has a larger column."""
    uuid = cloud.add_instance(machine=OLD)
    cloud.add_spec(uuid, {"filler": "#" * 200_000})

    assert place.sync("--cloud") == (0, "", "")
    assert cloud.specified(uuid) == OLD


def test_upper_and_lower_case_are_another_spec(
    place: Place, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the database they are the same, but what somebody else wrote meanwhile stays."""
    uuid = cloud.add_instance(machine=OLD)
    cloud.add_spec(uuid, {"hw_machine_type": "Q35"})
    written = requestspecs.with_machine

    def slowly(spec: str, machine: str | None) -> str:
        cloud.execute("UPDATE request_specs SET spec = REPLACE(spec, 'Q35', 'q35')", (), "api")
        return written(spec, machine)

    monkeypatch.setattr(requestspecs, "with_machine", slowly)

    said = place.sync("--cloud", "-v")

    assert said.code == 0
    assert "changed by somebody else: look again" in said.err
    assert cloud.specified(uuid) == Q35


def test_nobody_writes_between_reading_a_spec_and_writing_it(
    place: Place, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often Nova saves it: it waits for a moment, and neither loses what it writes."""
    uuid = cloud.add_instance(vm_state="stopped", machine=OLD)
    cloud.add_spec(uuid, {"hw_rescue_bus": "ide"})
    replace, others, waiting = requestspecs.replace, [], []
    query = "UPDATE request_specs SET spec = REPLACE(spec, '\"ide\"', '\"usb\"')"

    def slowly(*values: object) -> None:
        other = threading.Thread(target=cloud.execute, args=(query, (), "api"))
        other.start()
        other.join(1)
        others.append(other)
        waiting.append(other.is_alive())
        replace(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(requestspecs, "replace", slowly)

    said = place.admin("set", uuid, NEW)
    for other in others:
        other.join()

    assert (said.code, waiting) == (0, [True])
    assert (cloud.specified(uuid), '"usb"' in cloud.spec(uuid)) == (NEW, True)


@pytest.mark.parametrize(
    "isolated",
    [False, pytest.param(True, marks=pytest.mark.needs(can_isolate(), "a newer MariaDB"))],
)
def test_what_nova_saves_at_the_same_time_is_never_lost(
    place: Place, cloud: Cloud, mariadb: MariaDB, nova: Nova, isolated: bool
) -> None:
    """Nova may overwrite what mthook wrote, as it reads first; the next run writes it again. Never the other way.

    MariaDB 11.6.2 and newer refuse that write, and then it is Nova's request that fails.
    """
    uuid = cloud.add_instance(vm_state="stopped", machine=OLD)
    nova.make_spec(uuid)
    if isolated:
        # Connections keep what was there when they were made.
        mariadb.stop()
        mariadb.recover()
        mariadb.execute("SET GLOBAL innodb_snapshot_isolation = 1")
    count = nova.spec(uuid)[1]["nova_object.data"]["num_instances"]
    done = threading.Event()
    saved = [0]

    def save() -> None:
        while not done.is_set():
            try:
                nova.save_spec(uuid)
                saved[0] += 1
            except NovaError as error:
                assert "(1020," in str(error)

    saver = threading.Thread(target=save)
    saver.start()
    try:
        for number in range(40):
            machine = (NEW, OLD)[number % 2]
            assert place.admin("set", uuid, machine, "--force").code == 0
    finally:
        done.set()
        saver.join()
        if isolated:
            mariadb.execute("SET GLOBAL innodb_snapshot_isolation = DEFAULT")

    assert place.sync("--cloud").code == 0
    machine, primitive = nova.spec(uuid)
    assert machine == cloud.machine(uuid) == OLD
    assert saved[0] > 10
    assert primitive["nova_object.data"]["num_instances"] == count + saved[0]


@pytest.mark.parametrize("fault", ["down", "read-only"])
def test_without_the_api_database_nothing_is_half_done(
    place: Place, cloud: Cloud, mariadb: MariaDB, fault: str
) -> None:
    """One line, code 1."""
    uuid = cloud.add_instance(vm_state="stopped", machine=OLD)
    cloud.add_spec(uuid)
    before = cloud.dump_all("api"), cloud.dump_all()
    if fault == "down":
        mariadb.stop()
    else:
        mariadb.execute("CREATE USER IF NOT EXISTS reader@'%' IDENTIFIED BY 'r'")
        mariadb.execute("GRANT ALL ON *.* TO reader@'%'")
        mariadb.execute("REVOKE READ ONLY ADMIN, SUPER ON *.* FROM reader@'%'")
        cell, api = (mariadb.url(cloud.databases[name], "reader", "r") for name in ("cell1", "api"))
        cloud.execute("UPDATE cell_mappings SET database_connection = %s", (cell,), "api")
        before = cloud.dump_all("api"), cloud.dump_all()
        place.connect_with(cell, api)
        mariadb.execute("SET GLOBAL read_only = 1")
    try:
        for said in (place.sync("--cloud"), place.admin("set", uuid, NEW)):
            errors = [line for line in said.err.splitlines() if UNKNOWN not in line]
            assert (said.code, said.out, len(errors)) == (1, "", 1), said
    finally:
        mariadb.recover()
        mariadb.execute("SET GLOBAL read_only = 0")
    assert (cloud.dump_all("api"), cloud.dump_all()) == before


def test_without_the_right_to_write_specs_a_set_is_undone(place: Place, cloud: Cloud) -> None:
    """It says which right is missing; the record is what it was."""
    uuid = cloud.add_instance(vm_state="stopped", machine=OLD)
    cloud.add_spec(uuid, {"hw_machine_type": Q35})
    api = cloud.databases["api"]
    cloud.mariadb.execute("CREATE USER IF NOT EXISTS looker@'%' IDENTIFIED BY 'l'")
    cloud.mariadb.execute(f"GRANT SELECT ON `{api}`.* TO looker@'%'")
    place.connect_with(cloud.cell_url(), cloud.mariadb.url(api, "looker", "l"))

    for said in (place.admin("set", uuid, NEW), place.admin("unset", uuid), place.sync("--cloud")):
        assert said.code == 1
        assert "UPDATE command denied" in said.err
    assert (cloud.machine(uuid), cloud.specified(uuid)) == (OLD, Q35)
    cloud.mariadb.execute("DROP USER looker@'%'")


def test_two_clouds_by_mistake_are_refused(
    place: Place, cloud: Cloud, mariadb: MariaDB, schema: Schema
) -> None:
    """The cells of one with the API database of the other: nothing is written in either."""
    with Cloud(mariadb, schema, "other_") as other:
        uuid = other.add_instance(machine=OLD)
        other.add_spec(uuid)
        cloud.add_spec(uuid)  # even so
        cloud.execute(
            "UPDATE cell_mappings SET database_connection = %s WHERE name = 'cell1'",
            (other.cell_url(),),
            "api",
        )
        before = [one.dump_all(name) for one in (cloud, other) for name in ("api", "cell1")]

        said = place.sync("--cloud")

        assert (said.code, len(said.err.splitlines())) == (1, 1)
        assert "does it belong to another cloud?" in said.err
        assert [one.dump_all(name) for one in (cloud, other) for name in ("api", "cell1")] == before


@pytest.fixture
def watching(place: Place) -> Iterator[subprocess.Popen[str]]:
    """The service, as systemd would run it."""
    program = str(Path(sys.executable).with_name("mthook-sync"))
    with subprocess.Popen(
        [program, "--config-file", str(place.config), "--cloud", "--watch"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def _until(what: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_watch_sees_what_nova_does_through_an_outage_and_ends_when_told(
    cloud: Cloud, mariadb: MariaDB, watching: subprocess.Popen[str]
) -> None:
    """Within seconds; nothing is looked for that isn't new."""
    first = cloud.add_instance(machine=OLD, task_state="spawning", vm_state="building")
    cloud.add_spec(first)
    cloud.set_state(first, task_state=None, vm_state="active")
    _until(lambda: cloud.specified(first) == OLD)
    second = cloud.add_instance(machine=NEW)
    mariadb.stop()
    time.sleep(8)
    mariadb.start()
    cloud.add_spec(second)
    _until(lambda: cloud.specified(second) == NEW)

    watching.send_signal(signal.SIGTERM)
    _, err = watching.communicate(timeout=20)

    assert watching.returncode == 0, err
    assert 1 <= err.count("Can't connect") <= 2, err
