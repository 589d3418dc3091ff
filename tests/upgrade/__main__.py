# SPDX-License-Identifier: Apache-2.0
"""Upgrade a Debian 12 host with real guests to Debian 13 and start every guest, with mthook as a package or in a venv.

Roots are kept from run to run below /var/cache/mthook-roots, or $MTHOOK_ROOTS. Upgrades are downloaded each time.
"""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import tempfile
from pathlib import Path

from tests.lab import LabError, exit_code
from tests.lab.table import table
from tests.packages import ways
from tests.upgrade import trial

_DOWNLOAD = "about 600 MB for roots the first time, and 300 MB for each way to install mthook"
_WAYS = {"package": ways.Package, "venv": ways.Venv}
_HEAD = ("guest", "machine type", "state", "forecast", "advice", "start", "after", "")


def main() -> int:
    """Run it; the exit code is 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="tests.upgrade", description=__doc__)
    parser.add_argument("--way", choices=_WAYS, action="append", help="only this way")
    chosen = parser.parse_args().way or list(_WAYS)
    print(f"Upgrading Debian 12 to 13 in a root of its own. Downloads {_DOWNLOAD}.", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory() as directory:
            return max([_try(name, Path(directory)) for name in chosen])
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _try(name: str, directory: Path) -> int:
    rows, wrong = trial.run(_WAYS[name](directory))
    print(f"\nmthook as a {name}:\n{table(_HEAD, [dataclasses.astuple(row) for row in rows])}")
    wrong += [f"{row.guest}: {row.wrong}" for row in rows if row.wrong]
    print(f"{len(rows)} guests, {len(wrong)} faults", *wrong, sep="\n", flush=True)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(exit_code(main()))
