# SPDX-License-Identifier: Apache-2.0
"""What is in etc/prometheus: alert rules, judged by Prometheus itself, and the dashboard."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mthook.operations import exposition
from mthook.operations.metrics import METRICS, Sample

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "etc" / "prometheus"
RULES, TESTS = DIRECTORY / "mthook-alerts.yml", DIRECTORY / "mthook-alerts-test.yml"
DASHBOARD: dict[str, Any] = json.loads((DIRECTORY / "mthook-dashboard.json").read_text())
GUIDE = "https://mthook.example/guide/metrics.html#"
NAMES = {metric.name for metric in METRICS}


def promtool(*argv: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run Prometheus' own tool, which .ci/bootstrap fetches."""
    places = [str(Path(sys.executable).parent), str(ROOT / ".venv" / "bin"), os.environ["PATH"]]
    program = shutil.which("promtool", path=os.pathsep.join(places))
    assert program is not None, "promtool isn't there: run make, or .ci/bootstrap"
    return subprocess.run(
        [program, *argv], input=text, capture_output=True, text=True, check=False, cwd=DIRECTORY
    )


def alerts() -> list[str]:
    """Return the names of the alerts."""
    return re.findall(r"^ +- alert: (\w+)$", RULES.read_text(), re.MULTILINE)


def metrics_in(text: str) -> set[str]:
    """Return the metrics of mthook's that a text names."""
    return set(re.findall(r"\bmthook_[a-z_]+\b", text))


def expressions() -> list[str]:
    """Return the queries of the dashboard."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_prometheus_takes_the_names_and_what_they_mean() -> None:
    """Of all figures: no complaint about a name, a unit, a help text."""
    figures: list[tuple[Any, list[Sample]]] = [
        (metric, [(("a",) * len(metric.labels), 1)]) for metric in METRICS
    ]

    done = promtool("check", "metrics", text=exposition.render(figures))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_prometheus_takes_the_rules() -> None:
    """All of them."""
    done = promtool("check", "rules", RULES.name)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"SUCCESS: {len(alerts())} rules found" in done.stdout


def test_the_alerts_fire_when_they_should_and_not_before() -> None:
    """As their own tests have it, and each has one."""
    done = promtool("test", "rules", TESTS.name)

    assert (done.returncode, done.stderr) == (0, "")
    fired = set(re.findall(r"alertname: (\w+)\n +eval_time: \S+\n +exp_alerts", TESTS.read_text()))
    quiet = set(re.findall(r"alertname: (\w+)\n +eval_time: \S+\n(?! +exp_)", TESTS.read_text()))
    assert fired == set(alerts())
    assert quiet >= {"MthookGuardUnproven", "MthookStartStopped", "MthookSyncFailing"}


@pytest.mark.parametrize("alert", alerts())
def test_an_alert_leads_to_its_section_of_the_guide(alert: str) -> None:
    """Whose title is the alert's name; Sphinx makes the anchor of it."""
    rule = RULES.read_text().partition(f"- alert: {alert}\n")[2].partition("- alert:")[0]

    assert f"runbook_url: {GUIDE}{alert.lower()}\n" in rule
    assert f"\n{alert}\n{'~' * len(alert)}\n" in (ROOT / "docs/metrics.rst").read_text()


def test_the_guide_explains_every_figure_and_no_other() -> None:
    """By its name and its labels."""
    page = (ROOT / "docs/metrics.rst").read_text()
    titles = re.findall(r"^``(mthook_\w+)(?:{(.*)})?``$", page, re.MULTILINE)
    documented = {name: tuple(filter(None, labels.split(", "))) for name, labels in titles}

    assert documented == {metric.name: metric.labels for metric in METRICS}
    assert metrics_in(page) <= NAMES
    sections = re.findall(r"^(Mthook\w+)\n~+$", page, re.MULTILINE)
    assert sections == alerts()


@pytest.mark.parametrize("text", [RULES.read_text(), TESTS.read_text(), *expressions()])
def test_every_metric_that_is_asked_for_exists(text: str) -> None:
    """In the rules, in their tests and on the dashboard; so do the labels that are asked for."""
    labels = {label for metric in METRICS for label in metric.labels} | {"instance"}

    assert metrics_in(text)
    assert metrics_in(text) <= NAMES
    for selected in re.findall(r"mthook_\w+{(.*?)}", text):
        assert set(re.findall(r"(\w+)=~?\"", selected)) <= labels


def test_the_dashboard_shows_all_figures_of_a_host() -> None:
    """Those of each guest are for queries."""
    assert set().union(*map(metrics_in, expressions())) == NAMES - {"mthook_guest_info"}


def test_prometheus_takes_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    """With a value in place of Grafana's variable."""
    rules = tmp_path / "queries.yml"
    queries = [
        {"record": f"query{number}", "expr": query.replace("$instance", ".*")}
        for number, query in enumerate(expressions())
    ]
    rules.write_text(json.dumps({"groups": [{"name": "queries", "rules": queries}]}))

    done = promtool("check", "rules", str(rules))

    assert (done.returncode, done.stderr) == (0, "")


def cells(panel: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Yield the places on the dashboard's grid that a panel takes."""
    place = panel["gridPos"]
    for x in range(place["x"], place["x"] + place["w"]):
        yield from ((x, y) for y in range(place["y"], place["y"] + place["h"]))


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    """What its schema asks for: distinct panels of known kinds on a grid of 24 columns, a data source to choose."""
    panels = DASHBOARD["panels"]
    variables = {one["name"]: one["type"] for one in DASHBOARD["templating"]["list"]}
    source = {"type": "prometheus", "uid": "${datasource}"}

    assert variables == {"datasource": "datasource", "instance": "query"}
    assert (DASHBOARD["title"], DASHBOARD["schemaVersion"]) == ("mthook: machine types", 39)
    assert 0 < len(DASHBOARD["uid"]) <= 40
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["type"] for panel in panels} <= {"stat", "bargauge", "timeseries", "table"}
    taken = [cell for panel in panels for cell in cells(panel)]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
    for panel in panels:
        assert panel["title"] and panel["datasource"] == source
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        assert all(target["datasource"] == source for target in panel["targets"])
        assert panel["fieldConfig"].keys() == {"defaults", "overrides"}
