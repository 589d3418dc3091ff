# SPDX-License-Identifier: Apache-2.0
"""``set``, ``unset``, ``export`` and ``import`` on Nova's real databases."""

from __future__ import annotations

import json
import re
import uuid as uuids
from pathlib import Path

import pytest

from mthook.catalog.store import Catalog
from tests.lab import PC, Q35
from tests.lab.nova import Cloud
from tests.nova import happenings
from tests.nova.client import Nova, NovaError
from tests.nova.place import Said

from .conftest import Run

KEPT = "history isn't kept: there is no catalog here\n"
UNKNOWN = (
    "mthook-admin: warning: what a QEMU offers isn't known here, so nobody can tell whether one offers"
    " pc-i440fx-7.2\n"
)


def changed(
    before: dict[str, list[tuple[object, ...]]], after: dict[str, list[tuple[object, ...]]]
) -> dict[str, tuple[int, int]]:
    """Return the tables whose rows differ: how many are there no more, and how many are new."""
    differ = {name for name in before if before[name] != after[name]}
    return {
        name: (len(set(before[name]) - set(after[name])), len(set(after[name]) - set(before[name])))
        for name in differ
    }


def test_what_is_set_nova_manage_prints(cloud: Cloud, nova: Nova, run: Run) -> None:
    """The real command, in a process of its own; after unset it finds none."""
    uuid = cloud.add_instance(vm_state="stopped", machine="pc-i440fx-6.2")
    cloud.add_spec(uuid)

    said = run("set", uuid, "pc-i440fx-7.2")

    assert said == Said(
        0,
        "",
        f"{UNKNOWN}mthook-admin: warning: {KEPT}web ({uuid}): pc-i440fx-6.2 → pc-i440fx-7.2\n",
    )
    theirs = nova.manage("libvirt", "get_machine_type", uuid)
    assert (theirs.returncode, theirs.stdout) == (0, "pc-i440fx-7.2\n")

    assert run("unset", uuid, "--force").code == 0
    assert nova.manage("libvirt", "get_machine_type", uuid).returncode == 3


def test_nothing_but_the_one_row_is_touched(cloud: Cloud, run: Run) -> None:
    """Neither of other instances nor of other keys; full dumps of all tables are compared."""
    others = cloud.add_instances(3, vm_state="stopped", machine="pc-i440fx-6.2")
    uuid = cloud.add_instance(vm_state="stopped", machine="pc-i440fx-6.2")
    before = {name: cloud.dump_all(name) for name in cloud.databases}

    assert run("set", uuid, "pc-i440fx-7.2").code == 0

    after = {name: cloud.dump_all(name) for name in cloud.databases}
    differ = {name: changed(before[name], after[name]) for name in before}
    assert differ == {"api": {}, "cell0": {}, "cell1": {"instance_system_metadata": (1, 1)}}
    (row,) = cloud.rows(uuid)
    assert row["updated_at"] is not None
    assert {cloud.machine(other) for other in others} == {"pc-i440fx-6.2"}


def test_two_rows_become_one(cloud: Cloud, nova: Nova, run: Run) -> None:
    """Nova leaves two where two of its services have saved at once; the last one counts.

    The other one must be gone for good: Nova reads rows that are marked deleted, and keeps the first.
    """
    uuid = cloud.add_instance(vm_state="stopped", machine="pc-i440fx-2.11")
    happenings.add_row(cloud, uuid, "pc-i440fx-6.2")

    assert run("set", uuid, "pc-i440fx-7.2").err.endswith("pc-i440fx-6.2 → pc-i440fx-7.2\n")

    assert nova.get(uuid).output == "pc-i440fx-7.2\n"
    nova.touch(uuid)
    assert [(row["value"], row["deleted"]) for row in cloud.rows(uuid)] == [("pc-i440fx-7.2", 0)]


def test_an_instance_of_the_second_cell_is_found(cloud: Cloud, nova: Nova, run: Run) -> None:
    """By the API database."""
    cloud.add_cell("cell2")
    uuid = cloud.add_instance(cell="cell2", vm_state="shelved", host="beta")

    assert run("set", uuid, "pc-q35-7.2").code == 0
    assert nova.get(uuid).output == "pc-q35-7.2\n"


def test_an_offloaded_instance_gets_its_images(cloud: Cloud, nova: Nova, run: Run) -> None:
    """Which nova-api kept when the instance was asked for."""
    uuid = cloud.add_instance(vm_state="shelved_offloaded", host=None)
    happenings.keep_request(cloud, uuid, "pc-q35-6.2")

    said = run("set", uuid)

    assert (said.code, said.err.splitlines()[0]) == (0, f"web ({uuid}): its image has pc-q35-6.2")
    assert nova.get(uuid).output == "pc-q35-6.2\n"

    other = cloud.add_instance(vm_state="shelved_offloaded", host=None)
    assert run("set", other).err == (
        f"mthook-admin: web ({other}): no machine type of its image is known: give a TYPE\n"
    )


@pytest.mark.parametrize("option", [[], ["--with-buses"]])
def test_a_change_of_family_takes_the_buses_along_if_asked_to(
    cloud: Cloud, nova: Nova, run: Run, option: list[str]
) -> None:
    """What Nova makes of the rows has IDE on a q35 otherwise, which no QEMU starts."""
    uuid = cloud.add_instance(
        vm_state="stopped",
        machine=PC,
        config_drive="True",
        metadata={"image_hw_disk_bus": "ide", "image_hw_cdrom_bus": "ide"},
    )

    said = run("set", uuid, Q35, "--force", *option)

    assert said.code == 0
    assert ("image_hw_cdrom_bus = ide, image_hw_disk_bus = ide" in said.err) == (not option)
    buses = {cloud.rows(uuid, f"image_hw_{name}_bus")[0]["value"] for name in ("disk", "cdrom")}
    assert buses == ({"sata"} if option else {"ide"})
    xml = nova.xml(uuid)
    assert f'machine="{Q35}"' in xml
    assert ('bus="ide"' in xml, 'bus="sata"' in xml) == (not option, bool(option))


@pytest.mark.parametrize("option", [[], ["--with-buses"]])
def test_what_nova_keeps_of_disks_counts_and_is_changed_along(
    cloud: Cloud, nova: Nova, run: Run, option: list[str]
) -> None:
    """Nova puts it before what the image says: without the change real Nova still asks for IDE."""
    uuid = cloud.add_instance(vm_state="stopped", machine=PC)
    happenings.add_disk(cloud, uuid, "/dev/hda", "ide")
    blank = {"source_type": "blank", "boot_index": -1, "image_id": None, "volume_size": 1}
    happenings.add_disk(cloud, uuid, "/dev/sda", "scsi", **blank)
    volume = {"source_type": "volume", "destination_type": "volume", "boot_index": -1}
    about = {"driver_volume_type": "local", "data": {"device_path": "/dev/loop7"}}
    more = {"volume_id": str(uuids.uuid4()), "connection_info": json.dumps(about), "image_id": None}
    happenings.add_disk(cloud, uuid, "/dev/hdc", None, **volume, **more)

    said = run("set", uuid, Q35, "--force", *option)

    assert said.code == 0
    assert ("= /dev/hda on ide" in said.err) == (not option)
    xml = nova.xml(uuid)
    assert xml.count('bus="ide"') == (0 if option else 2)
    if option:
        assert happenings.disks(cloud, uuid) == [
            ("/dev/sdb", "sata"),
            ("/dev/sda", "scsi"),
            ("/dev/sdc", "sata"),
        ]
        assert {*re.findall(r'<target dev="(\w+)" bus="(\w+)"', xml)} == {
            ("sdb", "sata"),
            ("sda", "scsi"),
            ("sdc", "sata"),
        }


def test_what_mthook_refuses_nova_refuses(cloud: Cloud, nova: Nova, run: Run) -> None:
    """By its own code, at the next start; by the image and by the flavor."""
    by_image = cloud.add_instance(
        vm_state="stopped", machine=Q35, metadata={"image_hw_viommu_model": "virtio"}
    )
    by_flavor = cloud.add_instance(vm_state="stopped", machine=Q35)
    happenings.give_flavor(cloud, by_flavor, **{"hw:viommu_model": "virtio"})

    for uuid, name in ((by_image, "hw_viommu_model"), (by_flavor, "hw:viommu_model")):
        assert "<iommu" in nova.xml(uuid)
        said = run("set", uuid, PC, "--force")
        assert (
            said.code,
            f"{name} = virtio: Nova starts that only as q35, not as" in said.err,
        ) == (
            4,
            True,
        )
        happenings.change(cloud, uuid, PC)
        with pytest.raises(NovaError, match="InvalidVIOMMUMachineType"):
            nova.xml(uuid)


def test_a_bus_that_changed_meanwhile_undoes_all(
    cloud: Cloud, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both in one transaction."""
    uuid = cloud.add_instance(
        vm_state="stopped", machine="pc", metadata={"image_hw_disk_bus": "ide"}
    )

    def meanwhile(*_: object) -> list[str]:
        cloud.execute(
            "UPDATE instance_system_metadata SET value = 'scsi' WHERE `key` = 'image_hw_disk_bus'"
        )
        return []

    monkeypatch.setattr("mthook.operations.novachange.check", meanwhile)

    said = run("set", uuid, "q35", "--with-buses", "--force")

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "image_hw_disk_bus" in said.err
    assert cloud.machine(uuid) == "pc"


def test_what_is_set_on_the_instances_host_is_in_its_catalog_too(
    cloud: Cloud, run: Run, tmp_path: Path
) -> None:
    """With Nova's row, so that the next sync has nothing to do."""
    uuid = cloud.add_instance(vm_state="stopped", machine="pc-i440fx-6.2", host="here")
    cloud.add_spec(uuid)
    path = tmp_path / "lib" / "catalog.sqlite"
    cloud.mthook_conf(
        tmp_path,
        host="here",
        catalog=path,
        libvirt={"connection_uri": "test:///default"},
    )
    with Catalog.open(str(path)) as catalog:
        assert run("set", uuid, "pc-i440fx-7.2") == Said(
            0, "", f"{UNKNOWN}web ({uuid}): pc-i440fx-6.2 → pc-i440fx-7.2\n"
        )

        pin = catalog.get_pin(uuid)
        assert pin is not None
        assert (pin.machine, pin.source) == ("pc-i440fx-7.2", "operator")
        said = catalog.compared()[uuid]
    assert (said.machine, said.row) == ("pc-i440fx-7.2", cloud.rows(uuid)[0]["id"])


def test_a_hosts_pins_go_out_and_come_back(cloud: Cloud, run: Run, tmp_path: Path) -> None:
    """Exported for a host without access; what that host has and Nova lacks, imported."""
    known = cloud.add_instance(machine="pc-i440fx-6.2", host="beta", arch="x86_64")
    lost = cloud.add_instance(machine="pc-q35-7.2", host="beta")
    cloud.add_instance(machine="pc", host="gamma")
    building = cloud.add_instance(vm_state="building", host="beta")

    said = run("export", "--host", "beta")

    assert (said.code, said.err) == (0, "")
    lines = {line["uuid"]: line for line in map(json.loads, said.out.splitlines())}
    assert {uuid: line["machine"] for uuid, line in lines.items()} == {
        known: "pc-i440fx-6.2",
        lost: "pc-q35-7.2",
    }
    created = cloud.rows(known)[0]["created_at"]
    assert lines[known]["updated_at"] == f"{created:%Y-%m-%dT%H:%M:%S}.000000Z"
    assert (lines[known]["arch"], lines[known]["source"]) == ("x86_64", "Nova")

    happenings.lose(cloud, lost)
    extra = {**lines[lost], "uuid": building}
    (tmp_path / "pins").write_text(f"{said.out}{json.dumps(extra)}\n")
    cloud.mthook_conf(tmp_path, host="admin", catalog=tmp_path / "lib" / "catalog.sqlite")

    said = run("import", str(tmp_path / "pins"))

    assert said == Said(
        0,
        "",
        f"3 added, 0 changed, 0 unchanged\nweb ({building}): not written to Nova: Nova is building or"
        " rebuilding it\n1 written to Nova\n",
    )
    assert (cloud.machine(lost), cloud.machine(building)) == ("pc-q35-7.2", None)


def test_an_unknown_host_is_told(run: Run) -> None:
    """One line, code 1."""
    said = run("export", "--host", "nowhere")

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "nowhere" in said.err
