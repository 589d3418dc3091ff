# SPDX-License-Identifier: Apache-2.0
"""Measure costs as ratios within one run: machines are noisy, a ratio of medians taken in turn is not."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """What one thing costs, in terms of another.

    :ivar limit: what the ratio may be at the most; ``None``: for comparison only.
    """

    what: str
    against: str
    limit: float | None = None


def medians(
    things: Mapping[str, Callable[[], object]],
    rounds: int,
    after: Mapping[str, Callable[[], object]] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the median seconds of each, all taken in turn in every round, after one round that doesn't count.

    :param after: what to do after some of them, which isn't measured.
    :param clock: ``time.process_time`` for what waits for nothing: others on the machine don't count then.
    """
    taken: dict[str, list[float]] = {name: [] for name in things}
    for number in range(rounds + 1):
        turn = list(things.items())
        # Whoever comes second meets what the first left behind: caches, memory being freed.
        for name, thing in turn if number % 2 else reversed(turn):
            begun = clock()
            thing()
            seconds = clock() - begun
            if number:
                taken[name].append(seconds)
            if after is not None and name in after:
                after[name]()
    return {name: statistics.median(times) for name, times in taken.items()}


def report(
    title: str, cost: Mapping[str, float], ratios: list[Ratio], unit: str | None = None
) -> bool:
    """Print costs and ratios; return whether every ratio keeps its limit.

    :param unit: of the costs; None: seconds, printed as milliseconds.
    """
    print(f"\n{title}")
    for name, value in cost.items():
        print(f"  {name:<58} {value if unit else value * 1000:9.2f} {unit or 'ms'}")
    kept = True
    for ratio in ratios:
        value = cost[ratio.what] / cost[ratio.against]
        verdict = ""
        if ratio.limit is not None:
            kept = kept and value <= ratio.limit
            verdict = f"  limit {ratio.limit:.2f}: {'kept' if value <= ratio.limit else 'EXCEEDED'}"
        print(f"  {ratio.what} / {ratio.against} = {value:.2f}{verdict}")
    return kept
