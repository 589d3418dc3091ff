# SPDX-License-Identifier: Apache-2.0
"""What a sync must not be misled by: a wrong host name, odd rows, and others who are at work meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mthook.nova.cell import Cell
from mthook.operations.sync import steps
from tests.lab import novarows
from tests.lab.nova import MACHINE_KEY
from tests.nova import happenings
from tests.nova.sync.conftest import NEW, OLD, OTHER, UUID, Compute


def _meanwhile(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, act: Callable[[], None]
) -> None:
    """Do something just before a function is called for the first time."""
    original = getattr(where, name)
    done: list[bool] = []

    def first(*args: object, **more: object) -> object:
        if not done:
            done.append(True)
            act()
        return original(*args, **more)

    monkeypatch.setattr(where, name, first)


@pytest.mark.parametrize("guests", [0, 1])
def test_another_hosts_name_by_mistake_touches_nothing(compute: Compute, guests: int) -> None:
    """A mthook.conf copied from the host next door, whose instances run there and not here."""
    compute.cloud.add_instance(OTHER, host="beta")
    compute.cloud.add_instance(host="beta", vm_state="stopped")
    if guests:
        compute.cloud.add_instance(UUID)
        compute.boot(OLD)
    compute.configure(host="beta")
    before = compute.cloud.dump_all()

    code, out, err = compute.sync()

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "[DEFAULT] host" in err
    assert compute.cloud.dump_all() == before
    assert compute.pin(OTHER) is None


def test_an_instance_that_runs_but_has_no_domain_isnt_given_the_default(compute: Compute) -> None:
    """It must have run as something, and nobody here knows what."""
    compute.cloud.add_instance(UUID)
    compute.boot(OLD)
    compute.cloud.add_instance(OTHER, vm_state="active")

    code, out, err = compute.sync("-v")

    assert (code, out) == (0, "")
    assert f"({OTHER})" in err
    assert compute.cloud.machine(OTHER) is None
    assert compute.pin(OTHER) is None


def test_a_hosts_name_in_other_letters_is_told(compute: Compute) -> None:
    """To Nova's database it is the same; nothing could be written for it."""
    compute.configure(host="ALPHA")
    compute.cloud.add_instance(UUID)
    compute.boot(OLD)

    code, out, err = compute.sync()

    assert (code, out) == (1, "")
    assert "Nova has this host's guests on alpha: is [DEFAULT] host = ALPHA what" in err
    assert (compute.pin(), compute.cloud.machine(UUID)) == (None, None)


@pytest.mark.parametrize("key", ["image_HW_machine_type", "image_hw_machine_type "])
def test_a_key_in_other_letters_is_another_key(compute: Compute, key: str) -> None:
    """To Nova it is, but not to its database."""
    compute.cloud.add_instance(UUID, metadata={key: "mine"}, machine=OLD)
    compute.cloud.add_instance(OTHER, metadata={key: "mine"})
    compute.define(OLD)
    compute.define(OLD, OTHER, "web-2")
    compute.sync()
    compute.set_pin(NEW)

    assert compute.sync() == (0, "", "")

    for uuid, machine in ((UUID, NEW), (OTHER, OLD)):
        rows = compute.cloud.rows(uuid)
        assert sorted((row["key"], row["value"]) for row in rows) == sorted(
            [(key, "mine"), (MACHINE_KEY, machine)]
        )


def test_a_rebuild_that_begins_after_the_look_isnt_written_into(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run sees what came of it."""
    compute.cloud.add_instance(UUID)
    compute.boot(OLD)
    _meanwhile(monkeypatch, Cell, "record", lambda: compute.cloud.begin_rebuild(UUID))

    assert compute.sync() == (0, "", "")

    assert compute.cloud.rows(UUID) == []


def test_a_pin_released_after_the_look_stays_released(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mthook-admin unset, while a sync goes through many instances."""
    compute.cloud.add_instance(UUID, machine=OLD)
    compute.define(OLD)
    compute.sync()

    def unset() -> None:
        happenings.lose(compute.cloud, UUID)
        with compute.catalog() as catalog:
            catalog.unset_pin(UUID, actor="test")

    _meanwhile(monkeypatch, steps, "pull", unset)

    compute.sync()

    assert (compute.pin() or (OLD,))[0] is None
    monkeypatch.undo()
    compute.sync()
    assert (compute.pin() or (OLD,))[0] is None
    assert compute.cloud.machine(UUID) is None


@pytest.mark.parametrize("ended", [False, True])
def test_a_default_that_a_rescue_recorded_is_replaced(compute: Compute, ended: bool) -> None:
    """Nova makes the XML of a rescue from the rescue image, and records its default in place of what there was."""
    compute.configure(more="[libvirt]\nhw_machine_type = x86_64=q35\n")
    compute.cloud.add_instance(UUID, machine=OLD)
    compute.boot(OLD)
    compute.sync()
    _rescue(compute, "q35")
    if ended:
        _unrescue(compute)

    assert compute.sync() == (0, "", "")

    assert compute.cloud.machine(UUID) == OLD
    assert (compute.pin() or ())[0] == OLD


def test_what_was_recorded_after_a_rescue_counts(compute: Compute) -> None:
    """With nova-manage, as anything else."""
    compute.configure(more=f"[libvirt]\nhw_machine_type = x86_64={NEW}\n")
    compute.cloud.add_instance(UUID, machine=OLD)
    compute.boot(OLD)
    compute.sync()
    _rescue(compute, OLD)
    _unrescue(compute)
    happenings.age(compute.cloud, UUID)
    happenings.change(compute.cloud, UUID, NEW)

    assert compute.sync() == (0, "", "")

    assert (compute.pin() or ())[0] == NEW


def test_what_a_rescue_image_runs_as_is_no_evidence(compute: Compute) -> None:
    """The guest itself is pinned when it is back."""
    compute.cloud.add_instance(UUID, vm_state="rescued")
    compute.boot(NEW)

    assert compute.sync() == (0, "", "")

    assert (compute.pin(), compute.cloud.machine(UUID)) == (None, None)


def test_a_domain_that_comes_after_the_look_isnt_given_the_default(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a migration that ended just then."""
    compute.cloud.add_instance(UUID, vm_state="paused")
    _meanwhile(monkeypatch, steps, "pull", lambda: compute.define(OLD))

    assert compute.sync() == (0, "", "")

    assert (compute.pin(), compute.cloud.machine(UUID)) == (None, None)
    assert compute.sync() == (0, "", "")
    assert (compute.pin() or ())[0] == OLD


def _rescue(compute: Compute, machine: str) -> None:
    """Put an instance into rescue, as nova-api and nova-compute do."""
    with compute.cloud.connect() as cursor:
        novarows.begin_action(cursor, UUID, "rescue")
    happenings.change(compute.cloud, UUID, machine)
    compute.cloud.set_state(UUID, vm_state="rescued")


def _unrescue(compute: Compute) -> None:
    with compute.cloud.connect() as cursor:
        novarows.begin_action(cursor, UUID, "unrescue")
    compute.cloud.set_state(UUID, vm_state="active")
