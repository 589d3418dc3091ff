# SPDX-License-Identifier: Apache-2.0
"""Which instances a sync is about, and what becomes of those that are rebuilt, moved or deleted."""

from __future__ import annotations

import uuid as uuids

import pytest

from mthook.tools import status
from mthook.tools.admin import main as admin
from tests.nova import happenings
from tests.nova.sync.conftest import NEW, OLD, OTHER, UUID, Compute

STATES = ("active", "paused", "suspended", "stopped", "shelved", "error", "soft-delete")


@pytest.mark.parametrize("state", STATES)
def test_a_guest_is_pinned_whatever_nova_calls_its_state(compute: Compute, state: str) -> None:
    """Its definition tells what it was."""
    compute.cloud.add_instance(UUID, vm_state=state)
    compute.define(OLD)

    assert compute.sync() == (0, "", "")

    assert compute.cloud.machine(UUID) == OLD


@pytest.mark.parametrize(
    ("arch", "configured", "machine", "source"),
    [
        (None, "", "pc", "built-in default"),
        ("aarch64", "", "virt", "built-in default"),
        ("x86_64", "x86_64=q35,aarch64=virt-6.2", "q35", "configuration"),
        ("amd64", "x86_64=q35", "q35", "configuration"),
        ("s390x", "x86_64=q35", "s390-ccw-virtio", "built-in default"),
    ],
)
def test_an_instance_without_a_domain_gets_what_nova_would_give_it(
    compute: Compute, arch: str | None, configured: str, machine: str, source: str
) -> None:
    """A shelved one has no domain."""
    compute.configure(more=f"[libvirt]\nhw_machine_type = {configured}\n")
    compute.cloud.add_instance(UUID, vm_state="shelved", arch=arch)

    assert compute.sync() == (0, "", "")

    assert compute.pin() == (machine, source, None)
    assert compute.cloud.machine(UUID) == machine


def test_the_image_property_comes_before_the_configuration(compute: Compute) -> None:
    """Nova's scheduler has kept it in the API database."""
    compute.configure(
        more="[libvirt]\nhw_machine_type = x86_64=q35\n"
        f"[api_database]\nconnection = {compute.cloud.api_url}\n"
    )
    compute.cloud.add_instance(UUID, vm_state="shelved")
    happenings.keep_request(compute.cloud, UUID, "pc-i440fx-6.2")

    assert compute.sync() == (0, "", "")

    assert compute.pin() == ("pc-i440fx-6.2", "image property", None)


@pytest.mark.parametrize("task", ["spawning", "resize_finish", "unshelving", "rebuilding"])
def test_an_instance_on_which_nova_is_at_work_is_left_alone(compute: Compute, task: str) -> None:
    """Its domain is about to come, perhaps with another machine type."""
    compute.cloud.add_instance(UUID, vm_state="stopped", task_state=task)

    assert compute.sync() == (0, "", "")

    assert (compute.pin(), compute.cloud.machine(UUID)) == (None, None)


def test_building_deleted_and_foreign_instances_are_never_touched(compute: Compute) -> None:
    """With or without a domain; every table of the cell is as it was, but for the one row written."""
    others = {
        "building": {"vm_state": "building"},
        "deleted": {"vm_state": "deleted", "deleted": True},
        "foreign": {"host": "beta"},
        "offloaded": {"host": None, "vm_state": "shelved_offloaded"},
    }
    for name, values in others.items():
        identity = str(uuids.uuid4())
        compute.cloud.add_instance(identity, metadata={"image_os_type": "linux"}, **values)
        compute.define(OLD, identity, name)
    compute.cloud.add_instance(UUID, metadata={"image_min_disk": "1"})
    compute.define(OLD)
    before = compute.cloud.dump_all()

    assert compute.sync() == (0, "", "")

    after = compute.cloud.dump_all()
    table = "instance_system_metadata"
    assert len(after[table]) == len(before[table]) + 1
    for dump in (before, after):
        # Adding a row changes when another one of the instance was updated, for the sake of Galera.
        dump[table] = [(*row[:1], *row[2:]) for row in dump[table]]
    after[table] = [row for row in after[table] if row in before[table]]
    assert after == before
    assert compute.cloud.machine(UUID) == OLD
    with compute.catalog() as catalog:
        assert [pin.uuid for pin in catalog.pins()] == [UUID]


def test_a_rebuild_releases_the_pin(compute: Compute) -> None:
    """The guest has another machine type since, and Nova no record of one."""
    compute.cloud.add_instance(UUID, machine=OLD)
    compute.define(OLD)
    compute.sync()
    compute.cloud.begin_rebuild(UUID)
    compute.boot(NEW)

    assert compute.sync() == (0, "", "")
    assert (compute.pin() or ())[0] == OLD  # Nova is still at it

    compute.cloud.finish_rebuild(UUID)
    assert compute.sync() == (0, "", "")
    assert compute.pin() == (NEW, "running guest", NEW)
    assert compute.cloud.machine(UUID) == NEW
    assert ("changed", OLD, NEW, "rebuilt in Nova") in compute.events()


def test_a_rebuild_from_an_image_with_a_machine_type_brings_that(compute: Compute) -> None:
    """Nova has recorded it."""
    compute.cloud.add_instance(UUID, machine=OLD)
    compute.define(OLD)
    compute.sync()
    compute.cloud.begin_rebuild(UUID, hw_machine_type="pc")
    compute.cloud.finish_rebuild(UUID)
    compute.boot(NEW)

    assert compute.sync() == (0, "", "")

    assert compute.pin() == ("pc", "Nova", NEW)


def test_a_rebuild_before_the_first_sync_doesnt_count_again(compute: Compute) -> None:
    """The pin is of what was rebuilt."""
    compute.cloud.add_instance(UUID)
    compute.cloud.begin_rebuild(UUID)
    compute.cloud.finish_rebuild(UUID)
    compute.boot(OLD)
    compute.sync()
    compute.node.virsh("destroy", "--domain", "web-1")
    compute.define(NEW)

    assert compute.sync() == (0, "", "")

    assert (compute.pin() or ())[0] == OLD
    assert compute.node.machine("web-1") == OLD


def test_an_evacuation_keeps_the_pin(compute: Compute) -> None:
    """Nova calls it rebuilding as well, but its action says what it is."""
    compute.cloud.add_instance(UUID, machine=OLD)
    compute.define(OLD)
    compute.sync()
    happenings.evacuate(compute.cloud, UUID)
    compute.cloud.set_state(UUID, task_state=None)
    happenings.lose(compute.cloud, UUID)
    compute.define(NEW)

    assert compute.sync() == (0, "", "")

    assert (compute.pin() or ())[0] == OLD
    assert compute.cloud.machine(UUID) == OLD


@pytest.mark.parametrize(
    ("columns", "forgotten"),
    [
        ({"host": "beta"}, True),
        ({"host": "beta", "vm_state": "resized"}, False),  # it may be reverted
        ({"host": "beta", "task_state": "migrating"}, False),
        ({"host": None, "vm_state": "shelved_offloaded"}, False),
        ({"deleted": 1, "vm_state": "deleted"}, True),
        ({"host": "alpha"}, False),
    ],
)
def test_a_pin_goes_only_when_nova_says_so(
    compute: Compute, columns: dict[str, object], forgotten: bool
) -> None:
    """libvirt has no such guest any more in any of these cases."""
    compute.cloud.add_instance(UUID)
    compute.define(OLD)
    compute.sync()
    compute.node.virsh("undefine", "--domain", "web-1")
    compute.cloud.set_state(UUID, **columns)

    assert compute.sync() == (0, "", "")

    assert (compute.pin() is None) is forgotten


def test_the_pin_of_an_archived_instance_is_forgotten(compute: Compute) -> None:
    """The database is the right one, for it knows another guest of this host; what libvirt has stays."""
    kept = "3f2c1d3e-0000-4000-8000-000000000003"
    for number, uuid in enumerate((UUID, OTHER, kept)):
        compute.cloud.add_instance(uuid)
        compute.define(OLD, uuid, f"web-{number}")
    compute.sync()
    for uuid in (UUID, kept):
        happenings.archive(compute.cloud, uuid)
    compute.node.virsh("undefine", "--domain", "web-0")

    assert compute.sync() == (0, "", "")

    assert compute.pin(UUID) is None
    assert compute.events(UUID)[-1] == ("pruned", OLD, None, "deleted in Nova")
    assert [(compute.pin(uuid) or ())[0] for uuid in (OTHER, kept)] == [OLD, OLD]


def test_what_status_says_of_a_guest_that_nova_deleted_works(
    compute: Compute, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named by status and set, and the command removes it, its saved image included."""
    for number, uuid in enumerate((UUID, OTHER)):
        compute.cloud.add_instance(uuid)
        compute.boot(OLD, uuid, f"web-{number}")
    compute.sync()
    compute.cloud.delete(UUID)
    compute.node.virsh("managedsave", "--domain", "web-0")

    config = ["--config-file", str(compute.config)]
    status.main([*config, "upgrade", "check"])
    told = " ".join(capsys.readouterr().out.replace("|", " ").split())
    assert "Nova has deleted the instances of 1 guest (web-0 (" in told
    assert admin([*config, "set", "web-0", NEW]) == 2
    error = capsys.readouterr().err
    command = error.rpartition("remove it: ")[2].split()
    assert (command[0], command[-1]) == ("virsh", "web-0")

    compute.node.virsh(*command[1:])

    assert compute.sync() == (0, "", "")
    assert compute.pin(UUID) is None


def test_a_pin_of_which_nova_knows_nothing_stays(compute: Compute) -> None:
    """Another cell may have the instance."""
    compute.cloud.add_instance(UUID)
    compute.define(OLD)
    compute.sync()
    compute.node.virsh("undefine", "--domain", "web-1")
    with compute.cloud.connect() as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        cursor.execute("DELETE FROM instances WHERE uuid = %s", (UUID,))

    assert compute.sync() == (0, "", "")

    assert (compute.pin() or ())[0] == OLD


def test_a_wrong_host_name_is_told_and_nothing_done(compute: Compute) -> None:
    """[DEFAULT] host has to be what nova-compute has."""
    compute.cloud.add_instance(UUID)
    compute.define(OLD)
    compute.configure(host="alpha.example.org")
    before = compute.cloud.dump_all()

    code, out, err = compute.sync()

    assert (code, out) == (1, "")
    assert err == (
        "mthook-sync: Nova has this host's guests on alpha: is [DEFAULT] host = alpha.example.org "
        "what nova-compute has?\n"
    )
    assert (compute.pin(), compute.cloud.dump_all()) == (None, before)


@pytest.mark.parametrize("kind", ["migration", "evacuation"])
@pytest.mark.parametrize("running", [False, True])
def test_a_guest_that_was_left_behind_says_nothing_of_the_host(
    compute: Compute, kind: str, running: bool
) -> None:
    """A failed move leaves its guest on the old host, an evacuation until nova-compute runs there again."""
    compute.cloud.add_instance(UUID, host="beta", vm_state="error")
    happenings.migrate(compute.cloud, UUID, "error", kind, source="alpha")
    if running:
        compute.boot(OLD)
    else:
        compute.define(OLD)

    assert compute.sync() == (0, "", "")


def test_on_a_host_of_novas_other_guests_are_mthooks_own_matter(compute: Compute) -> None:
    """Also while the database can't be reached: Nova's guests are left as they are then."""
    compute.cloud.add_instance(UUID)
    compute.boot(OLD)
    compute.node.boot("plain", OLD, uuid=OTHER)
    compute.configure(url="mysql+pymysql://nova:geheim@127.0.0.1:1/nova")

    code, out, err = compute.sync()

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "Nova's database: Can't connect to MySQL server on '127.0.0.1'" in err
    assert "geheim" not in err
    assert (compute.pin(), compute.pin(OTHER)) == (None, (OLD, "running guest", OLD))

    compute.configure()
    assert compute.sync() == (0, "", "")
    assert (compute.pin() or ())[0] == OLD
