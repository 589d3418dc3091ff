# SPDX-License-Identifier: Apache-2.0
"""An upgrade as an operator goes through it: sync, change the default, and no guest has other hardware than before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import LAST_PC, OLD_PC, OLD_Q35, PC, Q35, Host
from tests.lab.nova import Cloud
from tests.nova import happenings
from tests.nova.client import Nova
from tests.nova.sync.conftest import Compute

#: The default after the upgrade; before it was Nova's own, pc.
AFTER = ["x86_64=q35"]
#: What instances run or are defined with, by name and state; None: no domain, as after shelving.
GUESTS = {
    ("web-1", "active"): OLD_PC,
    ("web-2", "active"): OLD_Q35,
    ("db-1", "paused"): Q35,
    ("db-2", "stopped"): LAST_PC,
    ("db-3", "stopped"): LAST_PC.replace("i440fx", "q35"),
    ("old-1", "shelved"): None,
}


@pytest.fixture(scope="module")
def alpha() -> Iterator[Host]:
    """The compute host."""
    with Host("alpha") as host:
        yield host


@pytest.fixture
def compute(
    alpha: Host, cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Compute]:
    """The same without guests, where mthook has never run."""
    alpha.remove_guests()
    yield Compute(alpha, cloud, tmp_path, capsys)
    alpha.remove_guests()


@pytest.fixture
def instances(compute: Compute) -> dict[str, str]:
    """The instances, none with a recorded machine type, and what each has to keep."""
    found = {}
    for (name, state), machine in GUESTS.items():
        uuid = compute.cloud.add_instance(vm_state=state, display_name=name)
        found[uuid] = machine or "pc"
        if machine is None:
            continue
        if state == "stopped":
            compute.define(machine, uuid, name)
        else:
            compute.boot(machine, uuid, name)
        if state == "paused":
            compute.node.virsh("suspend", "--domain", name)
    compute.cloud.add_instance(deleted=True)
    compute.cloud.add_instance(vm_state="building", task_state="spawning")
    return found


def _machine(xml: str) -> str:
    (machine,) = re.findall(r"<type [^>]*\bmachine=[\"']([^\"']+)", xml)
    return str(machine)


def test_the_default_changes_and_no_instance_does(
    compute: Compute, instances: dict[str, str], nova: Nova
) -> None:
    """Real Nova lists all of them before and none after a sync, and generates for each what it was."""
    before = nova.list_unset()
    assert (before.code, set(before.output.split())) == (3, set(instances))

    assert compute.sync() == (0, "", "")

    assert nova.list_unset().code == 0
    for uuid, machine in instances.items():
        assert nova.get(uuid) == (0, f"{machine}\n")
        assert _machine(nova.xml(uuid, hw_machine_type=AFTER, uri=compute.node.uri)) == machine
    compute.configure(more=f"[libvirt]\nhw_machine_type = {','.join(AFTER)}\n")
    rows = compute.cloud.dump_all()
    assert compute.sync() == (0, "", "")
    assert compute.cloud.dump_all() == rows


def test_without_a_sync_the_default_would_change_them(
    compute: Compute, instances: dict[str, str], nova: Nova
) -> None:
    """What this is all about: and a row that Nova loses after the change is written again in time."""
    machines = {nova.machine(uuid, hw_machine_type=AFTER) for uuid in instances}
    assert machines == {"q35"}
    compute.sync()
    compute.configure(more=f"[libvirt]\nhw_machine_type = {','.join(AFTER)}\n")
    for uuid in instances:
        happenings.lose(compute.cloud, uuid)

    assert compute.sync() == (0, "", "")

    for uuid, machine in instances.items():
        assert nova.machine(uuid, hw_machine_type=AFTER) == machine


def test_what_nova_manage_writes_is_brought_by_the_next_sync(
    compute: Compute, instances: dict[str, str], nova: Nova
) -> None:
    """To the pin and to the definition; with what Nova generates they are one."""
    compute.sync()
    uuid = next(uuid for uuid, machine in instances.items() if machine == LAST_PC)
    code, output = nova.update(uuid, PC)
    assert code == 0, output

    assert compute.sync() == (0, "", "")

    assert (compute.pin(uuid) or ())[:2] == (PC, "Nova")
    assert compute.node.machine("db-2") == PC
    assert _machine(nova.xml(uuid, AFTER, compute.node.uri)) == PC
    others = {one: machine for one, machine in instances.items() if one != uuid}
    assert {one: compute.cloud.machine(one) for one in others} == others
