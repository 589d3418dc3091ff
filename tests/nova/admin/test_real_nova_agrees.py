# SPDX-License-Identifier: Apache-2.0
"""``set`` answers and writes what ``nova-manage libvirt update_machine_type`` does, but for a list."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Optional

import pytest
from nova.objects.fields import InstanceState

from mthook import conf
from mthook.nova import cells
from tests.lab.nova import MACHINE_KEY, Cloud
from tests.nova.client import Nova

from .conftest import Run
from .differences import DIFFERENCES, Difference

TYPES = (
    "pc",
    "q35",
    "virt",
    "s390-ccw-virtio",
    "pc-i440fx-2.11",
    "pc-i440fx-7.2",
    "pc-q35-6.2",
    "pc-q35-7.2",
    "pc-q35-10.0",
    "pc-i440fx-rhel7.6.0",
    "pc-q35-rhel7.6.0",
    "pc-q35-rhel8.6.0",
    "pc-i440fx-rhel8.6.0",
)
EXISTING = (None, *TYPES)
NEW = ("none", *TYPES)
#: One name for each kind of answer: an alias, another family, an older and a newer version, a vendor's.
KINDS = ("pc", "pc-i440fx-7.2", "pc-q35-6.2", "pc-q35-7.2", "pc-q35-rhel8.6.0")
#: What nova.compute.vm_states gives names to.
STATES = sorted(InstanceState.ALL)
#: One in which Nova changes a machine type without --force, and one in which it doesn't.
EITHER = ("stopped", "active")


class Case(NamedTuple):
    """One change of an instance's machine type."""

    vm_state: str
    existing: Optional[str]
    new: str
    force: bool


class Outcome(NamedTuple):
    """What became of it.

    :ivar rows: value, whether it counts, and whether it was written, of each row.
    """

    code: int
    rows: list[tuple[str, bool, bool]]


@pytest.fixture(autouse=True)
def connected(config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    """Keep configuration and connections from one command to the next: they take longer than the rest."""
    loaded = conf.load([str(config)])
    with cells.opened(loaded) as opened:
        monkeypatch.setattr(conf, "load", lambda _: loaded)
        monkeypatch.setattr(cells, "opened", lambda _: contextlib.nullcontext(opened))
        yield


def instances(cloud: Cloud, vm_state: str, cases: Sequence[Case]) -> list[str]:
    """Make an instance for each case."""
    made = cloud.add_instances(len(cases), vm_state=vm_state)
    recorded = [
        (uuid, MACHINE_KEY, case.existing) for uuid, case in zip(made, cases) if case.existing
    ]
    with cloud.connect() as cursor:
        cursor.executemany(
            "INSERT INTO instance_system_metadata (created_at, instance_uuid, `key`, value, deleted)"
            " VALUES (UTC_TIMESTAMP(), %s, %s, %s, 0)",
            recorded,
        )
    return made


def rows(cloud: Cloud) -> dict[str, list[tuple[str, bool, bool]]]:
    """Return what is recorded of all instances."""
    found: dict[str, list[tuple[str, bool, bool]]] = defaultdict(list)
    for uuid, *row in cloud.execute(
        "SELECT instance_uuid, value, deleted = 0, updated_at IS NOT NULL"
        " FROM instance_system_metadata WHERE `key` = %s ORDER BY id",
        (MACHINE_KEY,),
    ):
        found[uuid].append((row[0], bool(row[1]), bool(row[2])))
    return found


def ours(run: Run, uuid: str, case: Case) -> int:
    """Ask mthook-admin."""
    return run("set", *(["--force"] if case.force else []), uuid, case.new).code


def both(
    cloud: Cloud, nova: Nova, run: Run, vm_state: str, cases: Sequence[Case]
) -> Mapping[Case, tuple[Outcome, Outcome]]:
    """Return what becomes of each case by Nova, and by mthook-admin on an instance like it."""
    theirs, own = instances(cloud, vm_state, cases), instances(cloud, vm_state, cases)
    with ThreadPoolExecutor(1) as elsewhere:
        answers = elsewhere.submit(
            lambda: [
                nova.update(uuid, case.new, case.force).code for uuid, case in zip(theirs, cases)
            ]
        )
        codes = [ours(run, uuid, case) for uuid, case in zip(own, cases)]
        theirs_codes = answers.result()
    found = rows(cloud)
    return {
        case: (_outcome(case, their_code, found[their]), _outcome(case, code, found[mine]))
        for case, their_code, their, code, mine in zip(cases, theirs_codes, theirs, codes, own)
    }


def _outcome(case: Case, code: int, rows: list[tuple[str, bool, bool]]) -> Outcome:
    """Return what became of a case. A new row was written, whether it looks like one that was changed or not."""
    new = case.existing is None
    return Outcome(code, [(value, counts, changed or new) for value, counts, changed in rows])


def test_the_states_are_all_there_are() -> None:
    """Nova's own."""
    assert {"active", "building", "shelved_offloaded", "soft-delete", "deleted"} < set(STATES)
    assert len(STATES) == 12


@pytest.mark.parametrize("vm_state", STATES)
def test_every_change_ends_alike(cloud: Cloud, nova: Nova, run: Run, vm_state: str) -> None:
    """Exit code and rows, with and without --force, except what is listed.

    Every pair of types is tried in a state that allows changes and in one that doesn't, every kind in the others. With
    --force the state doesn't count.
    """
    pairs = (EXISTING, NEW) if vm_state in EITHER else ((None, *KINDS), ("none", *KINDS))
    forced = (False,) if vm_state == EITHER[1] else (False, True)
    cases = [Case(vm_state, *rest) for rest in itertools.product(*pairs, forced)]

    outcomes = both(cloud, nova, run, vm_state, cases)

    different = {case: pair for case, pair in outcomes.items() if pair[0] != pair[1]}
    listed = {
        Case(one.vm_state, one.existing, one.new, one.force)
        for one in DIFFERENCES
        if not one.metadata
    }
    assert different.keys() == listed & set(cases), different


@pytest.mark.parametrize(
    "one", DIFFERENCES, ids=lambda one: f"{one.existing}-{one.new}-{one.vm_state}-{one.force}"
)
def test_what_is_listed_is_different(cloud: Cloud, nova: Nova, run: Run, one: Difference) -> None:
    """As the list says; nothing is written where the answer is no."""
    theirs, own = cloud.add_instances(
        2, vm_state=one.vm_state, machine=one.existing, metadata=one.metadata
    )
    case = Case(one.vm_state, one.existing, one.new, one.force)

    codes = (nova.update(theirs, one.new, one.force).code, ours(run, own, case))

    assert codes == (one.nova, one.ours)
    written = (cloud.machine(theirs), cloud.machine(own))
    assert written == tuple(one.existing if code else one.new for code in codes)
