# SPDX-License-Identifier: Apache-2.0
"""``plan``, ``apply`` and ``undo`` on Nova's real databases, from an administrator's host."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.lab.nova import Cloud
from tests.nova import happenings, kills

from .conftest import Run

OLD, NEW = "pc-q35-6.2", "pc-q35-7.2"


@pytest.fixture
def many(cloud: Cloud) -> list[str]:
    """Stopped instances of several hosts; each but the last ones with a request spec."""
    return _filled(cloud, "cell1")


def _filled(cloud: Cloud, *cells: str) -> list[str]:
    found = [
        uuid
        for cell in cells
        for host in ("alpha", "beta")
        for uuid in cloud.add_instances(10, host=host, vm_state="stopped", machine=OLD, cell=cell)
    ]
    for uuid in found[:-3]:
        cloud.add_spec(uuid, {"hw_machine_type": OLD, "hw_disk_bus": "virtio"})
    return found


class Desk:
    """Where an operator makes a plan and applies it."""

    def __init__(self, run: Run, directory: Path) -> None:
        self.run = run
        self.path = directory / "plan.json"

    def plan(self, *words: str) -> dict[str, Any]:
        """Make a plan for all hosts, and keep it."""
        said = self.run("plan", *words, "--all-hosts")
        assert said.code == 0, said.err
        self.path.write_text(said.out)
        return dict(json.loads(said.out))

    def apply(self, *words: str) -> Any:
        """Apply the plan."""
        return self.run("apply", str(self.path), *words)


@pytest.fixture
def desk(run: Run, tmp_path: Path) -> Desk:
    """An operator's."""
    return Desk(run, tmp_path)


def dumped(cloud: Cloud) -> dict[str, Any]:
    """Return all rows of all tables of all databases."""
    return {name: cloud.dump_all(name) for name in cloud.databases}


def test_a_plan_changes_nothing_and_is_taken_back_exactly(cloud: Cloud, desk: Desk) -> None:
    """Whole dumps of all tables of all cells are compared, times and ids included."""
    cloud.add_cell("cell2")
    many = _filled(cloud, "cell1", "cell2")
    before = dumped(cloud)

    plan = desk.plan("set", "--to", NEW, "--machine", "pc-q35-6.*", "--reason", "QEMU 12")

    assert dumped(cloud) == before
    assert {one["uuid"] for one in plan["guests"]} == set(many)
    assert {
        (one["old"], one["new"], one["host"] in ("alpha", "beta")) for one in plan["guests"]
    } == {(OLD, NEW, True)}
    said = desk.apply()
    assert said.code == 0, said.err
    assert {cloud.machine(uuid) for uuid in many} == {NEW}
    assert {cloud.specified(uuid) for uuid in many[:-3]} == {NEW}
    assert desk.run("undo", "--last").code == 0
    assert dumped(cloud) == before


def test_what_had_no_machine_type_has_none_again(cloud: Cloud, many: list[str], desk: Desk) -> None:
    """Nor has the row beside it, which adding one changes too, another time; with buses and disks."""
    unset = cloud.add_instances(3, vm_state="stopped")
    ide = cloud.add_instance(
        vm_state="stopped", machine="pc-i440fx-6.2", metadata={"image_hw_cdrom_bus": "ide"}
    )
    happenings.add_disk(cloud, ide, "/dev/hda", "ide")
    before = dumped(cloud)

    desk.plan("set", "--to", NEW, "--allow", "family", "--with-buses")
    said = desk.apply()

    assert said.code == 0, said.err
    assert {cloud.machine(uuid) for uuid in [*many, *unset, ide]} == {NEW}
    assert happenings.disks(cloud, ide) == [("/dev/sda", "sata")]
    assert desk.run("undo", "--last").code == 0
    assert dumped(cloud) == before


def test_single_changes_are_taken_back_exactly(cloud: Cloud, run: Run) -> None:
    """As one: a record, none before, device buses, a request spec alone; with times and ids."""
    recorded, unset = (
        cloud.add_instance(vm_state="stopped", machine=one) for one in ("pc-i440fx-6.2", None)
    )
    ide = cloud.add_instance(
        vm_state="stopped", machine="pc-i440fx-6.2", metadata={"image_hw_cdrom_bus": "ide"}
    )
    happenings.add_disk(cloud, ide, "/dev/hda", "ide")
    specified = cloud.add_instance(vm_state="stopped", machine=NEW)
    for uuid in (recorded, ide, specified):
        cloud.add_spec(uuid, {"hw_machine_type": "pc-i440fx-6.2"})
    uuids, before = [recorded, unset, ide, specified], dumped(cloud)

    said = run("set", *uuids, NEW, "--allow", "family", "--with-buses")

    assert said.code == 0, said.err
    assert {cloud.machine(uuid) for uuid in uuids} == {NEW}
    assert cloud.specified(specified) == NEW
    said = run("undo", "--last")
    assert (said.code, "4 put back" in said.err) == (0, True), said.err
    assert dumped(cloud) == before


def test_what_was_erased_is_recorded_again(cloud: Cloud, many: list[str], desk: Desk) -> None:
    """As an operator's wish: in a row of its own."""
    before = dumped(cloud)["api"]

    desk.plan("unset", "--force")
    assert desk.apply().code == 0
    assert {cloud.machine(uuid) for uuid in many} == {None}
    assert desk.run("undo", "--last").code == 0

    assert {cloud.machine(uuid) for uuid in many} == {OLD}
    assert all(row["updated_at"] for uuid in many for row in cloud.rows(uuid))
    assert dumped(cloud)["api"] == before


def test_another_hosts_instance_keeps_its_record_unless_forced(many: list[str], desk: Desk) -> None:
    """That host's sync would write it back."""
    plan = desk.plan("unset")

    assert {one["refused"]["reason"] for one in plan["guests"]} == {"error"}
    assert desk.apply().err.startswith("nothing to do")


def test_what_has_changed_is_left_alone(cloud: Cloud, many: list[str], desk: Desk) -> None:
    """Another machine type, another host, a running guest, another request spec, or gone."""
    desk.plan("set", "--to", NEW)
    other, moved, running, specified, gone, *rest = many
    happenings.change(cloud, other, "pc-q35-7.0")
    cloud.set_state(moved, host="gamma")
    cloud.set_state(running, vm_state="active")
    cloud.execute(
        "UPDATE request_specs SET spec = REPLACE(spec, %s, 'pc-q35-7.0') WHERE instance_uuid = %s",
        (OLD, specified),
        "api",
    )
    cloud.delete(gone)

    said = desk.apply()

    assert said.code == 1
    for uuid, words in (
        (other, "changed since: Nova's record"),
        (moved, "it is on gamma now"),
        (running, "is active in Nova"),
        (specified, "changed since: its request spec"),
        (gone, "gone"),
    ):
        assert words in next(line for line in said.err.splitlines() if uuid in line), said.err
    assert {cloud.machine(uuid) for uuid in rest} == {NEW}
    assert [cloud.machine(uuid) for uuid in (other, moved, running)] == ["pc-q35-7.0", OLD, OLD]


def test_what_was_changed_since_isnt_taken_back(cloud: Cloud, many: list[str], desk: Desk) -> None:
    """By whomever, in Nova's record or in the request spec; the others are."""
    desk.plan("set", "--to", NEW)
    assert desk.apply().code == 0
    other, specified, *rest = many
    happenings.change(cloud, other, "pc-q35-7.0")
    cloud.execute(
        "UPDATE request_specs SET spec = REPLACE(spec, %s, 'pc-q35-7.0') WHERE instance_uuid = %s",
        (NEW, specified),
        "api",
    )

    said = desk.run("undo", "--last")

    assert said.code == 1
    assert said.err.count("left alone: changed since") == 2
    assert [cloud.machine(uuid) for uuid in (other, specified)] == ["pc-q35-7.0", NEW]
    assert {cloud.machine(uuid) for uuid in rest} == {OLD}


def test_what_nova_wrote_by_itself_comes_back_as_an_operators_wish(
    cloud: Cloud, desk: Desk
) -> None:
    """With its own times the guest's host would take the change for the wish, and write that back."""
    uuid = cloud.add_instance(vm_state="stopped", machine=OLD)
    happenings.age(cloud, uuid)
    happenings.overwrite(cloud, uuid, "resize", OLD)
    (row,) = cloud.rows(uuid)

    desk.plan("set", "--to", NEW)
    assert desk.apply().code == 0
    time.sleep(3)
    assert desk.run("undo", "--last").code == 0

    (again,) = cloud.rows(uuid)
    assert (again["value"], again["id"]) == (OLD, row["id"])
    assert again["updated_at"] > row["updated_at"]


def test_what_is_so_of_this_host_is_said_once(desk: Desk, many: list[str]) -> None:
    """An administrator's host has no QEMU and no catalog, and hundreds of lines that say so hide the others."""
    said = desk.run("plan", "set", "--to", NEW, "--all-hosts")
    assert said.err.count("what a QEMU offers isn't known here") == 1
    desk.path.write_text(said.out)

    for words in (("--max", "4"), ("--parallel", "2")):
        err = desk.apply(*words).err
        assert err.count("what a QEMU offers isn't known here") == 1
        assert err.count("history isn't kept") == 1


def test_several_processes_share_the_guests(cloud: Cloud, many: list[str], desk: Desk) -> None:
    """Each guest is one's; what they find is one account. The limit is one for all."""
    desk.plan("set", "--to", NEW)

    assert "7 changed" in desk.apply("--parallel", "3", "--max", "7").err
    assert sum(cloud.machine(uuid) == NEW for uuid in many) == 7
    assert f"{len(many) - 7} changed" in desk.apply("--parallel", "2").err
    assert {cloud.machine(uuid) for uuid in many} == {NEW}


def test_a_database_that_fails_stops_it_and_it_goes_on(
    cloud: Cloud, many: list[str], desk: Desk, hasty: None
) -> None:
    """In one process or several: one line, and the rest with the next run."""
    desk.plan("set", "--to", NEW)
    desk.apply("--max", "5")
    cloud.mariadb.pause()
    try:
        for words in ((), ("--parallel", "2")):
            said = desk.apply(*words)
            assert said.code == 1
            assert "Traceback" not in said.err
    finally:
        cloud.mariadb.resume()

    assert desk.apply().code == 0
    assert {cloud.machine(uuid) for uuid in many} == {NEW}


def test_killed_at_any_moment_each_is_changed_just_once(cloud: Cloud, desk: Desk) -> None:
    """Applied and then taken back; what the server has counted is one change a guest each way.

    ``python -m bench --only plans`` does so with more instances and at 50 moments.
    """
    uuids = cloud.add_instances(100, vm_state="stopped", machine=OLD)
    for uuid in uuids:
        cloud.add_spec(uuid, {"hw_machine_type": OLD})
    desk.plan("set", "--to", NEW)
    moments = random.Random(14)

    with kills.counting(cloud):
        for words in (["apply", str(desk.path)], ["undo", "--last"]):
            assert kills.killed(lambda *argv: desk.run(*argv).code, words, 4, moments, 0.3)
            said = desk.run(*words)
            assert said.code == 0, said.err
            assert kills.taken(cloud) == [Counter(uuids), Counter(uuids)]
    assert {cloud.machine(uuid) for uuid in uuids} == {OLD}
