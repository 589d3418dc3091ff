# SPDX-License-Identifier: Apache-2.0
"""Run benchmarks, print medians and ratios, end with 1 when a ratio is over its limit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from bench import conversion, figures, fleet, gate, hook, report, start


def _nova(rounds: int) -> bool:
    from bench import nova  # it needs PyMySQL, and real Nova beside it

    return nova.run(rounds)


def _galera(rounds: int) -> bool:
    from bench import galera

    return galera.run(rounds)


def _plans(rounds: int) -> bool:
    from bench import plans

    return plans.run(rounds)


BENCHMARKS: dict[str, Callable[[int], bool]] = {
    "hook": hook.run,
    "start": lambda rounds: start.run(max(rounds // 4, 5)),
    "conversion": conversion.run,
    "gate": gate.run,
    "figures": lambda rounds: figures.run(max(rounds // 4, 5)),
    "report": lambda rounds: report.run(max(rounds // 10, 5)),
    "fleet": lambda rounds: fleet.run(max(rounds // 5, 5)),
    "nova": lambda rounds: _nova(max(rounds // 10, 5)),
    "galera": _galera,
    "plans": _plans,
}


def main() -> int:
    """Run them; 0 when every limit is kept."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="rounds, default: %(default)s")
    parser.add_argument(
        "--only",
        action="append",
        choices=BENCHMARKS,
        help="may be repeated; nova, galera and plans, which need real Nova installed beside mthook, run only"
        " when named",
    )
    options = parser.parse_args()
    named = options.only or ("hook", "start", "conversion", "gate", "figures", "report", "fleet")
    kept = [BENCHMARKS[name](options.rounds) for name in named]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
