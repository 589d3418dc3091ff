# SPDX-License-Identifier: Apache-2.0
"""How long a command takes from its start to its end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab.nova import Cloud
from tests.nova.client import Nova

#: How many times faster than nova-manage it has to be.
_TIMES = 4


def seconds(command: Callable[[], subprocess.CompletedProcess[str]]) -> float:
    """Return how long a command takes."""
    start = time.monotonic()
    done = command()
    took = time.monotonic() - start
    assert (done.returncode, done.stdout) == (0, "pc-i440fx-7.2\n")
    return took


def test_get_is_four_times_faster_than_nova_manage(cloud: Cloud, nova: Nova, config: Path) -> None:
    """Whole processes in turn, with the same answer from the same database; the quickest of each."""
    uuid = cloud.add_instance(machine="pc-i440fx-7.2")
    program = str(Path(sys.executable).with_name("mthook-admin"))
    argv = [program, "--config-file", str(config), "get", uuid]

    took = [
        (
            seconds(lambda: nova.manage("libvirt", "get_machine_type", uuid)),
            seconds(lambda: subprocess.run(argv, check=False, capture_output=True, text=True)),
        )
        for _ in range(3)
    ]

    theirs, ours = map(min, zip(*took))
    assert theirs / ours >= _TIMES
