# SPDX-License-Identifier: Apache-2.0
"""Try everything that Nova does to a server on a real cloud, and print what became of its machine type.

The cloud is Debian's own OpenStack on this one machine: a controller and two compute hosts, in namespaces of their
own. What is kept from run to run is below /var/cache/mthook-roots, or $MTHOOK_ROOTS.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from tests.cloud import network, root, wheel
from tests.cloud.cloud import Cloud
from tests.cloud.judgement import breaches
from tests.cloud.paths import PATHS
from tests.cloud.setups import DEFAULTS, SET_UPS
from tests.cloud.table import remark, table
from tests.cloud.trial import Result, Trial
from tests.lab import LabError, exit_code
from tests.lab.table import log


def main() -> int:
    """Run it; 0 if every result is as it must be."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        root.packages()  # it is the only one to need a network
        with wheel.built() as built:
            network.isolate()
            with Cloud() as cloud:
                log("The cloud is up.")
                if options.shell:
                    return _shell(cloud)
                return _run(cloud, options, built)
    except LabError as error:
        print(f"The cloud failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the cloud is gone", file=sys.stderr)
        return 130


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cloud", description=__doc__)
    names = [set_up.name for set_up in SET_UPS]
    parser.add_argument("--set-up", action="append", choices=names, help="only this one")
    names = [defaults.name for defaults in DEFAULTS]
    parser.add_argument("--defaults", action="append", choices=names, help="only this change")
    parser.add_argument("--path", action="append", metavar="GLOB", help="only these paths")
    parser.add_argument("--list", action="store_true", help="list the paths and end")
    parser.add_argument("--shell", action="store_true", help="bring the cloud up for a shell")
    options = parser.parse_args()
    if options.list:
        print("\n".join(path.name for path in PATHS))
        parser.exit()
    return options


def _run(cloud: Cloud, options: argparse.Namespace, built: Path) -> int:
    paths = [path for path in PATHS if _chosen(path.name, options.path)]
    for machine in (cloud.controller, *cloud.hosts.values()):
        wheel.install(machine, built)
    trials = [
        Trial(cloud, set_up, defaults)
        for set_up in SET_UPS
        for defaults in DEFAULTS
        if _chosen(set_up.name, options.set_up) and _chosen(defaults.name, options.defaults)
    ]
    results: list[Result] = []
    try:
        for trial in trials:
            log(f"{trial.set_up.title}: {trial.defaults.title}")
            found = trial.run(paths)
            results += found
            for result in filter(breaches, found):
                log(f"  {result.path.name}: {remark(result)}")
    finally:  # after Ctrl-C too it says what is known
        print(table(results))
    broken = sum(bool(breaches(result)) for result in results)
    log(f"{len(results)} results, {broken} of them broken.")
    return 1 if broken else 0


def _chosen(name: str, patterns: Sequence[str] | None) -> bool:
    return not patterns or any(fnmatch(name, pattern) for pattern in patterns)


def _shell(cloud: Cloud) -> int:
    """Run a shell in the cloud's network; variables have how to get on its machines."""
    machines = (cloud.controller, *cloud.hosts.values())
    entries = {machine.name: " ".join(machine.command([])) for machine in machines}
    for name, entry in entries.items():
        print(f"${name} COMMAND: {entry} COMMAND")
    return subprocess.call([os.environ.get("SHELL", "/bin/sh")], env={**os.environ, **entries})


if __name__ == "__main__":
    sys.exit(exit_code(main()))
