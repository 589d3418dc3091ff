# SPDX-License-Identifier: Apache-2.0
"""Run all benchmarks, print medians and ratios, end with 1 when a ratio is over its limit."""

from __future__ import annotations

import argparse
import sys

from bench import gate, hook, start


def main() -> int:
    """Run them; 0 when every limit is kept."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="rounds, default: %(default)s")
    rounds = parser.parse_args().rounds
    kept = [hook.run(rounds), start.run(max(rounds // 4, 5)), gate.run(rounds)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
