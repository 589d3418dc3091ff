# SPDX-License-Identifier: Apache-2.0
"""mthook-status on Nova's real databases, reached and not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mthook.catalog.store import Catalog
from mthook.text import now
from mthook.tools import status
from tests.lab import MariaDB
from tests.lab.nova import Cloud
from tests.nova import happenings

RECORDED = "Machine types recorded"
SPECS = "Request specs"
SNAPSHOTS = "Machine types in snapshots"
NO_GUESTS = "There are no guests on this host."


class Desk:
    """An operator's place at a host without guests, and with Nova's databases."""

    def __init__(self, cloud: Cloud, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.cloud = cloud
        self.directory = directory
        self._capsys = capsys
        node = directory / "node.xml"
        node.write_text("<node/>")
        self._libvirt = {"connection_uri": f"test://{node}"}
        self._catalog = directory / "lib" / "catalog.sqlite"
        with Catalog.open(str(self._catalog)) as catalog:
            catalog.set_last_sync(now(), ok=True)
        self.files = [self.configure()]

    def configure(self, **more: object) -> Path:
        """Write mthook.conf; see :meth:`Cloud.mthook_conf`."""
        return self.cloud.mthook_conf(
            self.directory,
            catalog=self._catalog,
            libvirt=self._libvirt,
            **more,  # type: ignore[arg-type]
        )

    def check(self, title: str, *more: str) -> tuple[int, str]:
        """Return result and details of a check."""
        options = [word for file in self.files for word in ("--config-file", str(file))]
        self._capsys.readouterr()
        code = status.main([*options, "upgrade", "check", "--json", *more])
        out, err = self._capsys.readouterr()
        assert err == ""
        assert self.cloud.mariadb.password not in out
        checks = json.loads(out)["checks"]
        assert code == max(one["result"] for one in checks)
        self.answer = json.loads(out)["answer"]
        return next((one["result"], one["details"]) for one in checks if one["check"] == title)


@pytest.fixture
def desk(cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    """The host, and databases without instances."""
    return Desk(cloud, tmp_path, capsys)


def test_instances_without_a_machine_type_are_counted_over_all_cells(desk: Desk) -> None:
    """As real Nova counts them: not the deleted, the building and those that never ran."""
    desk.cloud.add_cell("cell2")
    desk.cloud.add_instances(2)
    desk.cloud.add_instances(1, host="beta", vm_state="stopped")
    desk.cloud.add_instances(1, host=None, vm_state="shelved_offloaded", cell="cell2")
    desk.cloud.add_instance(machine="pc-i440fx-6.2")
    desk.cloud.add_instance(vm_state="building")
    desk.cloud.add_instance(vm_state="error", cell="cell0")
    desk.cloud.add_instance(deleted=True)
    before = desk.cloud.dump_all()

    assert desk.check(RECORDED) == (
        2,
        "Nova has no machine type recorded for 4 instances. They get the new default."
        " 'mthook-admin list --unset --guests-only' lists them; 'mthook-sync' on their hosts records it,"
        " and 'mthook-sync --cloud' on a controller for those on no host."
        f" {NO_GUESTS}",
    )
    assert desk.cloud.dump_all() == before
    assert desk.answer.startswith("NO: 4 instances would change: ")


def test_more_instances_than_one_query_returns_are_counted(desk: Desk) -> None:
    """Page by page."""
    desk.cloud.add_instances(2500)

    assert "for 2,500 instances" in desk.check(RECORDED)[1]


def test_where_every_instance_has_one_all_is_well(desk: Desk) -> None:
    """In each cell that has instances of hosts."""
    desk.cloud.add_cell("cell2")
    desk.cloud.add_instance(machine="pc")

    assert desk.check(RECORDED) == (
        0,
        f"Every instance in 2 cells of Nova has a recorded machine type. {NO_GUESTS}",
    )


def test_ironics_and_failed_builds_are_counted_apart(desk: Desk) -> None:
    """They hold nothing up; what nova-manage lists is listed all the same."""
    happenings.add_node(desk.cloud, "iron", "node-1", "ironic")
    happenings.add_node(desk.cloud, "alpha", "alpha", "QEMU")
    desk.cloud.add_instance(host="iron", node="node-1")
    desk.cloud.add_instances(2, host=None, vm_state="error", node=None)
    desk.cloud.add_instance(machine="pc")

    code, details = desk.check(RECORDED)

    assert code == 0
    assert "1 Ironic instance and 2 failed builds without a host." in details


def test_a_host_is_looked_at_alone(desk: Desk) -> None:
    """As Nova knows hosts: by their nodes."""
    for name in ("alpha", "beta"):
        happenings.add_node(desk.cloud, name, name, "QEMU")
    desk.cloud.add_instances(2)

    assert desk.check(RECORDED, "--host", "alpha")[0] == 2
    assert desk.check(RECORDED, "--host", "beta")[0] == 0
    assert desk.check(RECORDED, "--host", "Gamma")[1].startswith("Nova has no compute host Gamma.")


def test_request_specs_unlike_the_record_are_counted(desk: Desk) -> None:
    """Real Nova takes them at a cold migration; those of ironic's don't count, nor does one that there isn't."""
    desk.cloud.add_cell("cell2")
    happenings.add_node(desk.cloud, "iron", "node-1", "ironic")
    agreeing, lacking, other, iron = (
        desk.cloud.add_instance(machine="pc", **about)
        for about in ({}, {}, {"cell": "cell2"}, {"host": "iron", "node": "node-1"})
    )
    desk.cloud.add_instance(machine="pc")
    happenings.keep_request(desk.cloud, agreeing, "pc")
    happenings.keep_request(desk.cloud, other, "pc-i440fx-6.2")
    for uuid in (lacking, iron):
        happenings.keep_request(desk.cloud, uuid, None)

    code, details = desk.check(SPECS)

    assert (code, "resize changes 2 instances: " in details) == (2, True)


def test_more_request_specs_than_one_query_returns_are_read(desk: Desk) -> None:
    """Page by page."""
    desk.cloud.add_instances(1001, machine="pc")
    desk.cloud.execute(
        "INSERT INTO request_specs (created_at, instance_uuid, spec) SELECT UTC_TIMESTAMP(),"
        " instance_uuid, '{}' FROM instance_mappings",
        name="api",
    )

    assert "changes 1,001 instances" in desk.check(SPECS)[1]


def test_without_the_api_database_one_cell_is_counted(desk: Desk) -> None:
    """The one that a compute host knows."""
    desk.cloud.add_cell("cell2")
    desk.cloud.add_instance(cell="cell2")
    desk.configure(api=False)

    assert desk.check(RECORDED)[1].startswith(
        "Every instance in 1 cell of Nova has a recorded machine type."
    )


def test_one_cell_that_cannot_be_reached_is_named(desk: Desk) -> None:
    """A failure; the others are counted."""
    desk.cloud.add_cell("cell2")
    desk.cloud.add_instance(cell="cell2")
    desk.cloud.execute(
        "UPDATE cell_mappings SET database_connection = %s WHERE name = 'cell1'",
        (desk.cloud.mariadb.url("absent"),),
        "api",
    )

    code, details = desk.check(RECORDED)

    assert code == 2
    assert details.startswith("Nova's cell cell1: ")
    assert "for 1 instance" in details


@pytest.mark.parametrize("fault", ["password", "stopped"])
def test_databases_that_cannot_be_reached_are_a_failure(
    desk: Desk, mariadb: MariaDB, fault: str
) -> None:
    """One line, without a password; the other checks go on."""
    if fault == "password":
        wrong = mariadb.url("nova_api", password="sesame")
        desk.configure(cell=None, api=False, api_database={"connection": wrong})
        code, details = desk.check(RECORDED)
    else:
        mariadb.stop()
        try:
            code, details = desk.check(RECORDED)
        finally:
            mariadb.start()

    assert code == 2
    assert details.startswith("Nova's API database: ")
    assert details.endswith(NO_GUESTS)
    assert "sesame" not in details


@pytest.mark.usefixtures("hasty")
def test_a_database_that_never_answers_is_a_failure(desk: Desk, mariadb: MariaDB) -> None:
    """After a while, and without a traceback of the driver's."""
    mariadb.pause()
    try:
        code, details = desk.check(RECORDED)
    finally:
        mariadb.resume()

    assert code == 2
    assert details.startswith("Nova's API database: ")


def test_nova_conf_tells_what_snapshots_inherit(desk: Desk, tmp_path: Path) -> None:
    """Given as a second file, with all else that Nova has in it."""
    assert desk.check(SNAPSHOTS)[1].endswith(
        "The option isn't set in the files given here: if nova.conf sets it, name that with --config-file."
    )
    own = {"non_inheritable_image_properties": "cache_in_nova,bittorrent,hw_machine_type"}
    nova = desk.cloud.conf(tmp_path / "nova.conf", DEFAULT=own)

    desk.files.insert(0, nova)

    code, details = desk.check(SNAPSHOTS)
    assert code == 0
    assert details.startswith("non_inheritable_image_properties has hw_machine_type: ")


def test_nova_conf_alone_is_enough_to_reach_the_databases(desk: Desk, tmp_path: Path) -> None:
    """mthook.conf may have nothing of Nova's."""
    desk.configure(cell=None, api=False)
    desk.files.append(desk.cloud.conf(tmp_path / "nova.conf"))
    desk.cloud.add_instance()

    assert "for 1 instance" in desk.check(RECORDED)[1]
