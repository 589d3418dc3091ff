# SPDX-License-Identifier: Apache-2.0
"""``get`` and ``list --unset`` answer what real Nova does, over several cells."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping

import pytest

from tests.lab.nova import Cloud
from tests.nova.client import Nova
from tests.programs import Said

from .conftest import Run

UNKNOWN = str(uuids.UUID(int=0xDEAD))


@pytest.fixture
def fleet(cloud: Cloud) -> Mapping[str, str]:
    """Instances of every kind in two cells and cell0, by what is special about them."""
    cloud.add_cell("cell2")
    about = {
        "running": {},
        "stopped": {"vm_state": "stopped", "host": "beta"},
        "offloaded": {"vm_state": "shelved_offloaded", "host": None},
        "soft-deleted": {"vm_state": "soft-delete"},
        "in error": {"vm_state": "error"},
        "rebuilding": {"task_state": "rebuild_spawning"},
        "building": {"vm_state": "building", "task_state": "spawning"},
        "deleted": {"deleted": True},
        "deleted with a machine type": {"deleted": True, "machine": "pc"},
        "alias": {"machine": "q35"},
        "versioned": {"machine": "pc-i440fx-7.2", "vm_state": "stopped"},
    }
    found = {
        f"{what} in {cell}": cloud.add_instance(cell=cell, **columns)
        for cell in ("cell1", "cell2")
        for what, columns in about.items()
    }
    found["failed"] = cloud.add_instance(cell="cell0", host=None, vm_state="error")
    found["failed with a machine type"] = cloud.add_instance(
        cell="cell0", host=None, vm_state="error", machine="pc"
    )
    return found


def test_get_answers_as_nova_does(nova: Nova, run: Run, fleet: Mapping[str, str]) -> None:
    """Codes 0, 2 and 3, and the value where there is one."""
    for what, uuid in {**fleet, "unknown": UNKNOWN}.items():
        said = run("get", uuid)
        theirs = nova.get(uuid)

        assert (what, said.code) == (what, theirs.code)
        if said.code == 0:
            assert said.out == theirs.output
        assert said.err.count("\n") == (0 if said.code == 0 else 1)


def test_list_has_the_instances_that_nova_lists(
    cloud: Cloud, nova: Nova, run: Run, fleet: Mapping[str, str]
) -> None:
    """Neither building nor deleted ones, nor those that failed in cell0."""
    said = run("list", "--unset", "-f", "value", "-c", "UUID")
    theirs = nova.list_unset()

    assert (said.code, said.err) == (theirs.code, "") == (3, "")
    assert sorted(said.out.split()) == sorted(theirs.output.split())
    listed = [what for what, uuid in fleet.items() if uuid in said.out]
    kinds = ("running", "stopped", "offloaded", "soft-deleted", "in error", "rebuilding")
    assert listed == [f"{kind} in {cell}" for cell in ("cell1", "cell2") for kind in kinds]


def test_the_rows_tell_where_an_instance_is(
    cloud: Cloud, run: Run, fleet: Mapping[str, str]
) -> None:
    """Name, state, host and cell; by cell and UUID."""
    rows = [
        line.split(",")
        for line in run("list", "--unset", "-f", "csv", "--quote", "none").out.splitlines()
    ]

    assert rows[0] == ["UUID", "Display name", "State", "Host", "Cell"]
    assert [fleet["stopped in cell2"], "web", "stopped", "beta", "cell2"] in rows
    assert [fleet["offloaded in cell1"], "web", "shelved_offloaded", "", "cell1"] in rows
    assert [row[4] for row in rows[1:]] == ["cell1"] * 6 + ["cell2"] * 6
    assert [row[0] for row in rows[1:7]] == sorted(row[0] for row in rows[1:7])


def test_one_cell_alone_is_listed(
    cloud: Cloud, nova: Nova, run: Run, fleet: Mapping[str, str]
) -> None:
    """Nova lists all cells then: its one-cell result is overwritten."""
    for cell in ("cell1", "cell2"):
        uuid = cloud.cell_uuid(cell)
        said = run("list", "--unset", "-f", "value", "-c", "UUID", "--cell-uuid", uuid)

        assert said.code == 3
        assert {fleet[f"running in {cell}"], *said.out.split()} <= {
            uuid for what, uuid in fleet.items() if what.endswith(cell)
        }
        assert len(said.out.split()) == 6
        assert len(nova.list_unset(uuid).output.split()) == 12


def test_an_unknown_cell_is_code_2(nova: Nova, run: Run, fleet: Mapping[str, str]) -> None:
    """As with Nova."""
    said = run("list", "--unset", "--cell-uuid", UNKNOWN)

    assert (said.code, said.out) == (nova.list_unset(UNKNOWN).code, "") == (2, "")


def test_a_state_selects(cloud: Cloud, run: Run, fleet: Mapping[str, str]) -> None:
    """What can be set without --force, say."""
    said = run("list", "--unset", "--state", "stopped", "-f", "value", "-c", "UUID")

    assert sorted(said.out.split()) == sorted(fleet[f"stopped in cell{n}"] for n in (1, 2))


def test_none_unset_is_code_0(cloud: Cloud, nova: Nova, run: Run) -> None:
    """As with Nova."""
    cloud.add_instance(machine="pc")

    assert run("list", "--unset", "-f", "value").code == nova.list_unset().code == 0


def test_a_cell_that_cannot_be_reached_is_told_and_the_others_are_listed(
    cloud: Cloud, run: Run, fleet: Mapping[str, str]
) -> None:
    """Code 1, one line, no password."""
    cloud.execute(
        "UPDATE cell_mappings SET database_connection = %s WHERE name = 'cell1'",
        (cloud.mariadb.url("nova_nowhere"),),
        "api",
    )

    said = run("list", "--unset", "-f", "value", "-c", "Cell")

    assert (said.code, said.out.split()) == (1, ["cell2"] * 6)
    assert said.err.startswith("mthook-admin: Nova's cell cell1: ")
    assert (said.err.count("\n"), "s3cret" in said.err) == (1, False)


def test_one_cell_without_an_api_database_is_listed_too(
    cloud: Cloud, run: Run, fleet: Mapping[str, str], tmp_path: object, config: object
) -> None:
    """[database] connection alone."""
    cloud.mthook_conf(config.parent, host="admin", api=False)  # type: ignore[attr-defined]

    said = run("list", "--unset", "-f", "value", "-c", "UUID")
    assert (said.code, len(said.out.split())) == (3, 6)

    said = run("list", "--unset", "--cell-uuid", UNKNOWN)
    assert (said.code, said.err.count("\n")) == (1, 1)


def test_an_instance_is_named_by_novas_name_or_the_beginning_of_its_uuid(
    cloud: Cloud, run: Run
) -> None:
    """The database takes upper for lower case, Nova doesn't. A deleted one has no name."""
    uuid = cloud.add_instance(machine="pc-q35-7.2", display_name="Shop")
    cloud.add_instance(machine="pc", display_name="shop")
    cloud.add_instance(machine="pc", display_name="Shop", deleted=True)

    for text in ("Shop", uuid[:13], uuid[:13].upper(), uuid):
        assert run("get", text) == Said(0, "pc-q35-7.2\n", "")
    assert run("get", "SHOP").code == 2
    other = cloud.add_instance(machine="pc", display_name="Shop")
    said = run("get", "Shop")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("mthook-admin: several guests match 'Shop', say which: ")
    assert uuid in said.err and other in said.err
