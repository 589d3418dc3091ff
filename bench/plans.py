# SPDX-License-Identifier: Apache-2.0
"""A plan for instances in a real MariaDB with Nova's schema: made, applied, taken back, and killed meanwhile."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from bench.nova import _WATCHED, _program
from bench.timing import Ratio, report
from mthook.tools.admin import main
from tests.lab.mariadb import MariaDB
from tests.lab.nova import Cloud
from tests.lab.novaschema import make_schema
from tests.nova import kills
from tests.specs import request_spec

MANY = 10_000
#: How often apply and undo are killed, each of so many instances; and the seconds that they are left alone at most.
KILLS, FEW, LONGEST = 25, 500, 1.5
OLD, NEW = "pc-q35-6.2", "pc-q35-7.2"
PLAN, APPLY, UNDO = (f"{what} of {MANY:,} instances" for what in ("plan set", "apply", "undo"))
LIMIT, MEMORY = "60 s", "100 MiB"


class Cost(NamedTuple):
    """What a process took.

    :ivar seconds: from its start to its end; on a machine with other work to do that tells little.
    :ivar busy: seconds of processor time, without the database's.
    :ivar memory: at most, in MiB.
    """

    seconds: float
    busy: float
    memory: float


def run(rounds: int) -> bool:
    """Measure and print; return whether all limits are kept."""
    with tempfile.TemporaryDirectory() as name, MariaDB() as mariadb:
        directory = Path(name)
        with Cloud(mariadb, make_schema(mariadb, directory)) as cloud:
            uuids = cloud.add_instances(MANY, vm_state="stopped", machine=OLD)
            for begun in range(0, MANY, 1000):
                specs = {uuid: request_spec(uuid) for uuid in uuids[begun : begun + 1000]}
                cloud.add_specs(specs)
            return _measure(cloud, directory) & _kill(cloud, directory)


def _measure(cloud: Cloud, directory: Path) -> bool:
    config = cloud.mthook_conf(
        directory, host="admin", catalog=directory / "lib" / "catalog.sqlite"
    )
    before = _dumped(cloud)
    plan = directory / "plan.json"
    cost = {PLAN: _plan(config, plan, "pc-q35-6.*")}
    cost[APPLY] = _run(config, ["apply", str(plan)])
    changed = len(cloud.execute("SELECT 1 FROM instance_system_metadata WHERE value = %s", (NEW,)))
    cost[UNDO] = _run(config, ["undo", "--last"])
    same = _dumped(cloud) == before
    print(f"\n{changed:,} changed; all tables after undo as before: {same}")
    seconds = {**{what: one.seconds for what, one in cost.items()}, LIMIT: 60.0}
    busy = {**{what: one.busy for what, one in cost.items()}, LIMIT: 60.0}
    memory = {**{what: one.memory for what, one in cost.items()}, MEMORY: 100.0}
    within = [Ratio(one, MEMORY, 1.0) for one in cost]
    kept = [
        report("A plan, a process each", seconds, [Ratio(APPLY, LIMIT, 1.0)], unit="s"),
        report("Its processor time", busy, [Ratio(APPLY, LIMIT, 1.0)], unit="s"),
        report("Its memory, at most", memory, within, unit="MiB"),
    ]
    return same and changed == MANY and all(kept)


def _kill(cloud: Cloud, directory: Path) -> bool:
    """Kill apply and undo at random moments, then let them end; return whether each instance was changed just once."""
    config, plan, old = directory / "mthook.conf", directory / "few.json", "pc-q35-5.2"
    uuids = cloud.add_instances(FEW, vm_state="stopped", machine=old)
    cloud.add_specs({uuid: request_spec(uuid) for uuid in uuids})
    _plan(config, plan, old)
    once, moments = Counter(uuids), random.Random(14)

    def run(*words: str) -> int:
        return int(main(["--config-file", str(config), *words]))

    good = True
    with kills.counting(cloud):
        for words in (["apply", str(plan)], ["undo", "--last"]):
            killed = kills.killed(run, words, KILLS, moments, LONGEST)
            _run(config, words)
            just_once = kills.taken(cloud) == [once, once]
            print(
                f"{words[0]} killed {killed} times: each of {FEW} instances changed just once: {just_once}"
            )
            good = good and just_once and killed > 0
    return good


def _plan(config: Path, plan: Path, machine: str) -> Cost:
    with plan.open("w") as out:
        words = ["plan", "set", "--all-hosts", "--machine", machine, "--to", NEW]
        return _run(config, words, out)


def _dumped(cloud: Cloud) -> dict[str, Any]:
    return {name: cloud.dump_all(name) for name in cloud.databases}


def _run(config: Path, words: list[str], out: Any = subprocess.DEVNULL) -> Cost:
    """Run mthook-admin."""
    with tempfile.NamedTemporaryFile("r") as file, tempfile.TemporaryFile("w+") as err:
        argv = [sys.executable, "-c", _WATCHED, file.name, _program("mthook-admin")]
        begun, busy = time.perf_counter(), _busy()
        done = subprocess.run(
            [*argv, "--config-file", str(config), *words], check=False, stdout=out, stderr=err
        )
        seconds, busy = time.perf_counter() - begun, _busy() - busy
        if done.returncode:
            err.seek(0)
            raise RuntimeError(
                f"{' '.join(words)} ended with {done.returncode}\n{err.read()[-2000:]}"
            )
        return Cost(seconds, busy, int(file.read()) / 1024)


def _busy() -> float:
    """Return the processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
