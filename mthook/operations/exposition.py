# SPDX-License-Identifier: Apache-2.0
"""Figures as Prometheus reads them: its text format, and a file for node_exporter's textfile collector."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mthook import files
from mthook.errors import MetricsError
from mthook.operations.metrics import Metric, Sample
from mthook.text import cause, printable

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

#: node_exporter has a user of its own.
_MODE = 0o644


def render(figures: Iterable[tuple[Metric, list[Sample]]]) -> str:
    """Return figures in Prometheus' text format.

    :raises MetricsError: prometheus_client isn't installed.
    """
    try:
        # Here: it loads a web server, and few runs need it.
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.registry import Collector
    except ImportError as error:
        raise MetricsError(
            f"figures for Prometheus can't be made: {error}: install prometheus_client"
        ) from error
    families = list(map(_family, figures))

    class Measured(Collector):
        """Passes on what was measured."""

        def collect(self) -> list[Family]:
            """Return it."""
            return families

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Measured())
    return generate_latest(registry).decode()


def write(path: str, figures: Iterable[tuple[Metric, list[Sample]]]) -> None:
    """Write figures to a file; a reader sees all of the old or all of the new ones.

    :raises MetricsError: it can't be written; the old file stays, and nothing is left beside it.
    """
    text = render(figures)
    try:
        files.replace(path, text, _MODE)
    except OSError as error:
        raise MetricsError(
            f"[metrics] textfile: {printable(path)} can't be written: {cause(error)}; {_way_out(path)}"
        ) from error


def _way_out(path: str) -> str:
    directory = printable(os.path.dirname(path))
    if not os.path.isdir(os.path.dirname(path)):
        return f"make the directory {directory}, or correct the option"
    return f"make room and let root write in {directory}, under systemd with ReadWritePaths={directory}"


def _family(figure: tuple[Metric, list[Sample]]) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    metric, samples = figure
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family
