# SPDX-License-Identifier: Apache-2.0
"""What a report costs: on a host with 10,000 guests, of 10,000 hosts with 50 guests each, and in a browser."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import browser, figures
from bench.timing import medians, report
from mthook.operations.readiness.context import Context
from mthook.operations.report import here
from mthook.operations.report.aggregates import Aggregates, HostFigures, MachineFigures, together
from mthook.operations.report.judged import judge
from mthook.text import now
from mthook.tools.admin.report import page

GUESTS = "10,000 guests of one host, their page"
HOSTS = "10,000 hosts with 50 guests each, their page"
OPENED = "{} opened in Chromium"
#: Seconds that each may take.
LIMITS = {GUESTS: 3.0, HOSTS: 3.0}
LIMIT_OPENED = 1.0
_MODES = ("enforce",) * 9 + ("audit",)


def run(rounds: int) -> bool:
    """Measure and print; return whether the limits are kept."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        conf = figures.configuration_of(place, per_guest=False)
        figures.fill(conf)
        hosts = [_host(number) for number in range(10_000)]
        things: dict[str, Callable[[], str]] = {
            GUESTS: lambda: _page_of_host(conf),
            HOSTS: lambda: page.html(judge(together(hosts), now())),
        }
        cost = medians(things, rounds)
        limits = dict(LIMITS)
        with browser.opened() as found:
            for name, thing in things.items() if found else ():
                (place / "report.html").write_text(thing())
                times = [found.open(place / "report.html") for _ in range(rounds)]
                cost[OPENED.format(name)] = statistics.median(times)
                limits[OPENED.format(name)] = LIMIT_OPENED
    kept = report("Reports (median)", cost, [])
    for name, limit in limits.items():
        within = cost[name] <= limit
        kept = kept and within
        print(f"  {name}: limit {limit:.0f} s: {'kept' if within else 'EXCEEDED'}")
    if len(limits) == len(LIMITS):
        print("  Chromium isn't installed here: no page was opened")
    return kept


def _page_of_host(conf: figures.configuration.cfg.ConfigOpts) -> str:
    with Context(conf, [], str(Path(conf.catalog.path).parent)) as context:
        return page.html(judge(here.figures(context), now()))


def _host(number: int) -> Aggregates:
    """Return the figures of a host as it exports them."""
    at = now()
    mode = _MODES[number % len(_MODES)]
    host = HostFigures(f"compute-{number:05}", at, 50, 40, 0, 0, 0, 0, mode, True, at, 0, "7.2.22")
    names = (
        f"pc-{board}-{major}.{minor}"
        for board in ("i440fx", "q35")
        for major in (5, 6, 7, 8)
        for minor in (0, 1)
    )
    machines = [MachineFigures(name, 3, 2, 3, 1) for name in names]
    return Aggregates((host,), machines, {"running": 0, "defined": 0, "nova": 0, "stopped": 0})
