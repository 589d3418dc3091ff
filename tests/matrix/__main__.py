# SPDX-License-Identifier: Apache-2.0
"""Compare forecasts with the QEMUs of four Debians; then try mthook on each one's own libvirt, QEMU and Python.

virtqemud and virtproxyd are built for one of them.

``python -m tests.matrix --record`` writes what the QEMUs offer to ``tests/fixtures/offers/``, which tests read.
Roots are kept from run to run below /var/cache/mthook-roots, or $MTHOOK_ROOTS.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.lab import LabError, exit_code
from tests.matrix import forecasts, releases
from tests.matrix.roots import SUITES

_DOWNLOAD = "about 220 MB of QEMUs, removed again, and the first time 1.6 GB for roots and daemons, which stay"


def main() -> int:
    """Run it; the exit code is 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="tests.matrix", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write the fixtures, compare nothing")
    parser.add_argument(
        "--suite", choices=releases.COLUMNS, action="append", help="no forecasts, and only this"
    )
    args = parser.parse_args()
    print(f"Downloading for {', '.join(SUITES.values())}: {_DOWNLOAD}.", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory() as directory:
            if args.record:
                return forecasts.record(Path(directory))
            wrong = 0 if args.suite else forecasts.compare(Path(directory))
            wrong += releases.compare(args.suite or list(releases.COLUMNS), Path(directory))
            return int(wrong > 0)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(exit_code(main()))
