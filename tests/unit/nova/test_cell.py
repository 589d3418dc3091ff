# SPDX-License-Identifier: Apache-2.0
"""What is read of an instance of Nova's, and what writing its machine type leaves."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from mthook import reconcile
from mthook.errors import NotFound, NovaConflict, NovaError
from mthook.nova import reading
from mthook.nova.cell import Cell
from mthook.nova.instance import MACHINE_KEY, Disk, DiskChange, PropertyChange, Whereabouts
from mthook.nova.tables import ACTIONS, COMPUTE_NODES, DISKS, EXTRAS, PROPERTIES
from tests.unit.nova.novas import HOST, Databases, add, insert, put, rows

URL = sa.engine.make_url("mysql+pymysql://mthook:geheim@db.example/cell1")
OLD, NEW = "pc-i440fx-6.2", "pc-i440fx-7.2"


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> Databases:
    """Stand-ins for all databases."""
    return Databases(monkeypatch)


@pytest.fixture
def engine(databases: Databases) -> sa.engine.Engine:
    """The cell's."""
    return databases["cell1"]


@pytest.fixture
def cell(engine: sa.engine.Engine) -> Cell:
    """A cell without instances."""
    return Cell(URL, "Nova's database", 10)


def test_the_last_of_several_rows_counts_and_deleted_ones_dont(
    cell: Cell, engine: sa.engine.Engine
) -> None:
    """As for Nova, which makes a dictionary of them."""
    uuid = add(engine)
    put(engine, uuid, "q35", deleted=1)
    put(engine, uuid, OLD)
    row = put(engine, uuid, NEW)

    found = cell.get(uuid)

    assert (found.machine, found.row, found.rows) == (NEW, row, 2)


@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_value_is_none(cell: Cell, engine: sa.engine.Engine, value: str | None) -> None:
    """Nova takes it for one, too."""
    uuid = add(engine)
    put(engine, uuid, value)

    assert (cell.get(uuid).machine, cell.get(uuid).row) == (None, None)
    assert [one.uuid for one in cell.unset()] == [uuid]


def test_a_key_that_differs_in_case_alone_is_another_one(
    cell: Cell, engine: sa.engine.Engine
) -> None:
    """MariaDB compares it as equal."""
    uuid = add(engine)
    put(engine, uuid, OLD, key=MACHINE_KEY.upper())

    assert cell.get(uuid).machine is None
    assert [one.uuid for one in cell.unset()] == [uuid]


@pytest.mark.parametrize(
    ("properties", "arch"),
    [
        ({}, None),
        ({"image_hw_architecture": "aarch64"}, "aarch64"),
        ({"image_hw_emulation_architecture": "aarch64"}, "aarch64"),
        (
            {"image_hw_architecture": "x86_64", "image_hw_emulation_architecture": "ppc64le"},
            "ppc64le",
        ),
        ({"image_architecture": "AMD64"}, "x86_64"),
        ({"image_architecture": "i386", "image_hw_architecture": "x64"}, "x86_64"),
        ({"image_architecture": "i586"}, "i686"),
    ],
)
def test_the_architecture_is_called_as_nova_calls_it(
    cell: Cell, engine: sa.engine.Engine, properties: dict[str, str], arch: str | None
) -> None:
    """The newer property comes first, and before all what QEMU is to emulate."""
    uuid = add(engine)
    for key, value in properties.items():
        put(engine, uuid, value, key)

    assert cell.get(uuid).arch == arch


def test_windows_and_buses_are_known(cell: Cell, engine: sa.engine.Engine) -> None:
    """What a change of family has to look at."""
    uuid = add(engine)
    put(engine, uuid, "Windows", "image_os_type")
    put(engine, uuid, "ide", "image_hw_cdrom_bus")

    found = cell.get(uuid)

    assert (found.windows, found.buses) == (True, {"image_hw_cdrom_bus": "ide"})


@pytest.mark.parametrize(
    ("key", "value", "windows"),
    [
        ("image_os_type", "windows", True),
        ("image_os_distro", "Windows", True),
        ("image_os_distro", "win2k22", True),
        ("image_os_distro", "debian12", False),
        ("image_os_type", "linux", False),
    ],
)
def test_windows_is_known_by_type_or_distribution(
    cell: Cell, engine: sa.engine.Engine, key: str, value: str, windows: bool
) -> None:
    """Many images have the second one alone."""
    uuid = add(engine)
    put(engine, uuid, value, key)

    assert cell.get(uuid).windows == windows


def test_the_shelved_image_is_known(cell: Cell, engine: sa.engine.Engine) -> None:
    """It decides what an unshelved instance becomes."""
    uuid = add(engine, vm_state="shelved")
    put(engine, uuid, "9d1b", "shelved_image_id")

    assert cell.get(uuid).shelved_image == "9d1b"
    assert cell.get(add(engine)).shelved_image is None


def flavor(**specs: object) -> str:
    """Return a flavor as ``instance_extra`` has it."""
    data = {"extra_specs": specs}
    return json.dumps({"cur": {"nova_object.data": data}, "old": None, "new": None})


def disk(
    engine: sa.engine.Engine, uuid: str, name: str | None, bus: str | None, **more: Any
) -> int:
    """Add a disk and return the number of its row."""
    about = {"device_name": name, "disk_bus": bus, "deleted": 0, **more}
    return insert(engine, DISKS, instance_uuid=uuid, **about)


def test_hardware_is_what_depends_on_the_machine_type(cell: Cell, engine: sa.engine.Engine) -> None:
    """Disks that aren't detached, properties of the image, extra specs of the flavor."""
    uuid = add(engine)
    root = disk(engine, uuid, "/dev/hda", "ide")
    disk(engine, uuid, "/dev/hdb", "ide", deleted=2)
    volume = disk(engine, uuid, None, None)
    disk(engine, add(engine), "/dev/vda", "virtio")
    put(engine, uuid, "required", "image_os_secure_boot")
    put(engine, uuid, "vga", "image_hw_video_model")
    put(engine, uuid, "True", "image_hw_mem_encryption", deleted=3)
    specs = {"hw:mem_encryption": True, "hw:viommu_model": "intel", "hw:cpu_policy": "dedicated"}
    insert(engine, EXTRAS, instance_uuid=uuid, flavor=flavor(**specs), deleted=0)

    found = cell.hardware(uuid)

    assert found.disks == [Disk(root, "/dev/hda", "ide"), Disk(volume, None, None)]
    assert found.asked == {
        "os_secure_boot": "required",
        "hw:mem_encryption": "True",
        "hw:viommu_model": "intel",
    }


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        '{"cur": null}',
        '{"cur": {"nova_object.data": {}}}',
        '{"cur": {"nova_object.data": {"extra_specs": null}}}',
        '{"cur": {"nova_object.data": {"extra_specs": "no"}}}',
    ],
)
def test_a_flavor_that_is_not_understood_asks_for_nothing(
    cell: Cell, engine: sa.engine.Engine, text: str | None
) -> None:
    """Nor does one that is missing."""
    uuid = add(engine)
    insert(engine, EXTRAS, instance_uuid=uuid, flavor=text, deleted=0)

    assert cell.hardware(uuid).asked == cell.hardware(add(engine)).asked == {}


def test_a_disk_changes_in_the_transaction_of_the_machine_type(
    cell: Cell, engine: sa.engine.Engine
) -> None:
    """Where it is what it was; else nothing changes."""
    uuid = add(engine)
    put(engine, uuid, OLD)
    row = disk(engine, uuid, "/dev/hda", "ide")
    ide, sata = Disk(row, "/dev/hda", "ide"), Disk(row, "/dev/sda", "sata")

    cell.record(uuid, NEW, expect=OLD, changes=[DiskChange(ide, sata)])

    assert (cell.get(uuid).machine, cell.hardware(uuid).disks) == (NEW, [sata])
    with pytest.raises(
        NovaConflict,
        match=f"block_device_mapping {row} of .* is /dev/sda on sata in Nova now, not /dev/hda on ide",
    ):
        cell.record(uuid, OLD, expect=NEW, changes=[DiskChange(ide, sata)])
    gone = Disk(row + 1, None, None)
    with pytest.raises(NovaConflict, match="is gone in Nova now, not unnamed on any bus"):
        cell.record(uuid, OLD, expect=NEW, changes=[DiskChange(gone, gone)])
    with pytest.raises(NovaConflict):  # another instance's
        cell.record(add(engine), OLD, expect=None, changes=[DiskChange(sata, ide)])
    assert (cell.get(uuid).machine, cell.hardware(uuid).disks) == (NEW, [sata])


def test_lists_tell_what_is_no_guest(cell: Cell, engine: sa.engine.Engine) -> None:
    """Ironic's instances, and builds that failed before they had a host."""
    for host, node, kind, deleted in (
        ("iron", "n1", "ironic", 0),
        ("iron", "n2", "ironic", 5),
        ("alpha", "n1", "QEMU", 0),
    ):
        about = {"hypervisor_hostname": node, "hypervisor_type": kind, "deleted": deleted}
        insert(engine, COMPUTE_NODES, host=host, **about)
    metal = add(engine, host="iron", node="n1")
    failed = add(engine, host=None, vm_state="error")
    guests = {
        add(engine, host="iron", node="n2"),
        add(engine, node="n1"),
        add(engine, host=None, vm_state="shelved_offloaded"),
        add(engine, vm_state="error"),
    }

    found = {one.uuid: one for one in cell.unset()}

    assert {uuid for uuid, one in found.items() if one.has_guest} == guests
    assert found.keys() - guests == {metal, failed}
    assert (found[metal].ironic, found[failed].ironic) == (True, False)
    assert [one.uuid for one in cell.unset("iron") if one.has_guest] != []
    assert {one.host for one in cell.unset("iron")} == {"iron"}
    assert (cell.has_host("iron"), cell.has_host("beta")) == (True, False)


def test_recorded_ones_are_read_page_by_page(
    cell: Cell, engine: sa.engine.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several rows the last one counts; of a host alone if it is so wanted."""
    monkeypatch.setattr(reading, "_BATCH", 2)
    for number in range(5):
        uuid = add(engine, host="beta" if number == 4 else HOST)
        put(engine, uuid, OLD)
        put(engine, uuid, NEW)
    add(engine)

    pages = list(cell.recorded())

    assert [one.machine for page in pages for one in page] == [NEW] * 5
    assert max(len(page) for page in pages) == 2
    assert [one.host for page in cell.recorded("beta") for one in page] == ["beta"]


def test_the_last_rebuild_counts_and_an_evacuation_after_it(
    cell: Cell, engine: sa.engine.Engine
) -> None:
    """Row by row."""
    uuid = add(engine)
    at = datetime(2026, 11, 22, 13, 0, 0)

    def act(action: str) -> int:
        return insert(engine, ACTIONS, instance_uuid=uuid, action=action, start_time=at)

    act("create")
    assert cell.get(uuid).rebuild is None
    first = act("rebuild")
    assert (cell.get(uuid).rebuild, cell.get(uuid).rebuild_at) == (
        first,
        "2026-11-22T13:00:00.000000Z",
    )
    act("evacuate")
    assert cell.get(uuid).evacuated
    last = act("rebuild")
    assert (cell.get(uuid).rebuild, cell.get(uuid).evacuated) == (last, False)


def test_of_a_host_are_those_that_live_there(cell: Cell, engine: sa.engine.Engine) -> None:
    """In any state but while they are being built; deleted ones never."""
    mine = {add(engine), add(engine, vm_state=None), add(engine, vm_state="shelved")}
    add(engine, host="beta")
    add(engine, host=None, vm_state="shelved_offloaded")
    add(engine, vm_state="building")
    gone = add(engine, deleted=7)

    assert {one.uuid for one in cell.of_host(HOST)} == mine
    with pytest.raises(NotFound, match=gone):
        cell.get(gone)


@pytest.mark.parametrize("lacking", [{0}, {9}, {4, 5}, set(range(10)), set()])
@pytest.mark.parametrize("page", [1, 3, 5, 10, 11])
def test_those_without_are_found_wherever_a_page_ends(
    cell: Cell,
    engine: sa.engine.Engine,
    monkeypatch: pytest.MonkeyPatch,
    page: int,
    lacking: set[int],
) -> None:
    """Once each and by UUID, with deleted ones and those of other hosts among them."""
    monkeypatch.setattr(reading, "_BATCH", page)
    uuids = [f"3f2c1d3e-0000-4000-8000-{number:012x}" for number in range(10)]
    for number, uuid in enumerate(uuids):
        add(engine, uuid, host=f"host-{number % 3}")
        if number not in lacking:
            put(engine, uuid, OLD)
            put(engine, uuid, NEW)
    add(engine, "3f2c1d3e-0000-4000-8000-000000000003f", deleted=3)
    add(engine, "3f2c1d3e-0000-4000-8000-000000000004f", vm_state="building")

    assert [one.uuid for one in cell.unset()] == [uuids[number] for number in sorted(lacking)]


def test_whereabouts_tell_who_is_on_the_way(cell: Cell, engine: sa.engine.Engine) -> None:
    """Those that aren't known are left out."""
    here = add(engine)
    moving = add(engine, task_state="migrating")
    resized = add(engine, vm_state="resized", host="beta")
    gone = add(engine, deleted=5, host=None)

    assert cell.whereabouts([here, moving, resized, gone, "nobody"]) == {
        here: Whereabouts(HOST, False, True, False),
        moving: Whereabouts(HOST, False, False, True),
        resized: Whereabouts("beta", False, False, False),
        gone: Whereabouts(None, True, True, False),
    }


def test_a_machine_type_is_added_changed_and_erased(cell: Cell, engine: sa.engine.Engine) -> None:
    """The row stays the same one; nothing else of the instance is touched."""
    uuid = add(engine)
    put(engine, uuid, "ide", "image_hw_disk_bus")

    row = cell.record(uuid, OLD, expect=None, host=HOST)
    assert rows(engine, uuid) == [(row, OLD)]
    assert cell.record(uuid, NEW, expect=OLD) == row
    assert rows(engine, uuid) == [(row, NEW)]
    cell.erase(uuid, expect=NEW)
    assert rows(engine, uuid) == []
    assert [value for _, value in rows(engine, uuid, "image_hw_disk_bus")] == ["ide"]


def test_the_times_are_whole_seconds_of_utc(cell: Cell, engine: sa.engine.Engine) -> None:
    """The first one when it is added, the second also when it is written again, the same or not: it is wished for."""
    uuid = add(engine)

    def times() -> tuple[datetime | None, datetime | None]:
        query = sa.select(PROPERTIES.c.created_at, PROPERTIES.c.updated_at)
        with engine.connect() as connection:
            created, updated = connection.execute(query).one()
        return created, updated

    cell.record(uuid, OLD, expect=None, pinned=False)
    created, updated = times()
    assert created is not None
    assert abs((created - datetime.now(timezone.utc).replace(tzinfo=None)).total_seconds()) < 60
    assert (created.microsecond, updated) == (0, None)
    for machine in (OLD, NEW):
        with engine.begin() as connection:
            connection.execute(sa.update(PROPERTIES).values(updated_at=None))
        cell.record(uuid, machine, expect=OLD)
        assert times()[0] == created
        assert times()[1] is not None


def test_what_mthook_writes_is_told_from_what_nova_fills_in(
    cell: Cell, engine: sa.engine.Engine
) -> None:
    """A pin, and an operator's choice for another host's instance; not what stands in for Nova's own default."""
    for host, pinned, author in (
        (HOST, True, reconcile.NOBODY_KNOWS),
        (None, True, reconcile.NOBODY_KNOWS),
        (None, False, reconcile.FILLED_IN),
    ):
        uuid = add(engine)
        cell.record(uuid, OLD, expect=None, host=host, pinned=pinned)
        assert cell.get(uuid).author == author


def test_adding_a_row_gives_the_oldest_other_one_another_time(
    cell: Cell, engine: sa.engine.Engine
) -> None:
    """So that of those who add one on different nodes of a Galera cluster one succeeds; each time it is another one."""
    uuid = add(engine)
    oldest = put(engine, uuid, "ide", "image_hw_disk_bus")
    put(engine, uuid, "linux", "image_os_type")

    def times() -> dict[int, datetime | None]:
        query = sa.select(PROPERTIES.c.id, PROPERTIES.c.updated_at)
        with engine.connect() as connection:
            return {row.id: row.updated_at for row in connection.execute(query)}

    seen = [times()[oldest]]
    for _ in range(3):
        row = cell.record(uuid, OLD, expect=None)
        found = times()
        seen.append(found.pop(oldest))
        assert seen[-1] not in (None, seen[-2])
        del found[row]
        assert set(found.values()) == {None}
        cell.record(uuid, NEW, expect=OLD)
        cell.erase(uuid, expect=NEW)
        assert (times()[oldest], row in times()) == (seen[-1], False)
    assert rows(engine, uuid, "image_hw_disk_bus") == [(oldest, "ide")]


def test_of_several_rows_one_is_left(cell: Cell, engine: sa.engine.Engine) -> None:
    """Also where the value stays."""
    uuid = add(engine)
    put(engine, uuid, OLD)
    last = put(engine, uuid, NEW)

    assert cell.record(uuid, NEW, expect=NEW) == last

    assert rows(engine, uuid) == [(last, NEW)]


@pytest.mark.parametrize(("found", "expect"), [(OLD, None), (None, OLD), (NEW, OLD)])
def test_what_isnt_expected_is_left_as_it_is(
    cell: Cell, engine: sa.engine.Engine, found: str | None, expect: str | None
) -> None:
    """And what was to change with it."""
    uuid = add(engine)
    put(engine, uuid, "ide", "image_hw_disk_bus")
    if found:
        put(engine, uuid, found)
    changes = [PropertyChange("image_hw_disk_bus", "ide", "sata")]

    with pytest.raises(
        NovaConflict, match=f"{MACHINE_KEY} of {uuid} is {found or 'unset'} in Nova now"
    ):
        cell.record(uuid, "pc-q35-7.2", expect=expect, changes=changes)
    if expect:
        with pytest.raises(NovaConflict, match="somebody else changed it, look again"):
            cell.erase(uuid, expect=expect)

    assert [value for _, value in rows(engine, uuid)] == ([found] if found else [])
    assert [value for _, value in rows(engine, uuid, "image_hw_disk_bus")] == ["ide"]


def test_buses_change_with_the_machine_type_or_nothing_does(
    cell: Cell, engine: sa.engine.Engine
) -> None:
    """In one transaction."""
    uuid = add(engine)
    put(engine, uuid, OLD)
    put(engine, uuid, "ide", "image_hw_disk_bus")
    right = PropertyChange("image_hw_disk_bus", "ide", "sata")

    with pytest.raises(NovaConflict, match="image_hw_cdrom_bus"):
        cell.record(
            *(uuid, "pc-q35-7.2"),
            expect=OLD,
            changes=[right, PropertyChange("image_hw_cdrom_bus", "ide", "sata")],
        )
    assert [value for _, value in rows(engine, uuid, "image_hw_disk_bus")] == ["ide"]

    cell.record(uuid, "pc-q35-7.2", expect=OLD, changes=[right])
    assert [value for _, value in rows(engine, uuid, "image_hw_disk_bus")] == ["sata"]


@pytest.mark.parametrize("change", [{"deleted": 4}, {"host": "beta"}, {"host": None}])
def test_an_instance_that_has_gone_is_not_written(
    cell: Cell, engine: sa.engine.Engine, change: dict[str, Any]
) -> None:
    """Since it was looked at."""
    uuid = add(engine, **change)

    with pytest.raises(NotFound, match=f"instance {uuid} is no longer on {HOST}"):
        cell.record(uuid, OLD, expect=None, host=HOST)

    assert rows(engine, uuid) == []


def test_during_a_rebuild_nothing_is_written_for_its_host(
    cell: Cell, engine: sa.engine.Engine
) -> None:
    """The image's machine type is on its way."""
    uuid = add(engine, task_state="rebuild_spawning")

    with pytest.raises(NovaConflict, match="is rebuilding"):
        cell.record(uuid, OLD, expect=None, host=HOST)


class MySQLError(Exception):
    """As PyMySQL raises it: a number and words."""


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it has waited between attempts."""
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    return naps


def _fail(engine: sa.engine.Engine, number: int, times: int) -> None:
    """Let the next reads fail in MySQL's way."""
    left = [times]

    def fail(*_: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise sa.exc.OperationalError("SELECT secret", {}, MySQLError(number, "words of it"))

    sa.event.listen(engine, "before_cursor_execute", fail)


@pytest.mark.parametrize(("times", "ok"), [(4, True), (5, False)])
def test_a_deadlock_is_tried_five_times_in_all(
    cell: Cell, engine: sa.engine.Engine, slept: list[float], times: int, ok: bool
) -> None:
    """With a little time in between, not always the same."""
    uuid = add(engine)
    _fail(engine, 1213, times)

    if ok:
        cell.record(uuid, OLD, expect=None)
    else:
        with pytest.raises(NovaError, match="^Nova's database: words of it$"):
            cell.record(uuid, OLD, expect=None)

    assert len(slept) == 4
    assert all(0 < one < 1 for one in slept)
    assert [value for _, value in rows(engine, uuid)] == ([OLD] if ok else [])


def test_any_other_error_is_not_tried_again(
    cell: Cell, engine: sa.engine.Engine, slept: list[float]
) -> None:
    """One line of the server's words: neither the statement nor its values."""
    uuid = add(engine)
    _fail(engine, 1205, 1)

    with pytest.raises(NovaError, match="^Nova's database: words of it$"):
        cell.record(uuid, OLD, expect=None)

    assert slept == []
