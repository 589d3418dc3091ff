# SPDX-License-Identifier: Apache-2.0
"""Who wrote what Nova has recorded, on each of the paths by which it changes: what Nova wrote itself is put right."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mthook.tools.admin import main as admin
from tests.lab import novarows
from tests.nova import happenings
from tests.nova.client import Nova
from tests.nova.sync.conftest import NEW, OLD, UUID, Compute

IMAGE, OTHER_IMAGE = "5d9a1c5e-0000-4000-8000-00000000abcd", "5d9a1c5e-0000-4000-8000-00000000abce"


@pytest.fixture
def settled(compute: Compute) -> Compute:
    """A host with an instance that has been pinned to OLD, here and in Nova, for an hour."""
    compute.cloud.add_instance(UUID, machine=OLD)
    compute.boot(OLD)
    compute.sync()
    happenings.age(compute.cloud, UUID)
    return compute


def _kept(compute: Compute) -> bool:
    """Tell whether pin and record are what they were."""
    return (compute.pin() or ())[0] == OLD and compute.cloud.machine(UUID) == OLD


@pytest.mark.parametrize(
    "action",
    ["migrate", "resize", "revertResize", "rescue", "unshelve", "evacuate"],
)
@pytest.mark.parametrize("configured", [True, False])
def test_what_nova_writes_at_work_is_put_right(
    settled: Compute, action: str, configured: bool
) -> None:
    """Whatever this host's own default is: another host's was written."""
    if configured:
        settled.configure(more=f"[libvirt]\nhw_machine_type = x86_64={NEW}\n")
    with settled.cloud.connect() as cursor:
        novarows.begin_action(cursor, UUID, action)
    settled.cloud.execute("UPDATE instance_actions SET start_time = start_time - INTERVAL 3 SECOND")
    happenings.finish(settled.cloud, UUID, action, NEW)

    assert settled.sync() == (0, "", "")

    assert _kept(settled)
    # What mthook writes during an action looks as if Nova had: it is confirmed later.
    happenings.age(settled.cloud, UUID)
    assert settled.sync("--dry-run")[1] == (
        f"would write {OLD} of web (web-1, {UUID}) to Nova, which Nova had recorded by itself\n"
    )
    assert settled.sync() == (0, "", "")
    assert _kept(settled)
    assert settled.sync("--dry-run")[1] == "nothing to do\n"


def test_while_nova_is_at_work_nothing_is_taken_over(settled: Compute) -> None:
    """A cold migration between two of its events."""
    happenings.overwrite(settled.cloud, UUID, "migrate", NEW)
    settled.cloud.execute("UPDATE instance_actions SET updated_at = updated_at - INTERVAL 9 SECOND")
    settled.cloud.set_state(UUID, task_state="resize_finish")

    assert settled.sync() == (0, "", "")

    assert (settled.pin() or ())[0] == OLD


def test_a_lost_record_that_a_hard_reboot_fills_in_is_put_right(settled: Compute) -> None:
    """In a new row, and once more over what was put right meanwhile."""
    happenings.lose(settled.cloud, UUID)
    with settled.cloud.connect() as cursor:
        novarows.begin_action(cursor, UUID, "reboot")
    time.sleep(1.1)
    happenings.add_row(settled.cloud, UUID, NEW)
    assert settled.sync() == (0, "", "")
    assert _kept(settled)

    happenings.change(settled.cloud, UUID, NEW)

    assert settled.sync() == (0, "", "")
    assert _kept(settled)


def test_what_nova_compute_fills_in_on_another_host_is_put_right_here(settled: Compute) -> None:
    """Lost, filled in there, then migrated live: this host never compared it."""
    settled.configure(more=f"[libvirt]\nhw_machine_type = x86_64={NEW}\n")
    with settled.catalog() as catalog:
        catalog.forget(UUID, actor="test", reason=None)
    settled.sync("--only", "seed")
    happenings.lose(settled.cloud, UUID)
    happenings.add_row(settled.cloud, UUID, NEW)

    assert settled.sync() == (0, "", "")

    assert _kept(settled)


@pytest.mark.parametrize("command", ["update_machine_type", "image_property"])
@pytest.mark.parametrize("action", ["stop", "confirmResize"])
def test_an_operator_with_nova_manage_wins(
    settled: Compute, nova: Nova, command: str, action: str
) -> None:
    """Nova's own code, on a stopped instance, also one whose move was confirmed a moment before."""
    cloud = settled.cloud
    happenings.overwrite(cloud, UUID, action, OLD)
    cloud.set_state(UUID, vm_state="stopped")
    nova.request(UUID)
    if command == "image_property":
        property_ = f"hw_machine_type={NEW}"
        done = nova.set_property(UUID, property_)
    else:
        done = nova.update(UUID, NEW)
    assert done.code == 0, done

    assert settled.sync() == (0, "", "")

    assert ((settled.pin() or ())[:2], cloud.machine(UUID)) == ((NEW, "Nova"), NEW)
    happenings.age(cloud, UUID)
    happenings.overwrite(cloud, UUID, "resize", "q35")
    assert settled.sync() == (0, "", "")
    assert ((settled.pin() or ())[0], cloud.machine(UUID)) == (NEW, NEW)


def test_an_operator_on_a_controller_wins_where_nova_has_none(
    settled: Compute, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost, or never written back: even if it is this host's default, nova-compute hasn't filled it in."""
    settled.configure(more=f"[libvirt]\nhw_machine_type = x86_64={NEW}\n")
    settled.cloud.set_state(UUID, vm_state="stopped")
    happenings.lose(settled.cloud, UUID)
    (tmp_path / "admin").mkdir()
    controller = settled.cloud.mthook_conf(tmp_path / "admin", host="controller", api=False)
    assert admin(["--config-file", str(controller), "set", UUID, NEW]) == 0
    capsys.readouterr()

    assert settled.sync() == (0, "", "")

    assert ((settled.pin() or ())[:2], settled.cloud.machine(UUID)) == ((NEW, "Nova"), NEW)


def test_a_refused_rebuild_is_none(settled: Compute) -> None:
    """The new image's type is recorded, and disk and guest are the old ones."""
    settled.cloud.begin_rebuild(UUID, image_ref=OTHER_IMAGE, hw_machine_type=NEW)
    settled.cloud.refuse_rebuild(UUID, IMAGE)

    assert settled.sync() == (0, "", "")
    assert _kept(settled)

    # The next one isn't refused.
    happenings.age(settled.cloud, UUID)
    settled.cloud.begin_rebuild(UUID, image_ref=OTHER_IMAGE, hw_machine_type=NEW)
    settled.cloud.finish_rebuild(UUID)
    assert settled.sync() == (0, "", "")
    assert ((settled.pin() or ())[0], settled.cloud.machine(UUID)) == (NEW, NEW)


def test_a_rebuild_that_failed_with_its_disk_replaced_is_one(settled: Compute) -> None:
    """The new image stays in both places."""
    settled.cloud.begin_rebuild(UUID, image_ref=OTHER_IMAGE, hw_machine_type=NEW)
    settled.cloud.refuse_rebuild(UUID, OTHER_IMAGE)

    assert settled.sync() == (0, "", "")

    assert ((settled.pin() or ())[0], settled.cloud.machine(UUID)) == (NEW, NEW)


UNKNOWN = f"Nova has {NEW} recorded, and nothing shows who wrote it: its pin stays\n"


def test_where_actions_are_purged_the_pin_stays_and_it_is_said(settled: Compute) -> None:
    """An operator, or Nova at work: who knows? mthook-admin decides."""
    happenings.change(settled.cloud, UUID, NEW)
    happenings.purge(settled.cloud, UUID)

    for _ in range(2):
        code, out, err = settled.sync("-v")
        assert (code, out) == (0, "")
        assert UNKNOWN in err
        assert ((settled.pin() or ())[0], settled.cloud.machine(UUID)) == (OLD, NEW)


def test_where_actions_are_purged_a_migration_tells(settled: Compute) -> None:
    """They are kept as long as the instance."""
    happenings.migrate(settled.cloud, UUID, "confirmed")
    happenings.change(settled.cloud, UUID, NEW)
    happenings.purge(settled.cloud, UUID)

    assert settled.sync() == (0, "", "")

    assert _kept(settled)


@pytest.mark.parametrize("status", ["migrating", "error"])
def test_a_migration_that_failed_half_way_leaves_the_pin(settled: Compute, status: str) -> None:
    """nova-compute died after it had written, and before it could say so."""
    with settled.cloud.connect() as cursor:
        novarows.begin_action(cursor, UUID, "migrate")
    happenings.migrate(settled.cloud, UUID, status)
    settled.cloud.execute("UPDATE instance_actions SET updated_at = updated_at - INTERVAL 9 SECOND")
    happenings.change(settled.cloud, UUID, NEW)
    settled.cloud.set_state(UUID, vm_state="error")

    code, out, err = settled.sync("-v")

    assert (code, out) == (0, "")
    assert UNKNOWN in err
    assert ((settled.pin() or ())[0], settled.cloud.machine(UUID)) == (OLD, NEW)


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_clocks_an_hour_apart_change_nothing(
    compute: Compute, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """This host's and the database's: a rebuild, an operator's change and Nova's own are told apart all the same."""
    cloud, real = compute.cloud, time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    cloud.add_instance(UUID)
    compute.boot(OLD)
    compute.sync("--only", "seed")
    time.sleep(1.1)
    # Rebuilt before the two were ever compared.
    cloud.begin_rebuild(UUID, image_ref=OTHER_IMAGE, hw_machine_type=NEW)
    cloud.finish_rebuild(UUID)
    assert compute.sync() == (0, "", "")
    assert (compute.pin() or ())[0] == NEW

    happenings.age(cloud, UUID)
    happenings.overwrite(cloud, UUID, "migrate", "q35")
    assert compute.sync() == (0, "", "")
    assert ((compute.pin() or ())[0], cloud.machine(UUID)) == (NEW, NEW)

    happenings.age(cloud, UUID)
    happenings.change(cloud, UUID, OLD)
    assert compute.sync() == (0, "", "")
    assert ((compute.pin() or ())[0], cloud.machine(UUID)) == (OLD, OLD)


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_a_rebuild_from_before_the_pin_stays_one(
    compute: Compute, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """Whatever the clocks say: it doesn't release the pin that was recorded after it."""
    cloud, real = compute.cloud, time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    cloud.add_instance(UUID, vm_state="stopped")
    cloud.begin_rebuild(UUID, image_ref=OTHER_IMAGE)
    cloud.finish_rebuild(UUID, vm_state="stopped")
    time.sleep(2.1)
    compute.define(OLD)
    compute.sync("--only", "seed")
    compute.node.remove_guests()

    assert compute.sync("--only", "pull") == (0, "", "")

    assert (compute.pin() or ())[0] == OLD
