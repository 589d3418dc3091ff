# SPDX-License-Identifier: Apache-2.0
"""A run for the whole cloud."""

from __future__ import annotations

import json
import os
import tracemalloc
from datetime import timedelta
from typing import Any, Callable

import pytest

from mthook.errors import NovaError
from mthook.locks import only_one
from mthook.nova import reading, requestspecs, tables
from mthook.nova.instance import MACHINE_KEY
from mthook.operations import specs
from tests.programs import Said
from tests.unit.nova.novas import insert, put
from tests.unit.operations.cloud.conftest import Controller, utcnow

PC, Q35 = "pc-i440fx-7.2", "q35"


def test_a_request_spec_gets_what_is_recorded(controller: Controller) -> None:
    """In all cells, whether it had none or another one; a second run has nothing to do."""
    lacks = controller.add(PC)
    other = controller.add(PC, Q35, cell="cell2")
    same = controller.add(Q35, Q35)
    before = controller.spec(same)

    assert controller.sync() == (0, "", "")

    assert [controller.specified(one) for one in (lacks, other)] == [PC, PC]
    assert controller.spec(same) == before
    assert controller.sync("--dry-run") == (0, "nothing to do\n", "")


def test_a_dry_run_says_what_would_be_done_and_does_nothing(controller: Controller) -> None:
    """Not even a lock is made."""
    uuid = controller.add(PC, Q35)
    gone = controller.add(None, host=None, vm_state="shelved_offloaded", display_name="db")

    said = controller.sync("--dry-run", "-v")

    assert sorted(said.out.splitlines()) == sorted(
        [
            f"would write {PC} of web ({uuid}) to its request spec in place of {Q35}",
            f"would write pc of db ({gone}) to Nova, from the built-in default",
            f"would write pc of db ({gone}) to its request spec",
        ]
    )
    assert said.err.startswith("mthook-sync: dry run: guests: 2, ")
    assert (controller.specified(uuid), controller.recorded(gone)) == (Q35, [])
    assert not controller.path.parent.exists()


def test_what_isnt_recorded_is_left_to_the_host(controller: Controller) -> None:
    """It alone knows the guest; what the request spec says is only what the image said."""
    uuid = controller.add(None, Q35)
    failed = controller.add(None, host=None, vm_state="error")

    assert controller.sync("-v").code == 0

    assert (controller.specified(uuid), controller.recorded(uuid)) == (Q35, [])
    assert (controller.specified(failed), controller.recorded(failed)) == (None, [])


@pytest.mark.parametrize(
    ("spec", "more", "arch", "machine"),
    [
        (PC, "[libvirt]\nhw_machine_type = x86_64=q35\n", None, PC),
        ("", "[libvirt]\nhw_machine_type = x86_64=q35\n", "x86_64", "q35"),
        ("", "", "aarch64", "virt"),
        (None, "", "x86_64", "pc"),
        ("none", "", "x86_64", "pc"),
    ],
)
def test_an_instance_that_no_host_has_gets_what_nova_would_give_it(
    controller: Controller, spec: str | None, more: str, arch: str | None, machine: str
) -> None:
    """Image property, configuration, built-in default."""
    controller.configure(more)
    uuid = controller.add(None, spec, host=None, vm_state="shelved_offloaded")
    if arch:
        put(controller.databases["cell1"], uuid, arch, key="image_hw_architecture")

    assert controller.sync().code == 0

    assert controller.recorded(uuid) == [machine]
    if spec not in (None, "none"):
        assert controller.specified(uuid) == machine


def test_one_of_an_unknown_architecture_is_left_alone(controller: Controller) -> None:
    """Nobody guesses."""
    uuid = controller.add(None, host=None, vm_state="shelved_offloaded")
    put(controller.databases["cell1"], uuid, "riscv64", key="image_hw_architecture")

    said = controller.sync("-v")

    assert f"web ({uuid}): no domain here, and no default machine type for riscv64" in said.err
    assert controller.recorded(uuid) == []


def test_an_image_property_that_is_no_name_is_an_error_of_that_instance(
    controller: Controller,
) -> None:
    """The others are done."""
    bad = controller.add(None, "p c", host=None, vm_state="shelved_offloaded")
    good = controller.add(PC)

    said = controller.sync()

    assert (said.code, len(said.err.splitlines())) == (1, 1)
    assert bad in said.err
    assert controller.specified(good) == PC


@pytest.mark.parametrize(
    "state",
    [
        {"task_state": "resize_prep"},
        {"vm_state": "resized"},
        {"vm_state": "rescued"},
    ],
)
def test_what_nova_is_at_work_on_waits_for_the_next_run(
    controller: Controller, state: dict[str, str]
) -> None:
    """What is recorded meanwhile may be a rescue image's, or what a revert takes back."""
    uuid = controller.add(Q35, PC, **state)

    said = controller.sync("-v")

    assert said.code == 0
    assert f"web ({uuid}): Nova is at work on it" in said.err
    assert controller.specified(uuid) == PC


@pytest.fixture
def rescued(controller: Controller) -> Callable[[str, float], str]:
    """Add an instance that was rescued an hour ago, by its request spec and the age of its record in minutes."""

    def add(spec: str, minutes: float) -> str:
        uuid, cell1 = controller.add(None, spec), controller.databases["cell1"]
        ago = {number: utcnow() - timedelta(minutes=number) for number in (minutes, 60, 58)}
        record = {"instance_uuid": uuid, "key": MACHINE_KEY, "value": Q35, "deleted": 0}
        insert(cell1, tables.PROPERTIES, **record, updated_at=ago[minutes])
        for action, began in (("rescue", ago[60]), ("unrescue", ago[58])):
            times = {"start_time": began, "updated_at": began + timedelta(seconds=8)}
            insert(cell1, tables.ACTIONS, instance_uuid=uuid, action=action, **times)
        return uuid

    return add


@pytest.mark.parametrize(
    ("before", "minutes", "machine"), [(PC, 60, PC), (PC, 5, Q35), ("", 60, Q35)]
)
def test_what_a_rescue_has_recorded_is_left_to_the_host(
    controller: Controller,
    rescued: Callable[[str, float], str],
    before: str,
    minutes: float,
    machine: str,
) -> None:
    """It puts the record right, or writes it once more to confirm it.

    A request spec without any isn't left so: it would bring just that.
    """
    uuid = rescued(before, minutes)

    said = controller.sync("-v")

    assert controller.specified(uuid) == machine
    unconfirmed = f"web ({uuid}): Nova has {Q35} recorded by itself, and the instance's host"
    assert (unconfirmed in said.err) == (machine == PC)


@pytest.mark.parametrize(
    ("columns", "machine"), [({}, PC), ({"host": None, "vm_state": "shelved_offloaded"}, Q35)]
)
def test_what_nova_compute_has_filled_in_is_left_to_the_host(
    controller: Controller, columns: dict[str, str | None], machine: str
) -> None:
    """Nova had lost the record, and has its default there until the host puts that right, if it is on one."""
    uuid = controller.add(None, PC, **columns)
    record = {"instance_uuid": uuid, "key": MACHINE_KEY, "value": Q35, "deleted": 0}
    insert(controller.databases["cell1"], tables.PROPERTIES, **record, created_at=utcnow())

    assert controller.sync().code == 0
    assert controller.specified(uuid) == machine


def test_ironics_instances_and_cell0s_and_deleted_ones_are_left_out(controller: Controller) -> None:
    """None of them has a machine type."""
    cell1 = controller.databases["cell1"]
    nodes = (("alpha", "n1", "ironic", 0), ("alpha", "n2", "QEMU", 0), ("alpha", "n3", "ironic", 7))
    names = ("host", "hypervisor_hostname", "hypervisor_type", "deleted")
    for values in nodes:
        insert(cell1, tables.COMPUTE_NODES, **dict(zip(names, values)))
    out = [
        controller.add(PC, node="n1"),
        controller.add(PC, cell="cell0"),
        controller.add(PC, deleted=5),
        controller.add(PC, vm_state="building"),
    ]
    done = [controller.add(PC, node="n2"), controller.add(PC, node="n3"), controller.add(PC)]

    assert "mthook-sync: guests: 3, " in controller.sync("-v").err

    assert [controller.specified(one) for one in out] == [None] * 4
    assert [controller.specified(one) for one in done] == [PC] * 3


@pytest.mark.parametrize(
    ("spec", "reason", "text"),
    [
        (None, "spec_missing", "there is none"),
        ("{", "spec_not_json", "it isn't JSON"),
        ('{"nova_object.name": "Flavor"}', "spec_unknown", "it lacks Nova's RequestSpec"),
    ],
)
def test_a_spec_that_isnt_understood_is_left_alone_and_named(
    controller: Controller, spec: str | None, reason: str, text: str
) -> None:
    """In words and as data; the others are done."""
    bad, good = controller.add(PC, spec), controller.add(PC)

    said = controller.sync("-f", "json", "-v")

    (one,) = json.loads(said.out)["left_alone"]
    assert (one["uuid"], one["display_name"], one["reason"]) == (bad, "web", reason)
    assert f"web ({bad}): its request spec is left alone: {text}" in said.err
    assert said.code == 0
    assert controller.specified(good) == PC


def test_a_spec_that_somebody_else_changes_meanwhile_keeps_that(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare and set, by bytes."""
    uuid = controller.add(PC, "Q35")
    read = requestspecs.with_machine

    def slowly(spec: str, machine: str | None) -> str:
        changed = spec.replace("Q35", "q35")  # the same to a database that ignores case
        insert(controller.databases["api"], tables.REQUEST_SPECS, instance_uuid="x", spec="")
        with controller.databases["api"].begin() as connection:
            requestspecs.replace(connection, uuid, spec, changed)
        return read(spec, machine)

    monkeypatch.setattr(requestspecs, "with_machine", slowly)

    said = controller.sync("-v")

    assert "changed by somebody else: look again" in said.err
    assert (said.code, controller.specified(uuid)) == (0, "q35")


def test_the_document_is_that_of_a_hosts_run(controller: Controller) -> None:
    """The same keys; nothing done is an empty list."""
    uuid = controller.add(PC, Q35)

    first, second = (json.loads(controller.sync("-f", "json").out) for _ in range(2))

    nothing: dict[str, Any] = dict.fromkeys(("source", "reason"))
    assert first["acts"] == [
        {
            **{"kind": "specified", "uuid": uuid, "old": Q35, "new": PC},
            **dict.fromkeys(("name", "display_name"), "web"),
            **nothing,
            "changes": [],
        }
    ]
    assert (first["guests"], first["dry_run"], first["counts"]["specified"]) == (1, False, 1)
    assert (first["left_alone"], first["errors"], second["acts"]) == ([], [], [])
    assert set(first) == {"dry_run", "guests", "acts", "left_alone", "errors", "counts"}


def test_another_clouds_cell_is_refused(controller: Controller) -> None:
    """By an error that names it; the other cell is done."""
    foreign = controller.add(PC, cell="cell2", mapped=None)
    good = controller.add(PC)

    said = controller.sync()

    assert said == Said(
        1,
        "",
        "mthook-sync: Nova's cell cell2: the API database maps none of its instances to it: does it belong"
        " to another cloud?\n",
    )
    assert (controller.specified(foreign), controller.specified(good)) == (None, PC)


def test_an_instance_that_is_mapped_to_another_cell_is_not_this_ones(
    controller: Controller,
) -> None:
    """As while it is resized from cell to cell."""
    uuid = controller.add(PC, mapped="cell2")
    controller.add(PC)

    assert controller.sync("-v").code == 0

    assert controller.specified(uuid) is None


def test_a_cell_that_fails_does_not_keep_the_others_from_it(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one error."""
    uuid = controller.add(PC, cell="cell2")
    controller.add(PC)
    page = reading.page

    def fail_once(*arguments: Any) -> Any:
        monkeypatch.setattr(reading, "page", page)
        raise NovaError("Nova's cell cell1: gone")

    monkeypatch.setattr(reading, "page", fail_once)

    assert controller.sync() == (1, "", "mthook-sync: Nova's cell cell1: gone\n")
    assert controller.specified(uuid) == PC


def test_the_api_database_fails_once_not_for_each_instance(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the right to write request specs is missing."""
    for cell in ("cell1", "cell1", "cell2"):
        controller.add(PC, cell=cell)

    def denied(*_: object) -> None:
        raise NovaError("Nova's API database: UPDATE command denied")

    monkeypatch.setattr(requestspecs, "replace", denied)

    assert controller.sync() == (1, "", "mthook-sync: Nova's API database: UPDATE command denied\n")


def test_one_run_at_a_time(controller: Controller) -> None:
    """A second one is told who runs. A host's sync isn't in the way."""
    controller.add(PC)
    controller.sync()
    directory = os.path.dirname(controller.path)

    with only_one(directory):
        assert controller.sync().code == 0
    with only_one(directory, "cloud.lock"):
        assert controller.sync().code == 3
        assert controller.sync("--dry-run").code == 0


@pytest.mark.parametrize(
    ("args", "more"),
    [
        (["--only", "push"], ""),
        ([], "[sync]\nwrite_back = false\n"),
        (["--watch", "--dry-run"], ""),
        (["--watch", "-f", "json"], ""),
    ],
)
def test_what_cant_be_asked_for_is_a_wrong_command_line(
    controller: Controller, args: list[str], more: str
) -> None:
    """In one line."""
    controller.configure(more)

    said = controller.sync(*args)

    assert (said.code, said.out, len(said.err.splitlines())) == (2, "", 1)


def test_without_the_api_database_there_is_no_cloud(controller: Controller) -> None:
    """The cell alone doesn't do."""
    controller.config.write_text("[database]\nconnection = mysql+pymysql://n:n@db.example/cell1\n")

    assert controller.sync().code == 2


def test_a_dry_run_is_for_those_who_only_look_too(controller: Controller) -> None:
    """[sync] write_back = false doesn't forbid it."""
    controller.configure("[sync]\nwrite_back = false\n")
    controller.add(PC)

    assert controller.sync("--dry-run").code == 0


def test_more_instances_take_no_more_memory(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what is read nor what is done is kept."""
    monkeypatch.setattr(reading, "_BATCH", 20)
    monkeypatch.setattr(specs, "_BATCH", 10)

    def peak(count: int) -> int:
        for _ in range(count):
            controller.add(PC)
        tracemalloc.start()
        try:
            assert controller.sync("-f", "json").code == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(20)
    few, many = peak(100), peak(500)

    assert many < few * 2 + 300_000  # what is printed is kept by the test
