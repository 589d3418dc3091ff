# SPDX-License-Identifier: Apache-2.0
"""A run for the whole cloud, and the images that shelved instances are unshelved from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from mthook.nova import tables
from mthook.nova.instance import MACHINE_KEY
from tests.glance import Glance, served
from tests.unit.nova.novas import insert, put
from tests.unit.operations.cloud.conftest import Controller, utcnow

PC = "pc-i440fx-7.2"
IMAGE = "9d1b0000-0000-4000-8000-000000000001"


@pytest.fixture
def glance() -> Iterator[Glance]:
    """Glance with an image that names no machine type."""
    with served() as found:
        image = {"id": IMAGE, "name": "web-shelved", "status": "active", "hw_disk_bus": "ide"}
        found.images[IMAGE] = image
        yield found


@pytest.fixture
def credentials(controller: Controller, glance: Glance) -> None:
    """The configuration has those of a user that may change it."""
    controller.configure(glance.options())


def shelved(controller: Controller, image: str = IMAGE, state: str = "shelved_offloaded") -> str:
    """Add an instance that is unshelved from an image; its disk is a SATA one."""
    host = None if state == "shelved_offloaded" else "alpha"
    uuid = controller.add(PC, PC, host=host, vm_state=state)
    engine = controller.databases["cell1"]
    put(engine, uuid, image, "shelved_image_id")
    put(engine, uuid, "sata", "image_hw_disk_bus")
    return uuid


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("state", ["shelved", "shelved_offloaded"])
def test_the_image_gets_what_is_recorded(
    controller: Controller, glance: Glance, state: str
) -> None:
    """The machine type and the buses; a second run has nothing to do."""
    uuid = shelved(controller, state=state)

    assert controller.sync("--dry-run").out.splitlines() == [
        f"would write {PC} of web ({uuid}) to its shelved image",
        f"  web ({uuid}): hw_disk_bus: ide → sata",
    ]
    assert glance.patches == []
    assert controller.sync() == (0, "", "")

    image = glance.images[IMAGE]
    assert (image["hw_machine_type"], image["hw_disk_bus"]) == (PC, "sata")
    assert controller.sync("--dry-run") == (0, "nothing to do\n", "")


@pytest.mark.usefixtures("credentials")
def test_what_a_failed_unshelving_has_left_is_put_right(
    controller: Controller, glance: Glance
) -> None:
    """Nova has recorded its default, and no host has the instance that could see to it."""
    uuid, began = shelved(controller), utcnow() - timedelta(minutes=1)
    engine = controller.databases["cell1"]
    times = {"start_time": began, "updated_at": began + timedelta(seconds=9)}
    insert(engine, tables.ACTIONS, instance_uuid=uuid, action="unshelve", message="Error", **times)
    mine = tables.PROPERTIES.c.key == MACHINE_KEY
    written = {"value": "q35", "updated_at": began + timedelta(seconds=5)}
    with engine.begin() as connection:
        connection.execute(sa.update(tables.PROPERTIES).where(mine).values(**written))

    assert f"{PC} of web ({uuid}) to Nova in place of q35" in controller.sync("--dry-run").out
    assert controller.sync() == (0, "", "")

    assert (controller.recorded(uuid), controller.specified(uuid)) == ([PC], PC)
    assert glance.images[IMAGE]["hw_machine_type"] == PC


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    "columns", [{"vm_state": "stopped"}, {"vm_state": "shelved", "task_state": "unshelving"}]
)
def test_no_other_image_is_touched(
    controller: Controller, glance: Glance, columns: dict[str, str]
) -> None:
    """One that was unshelved, or is on its way."""
    controller.change(shelved(controller, state="shelved"), **columns)

    assert controller.sync().code == 0
    assert glance.patches == []


def test_without_credentials_the_command_is_told(controller: Controller) -> None:
    """It can be typed as it stands."""
    uuid = shelved(controller)

    assert controller.sync() == (0, "", "")
    assert controller.sync("-v").err.splitlines()[0] == (
        f"mthook-sync: web ({uuid}): mthook changes its shelved image only with [glance] auth_type; by hand: "
        f"openstack image set --property hw_machine_type={PC} --property hw_disk_bus=sata {IMAGE}"
    )


@pytest.mark.usefixtures("credentials")
def test_an_image_that_is_gone_is_named_and_the_others_are_done(
    controller: Controller, glance: Glance
) -> None:
    """Nobody can unshelve that one anyway."""
    uuid = shelved(controller, "00000000-0000-4000-8000-000000000002")
    shelved(controller)

    said = controller.sync("-v")

    assert said.code == 0
    assert f"web ({uuid}): its shelved image is left alone: image 0000" in said.err
    assert len(glance.patches) == 1


@pytest.mark.usefixtures("credentials")
def test_that_glance_refuses_is_told_once(controller: Controller, glance: Glance) -> None:
    """It is asked nothing more in that run, which does all else."""
    glance.refusal = 403
    for _ in range(3):
        shelved(controller)
    lacks = controller.add(PC)

    said = controller.sync()

    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith(f"mthook-sync: image {IMAGE}: ")
    assert controller.specified(lacks) == PC
