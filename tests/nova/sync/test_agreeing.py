# SPDX-License-Identifier: Apache-2.0
"""Pins and Nova's records after a sync, for every way in which they can differ before."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.lab import LAST_PC, Q35, guest_xml
from tests.lab.nova import MACHINE_KEY
from tests.nova import happenings
from tests.nova.client import Nova
from tests.nova.sync.conftest import NEW, NOVA, OLD, OTHER, UUID, Compute


def _live(compute: Compute, uuid: str = UUID) -> list[dict[str, object]]:
    """The rows of Nova's that count."""
    return [row for row in compute.cloud.rows(uuid) if row["deleted"] == 0]


def test_what_a_guest_runs_is_pinned_and_written_to_nova(compute: Compute) -> None:
    """One row that looks changed, as what Nova fills in doesn't; a second run changes nothing."""
    compute.cloud.add_instance(UUID)
    compute.boot(OLD)

    assert compute.sync() == (0, "", "")

    assert compute.pin() == (OLD, "running guest", OLD)
    (row,) = compute.cloud.rows(UUID)
    assert (row["value"], row["deleted"], row["updated_at"]) == (OLD, 0, row["created_at"])
    age = datetime.now(timezone.utc).replace(tzinfo=None) - row["created_at"]
    assert timedelta(seconds=-2) < age < timedelta(seconds=60)
    before = compute.cloud.dump_all()
    assert compute.sync("--dry-run")[1] == "nothing to do\n"
    assert compute.sync() == (0, "", "")
    assert compute.cloud.dump_all() == before


def test_a_dry_run_says_what_it_would_write_and_writes_nothing(compute: Compute) -> None:
    """Neither there nor here."""
    compute.cloud.add_instance(UUID)
    compute.boot(OLD)
    before = compute.cloud.dump_all()

    assert compute.sync("--dry-run")[1] == (
        "would update the hook's settings: mode enforce\n"
        f"would pin web (web-1, {UUID}) to {OLD}, from the running guest\n"
        f"would write {OLD} of web (web-1, {UUID}) to Nova\n"
    )
    assert compute.cloud.dump_all() == before
    assert compute.pin() is None


def test_novas_alias_is_the_pin_and_what_runs_is_remembered(compute: Compute) -> None:
    """Otherwise every hard reboot after an upgrade of QEMU would be refused."""
    compute.cloud.add_instance(UUID, machine="pc")
    compute.boot(OLD)

    assert compute.sync() == (0, "", "")

    assert compute.pin() == ("pc", "Nova", OLD)
    assert compute.cloud.machine(UUID) == "pc"


def test_a_definition_that_cant_be_converted_waits_for_novas_next(compute: Compute) -> None:
    """It isn't what the next start boots, so that there is nothing to put right."""
    compute.cloud.add_instance(UUID, machine=OLD)
    xml = guest_xml("web-1", UUID, Q35, metadata=NOVA, devices="<iommu model='intel'/>")
    compute.node.define(xml)
    compute.set_pin(OLD)

    code, out, err = compute.sync("-v")

    assert (code, out) == (0, "")
    why = f"{OLD} has no IOMMU; remove it from the guest first"
    assert f"iommu intel: {why}; Nova makes a new definition at its next start\n" in err


@pytest.mark.parametrize("source", ["running guest", "first boot", "Nova", "definition"])
def test_novas_record_wins_over_a_pin_that_nobody_set(compute: Compute, source: str) -> None:
    """With nova-manage, a moment ago."""
    compute.cloud.add_instance(UUID)
    compute.boot(OLD)
    compute.sync()
    compute.set_pin(OLD, source)
    happenings.change(compute.cloud, UUID, NEW)

    assert compute.sync() == (0, "", "")

    assert compute.pin() == (NEW, "Nova", OLD)
    assert compute.cloud.machine(UUID) == NEW
    assert ("changed", OLD, NEW, None) in compute.events()


def test_an_operators_pin_is_written_over_what_nova_had(compute: Compute) -> None:
    """In place: the row keeps its number and its creation, and gets a time of change."""
    compute.cloud.add_instance(UUID, machine=OLD)
    compute.define(OLD)
    compute.sync()
    (before,) = compute.cloud.rows(UUID)
    compute.set_pin(NEW)

    assert compute.sync() == (0, "", "")

    (row,) = compute.cloud.rows(UUID)
    assert (row["id"], row["created_at"]) == (before["id"], before["created_at"])
    assert row["value"] == NEW
    assert row["updated_at"] is not None
    assert compute.pin() == (NEW, "operator", None)
    assert compute.node.machine("web-1") == NEW


def test_a_record_that_changed_meanwhile_wins_over_an_operators_pin(compute: Compute) -> None:
    """What was to be replaced isn't there any more; the history says so."""
    compute.cloud.add_instance(UUID, machine=OLD)
    compute.define(OLD)
    compute.sync()
    compute.set_pin(LAST_PC)
    happenings.change(compute.cloud, UUID, NEW)

    assert compute.sync() == (0, "", "")

    assert (compute.pin() or ())[:2] == (NEW, "Nova")
    assert ("changed", LAST_PC, NEW, "changed in Nova as well as here") in compute.events()


def test_a_lost_record_is_written_again(compute: Compute) -> None:
    """Nova loses it when two services save the same instance."""
    compute.cloud.add_instance(UUID, machine=OLD)
    compute.define(OLD)
    compute.sync()
    happenings.lose(compute.cloud, UUID)

    assert compute.sync() == (0, "", "")

    assert [row["value"] for row in _live(compute)] == [OLD]


def test_what_nova_fills_in_from_its_configuration_is_replaced(compute: Compute) -> None:
    """The record was lost, the default has changed, and nova-compute started again."""
    compute.configure(more="[libvirt]\nhw_machine_type = x86_64=q35\n")
    compute.cloud.add_instance(UUID, machine=OLD)
    compute.define(OLD)
    compute.sync()
    happenings.age(compute.cloud, UUID)
    happenings.lose(compute.cloud, UUID)
    happenings.add_row(compute.cloud, UUID, "q35")

    assert compute.sync() == (0, "", "")

    assert [row["value"] for row in _live(compute)] == [OLD]
    assert (compute.pin() or ())[0] == OLD


def test_of_several_rows_one_is_left(compute: Compute) -> None:
    """The one that Nova takes; the others are deleted for good, for Nova reads those marked deleted too."""
    compute.cloud.add_instance(UUID, machine=OLD)
    happenings.add_row(compute.cloud, UUID, NEW)
    compute.define(NEW)

    assert compute.sync() == (0, "", "")

    (row,) = _live(compute)
    assert row["value"] == NEW
    assert len(compute.cloud.rows(UUID)) == 1
    assert compute.sync("--dry-run")[1] == "nothing to do\n"


def test_a_soft_deleted_row_is_no_record(compute: Compute, nova: Nova) -> None:
    """But Nova reads it: the pin takes its place, wherever it stands."""
    compute.cloud.add_instance(UUID, machine=NEW)
    compute.cloud.execute(
        "UPDATE instance_system_metadata SET deleted = id WHERE instance_uuid = %s AND `key` = %s",
        (UUID, MACHINE_KEY),
    )
    compute.boot(OLD)

    assert compute.sync() == (0, "", "")

    assert [(row["value"], row["deleted"]) for row in compute.cloud.rows(UUID)] == [(OLD, 0)]
    assert nova.get(UUID) == (0, f"{OLD}\n")


@pytest.mark.parametrize("value", ["pc\n", "not a machine type!"])
def test_a_record_that_is_no_machine_type_is_reported(compute: Compute, value: str) -> None:
    """In one line; the others of this host are done."""
    compute.cloud.add_instance(UUID, machine=value)
    compute.cloud.add_instance(OTHER)
    compute.boot(OLD)
    compute.boot(OLD, OTHER, "web-2")

    code, out, err = compute.sync()

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"web (web-1, {UUID}): Nova's value isn't valid: " in err
    assert compute.cloud.machine(UUID) == value
    assert compute.cloud.machine(OTHER) == OLD


def test_without_write_back_nothing_is_written(compute: Compute) -> None:
    """[sync] write_back = false: pins are still taken from Nova."""
    compute.configure(more="[sync]\nwrite_back = false\n")
    compute.cloud.add_instance(UUID, machine="pc")
    compute.cloud.add_instance(OTHER)
    compute.boot(OLD)
    compute.boot(OLD, OTHER, "web-2")
    before = compute.cloud.dump_all()

    assert compute.sync() == (0, "", "")

    assert compute.cloud.dump_all() == before
    assert (compute.pin(), compute.pin(OTHER)) == (
        ("pc", "Nova", OLD),
        (OLD, "running guest", OLD),
    )
    assert compute.sync("--only", "push")[0] == 2


def test_the_alias_is_written_where_that_is_the_style(compute: Compute) -> None:
    """[pin] style = alias."""
    compute.configure(more="[pin]\nstyle = alias\n")
    compute.cloud.add_instance(UUID)
    compute.boot(NEW)

    assert compute.sync() == (0, "", "")

    assert compute.cloud.machine(UUID) == "pc"


@pytest.mark.parametrize(
    ("step", "pin", "record"), [("pull", "pc", None), ("seed", OLD, None), ("push", None, None)]
)
def test_one_step_alone(compute: Compute, step: str, pin: str | None, record: str | None) -> None:
    """--only: of two instances Nova has a record of the first only."""
    compute.cloud.add_instance(UUID, machine="pc")
    compute.cloud.add_instance(OTHER)
    compute.boot(OLD, OTHER, "web-2")

    assert compute.sync("--only", step) == (0, "", "")

    assert (compute.pin() or (None,))[0] == ("pc" if step == "pull" else None)
    assert (compute.pin(OTHER) or (None,))[0] == (OLD if step == "seed" else None)
    assert compute.cloud.machine(OTHER) is record


def test_the_steps_one_after_the_other_make_a_whole(compute: Compute) -> None:
    """seed, then push: what was recorded is written."""
    compute.cloud.add_instance(UUID)
    compute.boot(OLD)
    compute.sync("--only", "seed")

    assert compute.sync("--only", "push") == (0, "", "")

    assert compute.cloud.machine(UUID) == OLD
