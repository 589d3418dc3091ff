# SPDX-License-Identifier: Apache-2.0
"""What an administrator's host tells of all hosts: list, history, report."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from mthook.fleet import connection, tables
from mthook.operations.inventory import InstanceRow
from mthook.text import now
from mthook.tools.admin import listing
from tests.fleets import NEW, OLD, OTHER, Node, Site

WEB, DB = "3f2c1d3e-0000-4000-8000-000000000001", "3f2c1d3e-0000-4000-8000-000000000002"
MAIL, NEWS = "3f2c1d3e-0000-4000-8000-000000000003", "3f2c1d3e-0000-4000-8000-000000000004"


@pytest.fixture
def desk(site: Site) -> Node:
    """An administrator's host of two hosts: four guests, one that drifts, one of an old machine type."""
    one, other = site.node("host-a"), site.node("host-b")
    one.configure(site.url, "")  # mode audit: definitions stay
    one.has(WEB, "web-1", OLD)
    one.has(DB, "db-1", NEW, running=OLD)
    other.has(MAIL, "mail_1", OTHER, running=OTHER)
    other.has(NEWS, "news-1", "pc-i440fx-1.7")
    assert one.sync().code == other.sync().code == 0
    found = site.node("admin")
    found.is_down = True
    return found


def names(desk: Node, *argv: str) -> list[str]:
    """Return the names of the guests that are listed."""
    said = desk.admin("list", "--all-hosts", "-f", "value", "-c", "Name", *argv)
    assert said.code in (0, 3), said.err
    return said.out.split()


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        ((), ["db-1", "web-1", "mail_1", "news-1"]),
        (("--host", "host-b"), ["mail_1", "news-1"]),
        (("--name", "*-1"), ["db-1", "web-1", "news-1"]),
        (("--name", "mail_?"), ["mail_1"]),
        (("--name", "[dm]*"), ["db-1", "mail_1"]),
        (("--name", "WEB*"), []),
        (("--name", "50%"), []),
        (("--state", "running"), ["db-1", "mail_1"]),
        (("--state", "running", "--machine", "pc-q35-*"), ["mail_1"]),
        (("--machine", "pc-i440fx-[67].2"), ["db-1", "web-1"]),
        (("--machine", "pc-i440fx-9*"), []),
        (("--family", "q35"), ["mail_1"]),
        (("--family", "pc"), ["db-1", "web-1", "news-1"]),
        (("--source", "Definition"), ["web-1", "news-1"]),
        (("--drift",), ["db-1"]),
        (("--deprecated",), ["news-1"]),
        (("--unsupported",), []),
        (("--unset",), []),
    ],
)
def test_every_filter_selects_as_it_does_on_a_host(
    desk: Node, argv: tuple[str, ...], found: list[str]
) -> None:
    """All of them together are the conditions."""
    assert names(desk, *argv) == found


def test_a_list_of_all_hosts_has_their_names(desk: Node) -> None:
    """Below it stands how much there is, and which hosts are silent."""
    at = now(time.time() - 4000)
    site = desk.site
    site.execute(
        sa.update(tables.HOSTS).values(pushed_at=at).where(tables.HOSTS.c.host == "host-b")
    )

    said = desk.admin("list", "--all-hosts", "--drift")

    assert said.out.splitlines() == [
        "Host    Name  State    Pin            Drift",
        "host-a  db-1  running  pc-i440fx-6.2  defined pc-i440fx-7.2",
    ]
    assert said.err.splitlines() == [
        "mthook-admin: warning: 1 host wrote nothing for an hour: host-b",
        "1 of 4 instances on 2 hosts",
    ]


def test_programs_get_the_same_keys_as_of_one_host(desk: Node) -> None:
    """And the host."""
    (found,) = json.loads(desk.admin("list", "--all-hosts", "--drift", "-f", "json").out)

    assert found["host"] == "host-a"
    assert (found["pin"], found["defined"], found["drift"]) == (OLD, NEW, ["defined"])
    assert found["display_name"] is None


@pytest.mark.parametrize("command", ["list", "history", "forecast"])
def test_a_host_that_isnt_there_is_none_without_guests(desk: Node, command: str) -> None:
    """A typo would otherwise be the answer that nothing breaks."""
    said = desk.admin(command, "--host", "host-c")

    assert (said.code, said.err) == (
        2,
        "mthook-admin: the fleet's record has no host 'host-c'\n",
    )


def test_what_happened_on_a_forgotten_host_is_still_told(desk: Node) -> None:
    """All else of it is gone."""
    assert desk.admin("fleet", "forget", "host-b").code == 0

    assert desk.admin("list", "--host", "host-b").code == 2
    assert len(desk.admin("history", "--host", "host-b", "-f", "value").out.splitlines()) == 2


def test_without_a_record_nothing_is_listed(desk: Node) -> None:
    """The option is named; it is asked for what the configuration doesn't provide."""
    desk.config.write_text(f"[catalog]\npath = {desk.path}\n")

    assert desk.admin("list", "--all-hosts") == (
        2,
        "",
        "mthook-admin: the configuration has no [fleet] connection\n",
    )


def test_the_history_of_all_hosts(desk: Node) -> None:
    """By time; of one guest, by its name or its UUID, which is known even if the guest is forgotten."""
    said = desk.admin("history", "--all-hosts", "-f", "value", "-c", "Host", "-c", "Name")
    assert said.out.splitlines() == [
        "host-a web-1",
        "host-a db-1",
        "host-b mail_1",
        "host-b news-1",
    ]

    one = desk.admin("history", "mail_1", "--all-hosts")
    assert (len(one.out.splitlines()), "host-b" in one.out) == (2, True)
    desk.admin("fleet", "forget", "host-b")
    assert len(desk.admin("history", MAIL, "--all-hosts").out.splitlines()) == 2
    assert desk.admin("history", "mail_1", "--all-hosts").code == 2
    assert (
        desk.admin("history", "--host", "host-b", "--event", "drift", "-f", "csv").out.count("\n")
        == 1
    )


def test_the_report_of_all_hosts_adds_up(desk: Node) -> None:
    """It is made of the same figures as that of each host."""
    found = json.loads(desk.admin("report", "--all-hosts", "-f", "json").out)

    hosts = {one["name"]: one for one in found["hosts"]}
    assert {
        name: (one["guests"], one["running"], one["drifting"]) for name, one in hosts.items()
    } == {
        "host-a": (2, 1, 1),
        "host-b": (2, 1, 0),
    }
    types = {
        one["name"]: (one["guests"], one["pins"], one["hosts"]) for one in found["machine_types"]
    }
    assert types == {OLD: (2, 2, 1), OTHER: (1, 1, 1), "pc-i440fx-1.7": (1, 1, 1)}
    assert found["drift"] == {
        **{"running": 0, "defined": 1, "nova": 0, "stopped": 0},
        "elsewhere": 0,
    }
    (drifting,) = found["drifting"]
    assert (drifting["host"], drifting["name"], drifting["machine"]) == ("host-a", "db-1", NEW)


def test_the_report_names_guests_that_another_host_contradicts(desk: Node) -> None:
    """That drift is known to the record alone."""
    guests = tables.GUESTS
    values = {"drift": "running,elsewhere", "running": NEW, "elsewhere": OTHER}
    desk.site.execute(sa.update(guests).values(**values).where(guests.c.uuid == WEB))

    said = desk.admin("report", "--all-hosts")

    assert (
        "  pinned or running with another machine type on another host as well: 1\n"
        f"    host-a: web-1 has {OTHER}, pinned to {OLD}\n"
    ) in said.out


def test_what_a_host_made_up_does_not_end_the_report(desk: Node) -> None:
    """It may write what it likes into its rows, and is never called protected then."""
    made_up = {"mode": "<b>", "ran_at": "lately", "qemu_version": "<script>", "guests": -1}
    desk.site.execute(sa.update(tables.HOSTS).values(**made_up))
    desk.site.execute(sa.update(tables.MACHINES).values(guests=-1, pins=-1))

    found = json.loads(desk.admin("report", "--all-hosts", "-f", "json").out)

    assert [one["problems"][:2] for one in found["hosts"]] == [["stale", "unproven"]] * 2
    assert found["machine_types"] == []
    page = desk.directory / "report.html"
    assert desk.admin("report", "--all-hosts", "--html", str(page)).code == 0
    assert "<script" not in page.read_text()


def test_a_host_that_is_silent_stands_in_the_report(desk: Node) -> None:
    """Its figures are old."""
    old = now(time.time() - 4000)
    desk.site.execute(
        sa.update(tables.HOSTS).values(ran_at=old).where(tables.HOSTS.c.host == "host-b")
    )

    found = json.loads(desk.admin("report", "--all-hosts", "-f", "json").out)

    problems = {one["name"]: one["problems"] for one in found["hosts"]}
    assert "stale" in problems["host-b"]
    assert "stale" not in problems["host-a"]


def test_a_report_is_of_exports_or_of_the_record(desk: Node) -> None:
    """Not of both."""
    assert desk.admin("report", "--all-hosts", "--from", "exports").code == 2


def test_a_forecast_for_all_hosts(desk: Node) -> None:
    """By upstream's rule, or by what each host's own QEMU has; exit codes are those for one host."""
    said = desk.admin("forecast", "--all-hosts", "--qemu", "9.1")

    assert said.code == 3
    assert (
        said.out.splitlines()
        == [
            "Host    Guest   At     Machine type    Outcome      ",
            "host-b  news-1  start  pc-i440fx-1.7   isn't offered",
        ]
        or "news-1" in said.out
    )
    assert said.err.startswith("QEMU 9.1: 1 of 4 guests would break")

    own = desk.admin("forecast", "--host", "host-b", "-f", "json")
    assert own.code == 0
    assert {one["host"] for one in json.loads(own.out)} == {"host-b"}
    assert [one["name"] for one in json.loads(own.out)] == ["mail_1", "news-1"]


def test_a_reader_may_take_its_time(desk: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pager that waits for its user is no server that doesn't answer."""
    monkeypatch.setattr(connection, "_LONG", 1)
    values = listing._values

    def slowly(row: InstanceRow) -> Sequence[Any]:
        time.sleep(0.4)
        return values(row)

    monkeypatch.setattr(listing, "_values", slowly)

    said = desk.admin("list", "--all-hosts", "-f", "value", "-c", "Name")

    assert (said.code, said.err, len(said.out.splitlines())) == (0, "", 4)
