# SPDX-License-Identifier: Apache-2.0
"""A plan for 10,000 instances in a real MariaDB with Nova's schema: made, applied, taken back."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.nova import _WATCHED, _program
from bench.timing import Ratio, report
from tests.lab.mariadb import MariaDB
from tests.lab.nova import Cloud
from tests.lab.novaschema import make_schema
from tests.specs import request_spec

MANY = 10_000
OLD, NEW = "pc-q35-6.2", "pc-q35-7.2"
PLAN, APPLY, UNDO = (f"{what} of {MANY:,} instances" for what in ("plan set", "apply", "undo"))
LIMIT, MEMORY = "60 s", "100 MiB"


def run(rounds: int) -> bool:
    """Measure and print; return whether all limits are kept."""
    with tempfile.TemporaryDirectory() as name, MariaDB() as mariadb:
        directory = Path(name)
        with Cloud(mariadb, make_schema(mariadb, directory)) as cloud:
            uuids = cloud.add_instances(MANY, vm_state="stopped", machine=OLD)
            for begun in range(0, MANY, 1000):
                specs = {uuid: request_spec(uuid) for uuid in uuids[begun : begun + 1000]}
                cloud.add_specs(specs)
            return _measure(cloud, directory)


def _measure(cloud: Cloud, directory: Path) -> bool:
    config = cloud.mthook_conf(
        directory, host="admin", catalog=directory / "lib" / "catalog.sqlite"
    )
    before = _dumped(cloud)
    plan = directory / "plan.json"
    seconds, memory = {}, {}
    with plan.open("w") as out:
        words = ["plan", "set", "--all-hosts", "--machine", "pc-q35-6.*", "--to", NEW]
        seconds[PLAN], memory[PLAN] = _run(config, words, out)
    seconds[APPLY], memory[APPLY] = _run(config, ["apply", str(plan)])
    changed = len(cloud.execute("SELECT 1 FROM instance_system_metadata WHERE value = %s", (NEW,)))
    seconds[UNDO], memory[UNDO] = _run(config, ["undo", "--last"])
    same = _dumped(cloud) == before
    print(f"\n{changed:,} changed; all tables after undo as before: {same}")
    seconds[LIMIT], memory[MEMORY] = 60.0, 100.0
    kept = [
        report("A plan, a process each", seconds, [Ratio(APPLY, LIMIT, 1.0)]),
        report(
            "The memory it takes, at most",
            memory,
            [Ratio(one, MEMORY, 1.0) for one in (PLAN, APPLY, UNDO)],
            unit="MiB",
        ),
    ]
    return same and changed == MANY and all(kept)


def _dumped(cloud: Cloud) -> dict[str, Any]:
    return {name: cloud.dump_all(name) for name in cloud.databases}


def _run(config: Path, words: list[str], out: Any = subprocess.DEVNULL) -> tuple[float, float]:
    """Run mthook-admin; return its seconds, and its memory in MiB."""
    with tempfile.NamedTemporaryFile("r") as file, tempfile.TemporaryFile("w+") as err:
        argv = [sys.executable, "-c", _WATCHED, file.name, _program("mthook-admin")]
        begun = time.perf_counter()
        done = subprocess.run(
            [*argv, "--config-file", str(config), *words], check=False, stdout=out, stderr=err
        )
        seconds = time.perf_counter() - begun
        if done.returncode:
            err.seek(0)
            raise RuntimeError(
                f"{' '.join(words)} ended with {done.returncode}\n{err.read()[-2000:]}"
            )
        return seconds, int(file.read()) / 1024
