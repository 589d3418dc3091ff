# SPDX-License-Identifier: Apache-2.0
"""``list`` and ``history``: rows from the catalog, with libvirt there or not."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import pytest

from mthook.catalog.records import HostFacts, Pin
from mthook.catalog.store import Catalog
from mthook.host import domains
from mthook.text import now
from mthook.tools.admin import listing
from mthook.xmlrewrite import summary
from tests.programs import Said

from .conftest import DB, NOBODY, WEB, Run, guest, pin, xml

#: There is no libvirt here.
THEN = ", states as of then: libvirt can't be reached"
pytestmark = pytest.mark.usefixtures("unreachable")

HEADINGS = [
    *("UUID", "Name", "Display name", "State", "Pin", "Defined", "Running", "Source", "Updated"),
    "Drift",
]


@pytest.fixture
def fleet(catalog: Catalog) -> Catalog:
    """Guests in every condition, by name a to h."""
    seen = [
        ("a-right", "pc-i440fx-6.2", "pc-i440fx-6.2", "pc-i440fx-6.2", "running"),
        ("b-unset", None, "pc-i440fx-2.0", None, "shut off"),
        ("c-redefined", "pc-i440fx-6.2", "pc-i440fx-7.2", None, "shut off"),
        ("d-runs-old", "pc-i440fx-7.2", "pc-i440fx-7.2", "pc-i440fx-2.0", "paused"),
        ("e-alias", "pc", "pc-i440fx-6.2", "pc-i440fx-7.2", "running"),
        ("f-transient", "pc-q35-7.2", None, "pc-q35-7.2", "running"),
    ]
    for number, (name, *_) in enumerate(seen):
        assert name.startswith("abcdef"[number])
    catalog.see_guests([guest(uuid(99), "g-gone"), guest(uuid(98), "h-gone-unset")], now())
    catalog.see_guests(
        [
            guest(uuid(number), name, defined=defined, running=running, state=state)
            for number, (name, _, defined, running, state) in enumerate(seen)
        ],
        now(),
    )
    for number, (_, machine, *_) in enumerate(seen):
        if machine:
            pin(catalog, uuid(number), machine)
    pin(catalog, uuid(99), "pc-i440fx-2.0")
    pin(catalog, NOBODY, "pc-i440fx-6.2")
    return catalog


def uuid(number: int) -> str:
    """Return the UUID of a guest of the fleet."""
    return f"00000000-0000-4000-8000-{number:012d}"


def names(run: Run, *options: str) -> list[str]:
    """Return the names that a list has."""
    said = run("list", "-f", "json", *options)
    assert said.err == ""
    return [row["name"] for row in json.loads(said.out)]


def test_every_instance_is_listed_with_what_is_known(run: Run, fleet: Catalog) -> None:
    """By name; a pin of a guest that was never seen here comes last."""
    rows = json.loads(run("list", "-f", "json").out)

    assert [(row["name"], row["state"], row["pin"], row["drift"]) for row in rows] == [
        ("a-right", "running", "pc-i440fx-6.2", []),
        ("b-unset", "shut off", None, []),
        ("c-redefined", "shut off", "pc-i440fx-6.2", ["defined"]),
        ("d-runs-old", "paused", "pc-i440fx-7.2", ["running"]),
        ("e-alias", "running", "pc", []),
        ("f-transient", "running", "pc-q35-7.2", []),
        ("g-gone", "gone", "pc-i440fx-2.0", []),
        ("h-gone-unset", "gone", None, []),
        (None, "gone", "pc-i440fx-6.2", []),
    ]
    pinned = fleet.get_pin(uuid(2))
    assert pinned is not None
    assert rows[2] == {
        "uuid": uuid(2),
        "name": "c-redefined",
        "display_name": None,
        "state": "shut off",
        "pin": "pc-i440fx-6.2",
        "defined": "pc-i440fx-7.2",
        "running": None,
        "source": "definition",
        "updated": pinned.updated_at,
        "drift": ["defined"],
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--drift"], ["c-redefined", "d-runs-old"]),
        (["--machine", "pc-q35*"], ["f-transient"]),
        (["--machine", "pc-i440fx-2.0"], ["b-unset", "d-runs-old", "g-gone"]),
        (["--machine", "pc"], ["e-alias"]),
        (["--machine", "'; DROP TABLE pins; --"], []),
        (["--deprecated"], ["b-unset", "d-runs-old", "g-gone"]),
        (["--state", "shut off"], ["b-unset", "c-redefined"]),
        (["--state", "gone"], ["g-gone", "h-gone-unset", None]),
        (["--state", "running", "--machine", "pc-i440fx-*"], ["a-right", "e-alias"]),
        (["--drift", "--state", "PAUSED"], ["d-runs-old"]),
        (["--state", "paused", "--state", "shut off"], ["b-unset", "c-redefined", "d-runs-old"]),
        (["--name", "?-r*"], ["a-right", "c-redefined", "d-runs-old"]),
        (["--name", "A-RIGHT"], []),
        (["--source", "Definition", "--state", "paused"], ["d-runs-old"]),
        (["--source", "operator"], []),
        (["--family", "q35"], ["f-transient"]),
        (["--family", "pc-q35"], ["f-transient"]),
        (["--family", "pc", "--state", "gone"], ["g-gone", "h-gone-unset", None]),
        (["--family", "virt"], []),
    ],
)
def test_options_select(run: Run, fleet: Catalog, options: list[str], expected: list[str]) -> None:
    """One instance must fit all of them."""
    assert names(run, *options) == expected


def test_what_cant_start_here_is_listed(run: Run, fleet: Catalog) -> None:
    """Not what has left this host; it combines with the others."""
    for number in (0, 2, 98):
        fleet.set_pin(uuid(number), "pc-i440fx-1.0", source="operator", actor="root")

    assert names(run, "--unsupported") == ["a-right", "c-redefined"]
    assert names(run, "--unsupported", "--state", "running") == ["a-right"]


def test_without_offers_nothing_is_called_unsupported(run: Run, catalog: Catalog) -> None:
    """Nothing is known before the first sync."""
    catalog.replace_capabilities([], HostFacts())

    said = run("list", "--unsupported")

    assert (said.code, said.out) == (1, "")
    assert "no machine types are known yet: run mthook-sync" in said.err


def test_a_guest_that_waits_for_a_repair_drifts(run: Run, fleet: Catalog, path: str) -> None:
    """Beside what its definition says, and even if nothing else is known of it."""
    with Catalog.open(path) as catalog:
        for number, name in ((0, "a-right"), (2, "c-redefined")):
            stopped = summary.read(xml(uuid=uuid(number), name=name).encode())
            catalog.record_stop(stopped, "pc", "pc-i440fx-7.2", "prepare", now())
        stranger = summary.read(xml(uuid=NOBODY).encode())
        catalog.record_stop(stranger, "pc", "q35", "prepare", now())

    rows = json.loads(run("list", "-f", "json", "--drift").out)

    assert [(row["name"], row["drift"]) for row in rows] == [
        ("a-right", ["defined", "stopped"]),
        ("c-redefined", ["defined", "stopped"]),
        ("d-runs-old", ["running"]),
        (None, ["stopped"]),
    ]


def test_the_states_are_libvirts() -> None:
    """Its words for all that a domain can be, and the two that mthook adds."""
    assert set(listing.STATES) == {
        *domains._STATES.values(),
        "no state",
        "saved",
        "gone",
    }


def test_unset_lists_guests_of_this_host_and_is_code_3(run: Run, fleet: Catalog) -> None:
    """As nova-manage has it; a guest that is gone needs no pin here."""
    said = run("list", "--unset", "-f", "value", "-c", "UUID")

    assert (said.code, said.out) == (3, f"{uuid(1)}\n")


def test_unset_without_libvirt_says_what_may_be_missing(run: Run, fleet: Catalog) -> None:
    """And since when; the catalog's own are listed all the same."""
    fleet.set_last_sync("2026-11-22T13:00:00.000000Z", ok=True)

    said = run("list", "--unset")

    assert said.err.startswith("mthook-admin: warning: libvirt at ")
    assert ": guests since the last sync (2026-11-22T13:00:00Z) may be missing\n" in said.err


def test_unset_without_any_is_code_0(run: Run, fleet: Catalog) -> None:
    """The code follows what is listed."""
    pin(fleet, uuid(1), "pc-i440fx-2.0")

    assert run("list", "--unset", "-f", "value").code == 0


def test_a_released_pin_counts_as_unset(run: Run, fleet: Catalog) -> None:
    """Its row has no machine type, and no source to show."""
    fleet.unset_pin(uuid(0), actor="operator alice")

    said = run("list", "--unset", "-f", "json", "-c", "Name", "-c", "Pin", "-c", "Source")

    assert json.loads(said.out)[0] == {"name": "a-right", "pin": None, "source": None}


@pytest.mark.parametrize(
    ("form", "expected"),
    [("json", "[]\n"), ("yaml", "[]\n"), ("value", ""), ("csv", ",".join(HEADINGS) + "\r\n")],
)
def test_no_rows_are_an_empty_answer(run: Run, catalog: Catalog, form: str, expected: str) -> None:
    """Nothing to list is a success, in every format."""
    said = run("list", "-f", form)

    assert (said.code, said.err) == (0, "")
    assert said.out.replace('"', "").replace("\r\n", "\n") == expected.replace("\r\n", "\n")


@pytest.mark.parametrize("command", [["list", "--drift"], ["history", "--event", "unset"]])
def test_a_table_without_rows_says_so(run: Run, fleet: Catalog, command: list[str]) -> None:
    """In a word."""
    fleet.see_guests([], now())

    said = run(*command)

    assert (said.code, said.out) == (0, "none\n")


def test_a_table_shows_times_to_the_second(run: Run, fleet: Catalog) -> None:
    """Other formats give them whole."""
    pinned = fleet.get_pin(uuid(0))
    assert pinned is not None
    whole = pinned.updated_at

    line = run("list", "--long").out.splitlines()[1]

    assert whole not in line
    assert f"{whole.split('.')[0]}Z" in line
    assert whole in run("list", "-f", "csv").out


def test_a_hostile_name_stays_in_its_cell(run: Run, catalog: Catalog) -> None:
    """In every format a row is a line; JSON and YAML have the very name."""
    name = 'a\nb,"c" | \x1b[2J'
    catalog.see_guests([guest(name=name)], now())

    assert json.loads(run("list", "-f", "json").out)[0]["name"] == name
    assert len(run("list", "-f", "value").out.splitlines()) == 1
    # Python before 3.11 doesn't double the backslash in CSV; a row is a line all the same.
    assert len(run("list", "-f", "csv").out.splitlines()) == 2
    assert len(run("list").out.splitlines()) == 2


@pytest.mark.parametrize("form", ["table", "value", "csv", "json", "yaml"])
@pytest.mark.parametrize("command", [["list"], ["history", WEB]])
def test_no_text_of_a_stranger_reaches_the_terminal_as_it_is(
    run: Run, catalog: Catalog, form: str, command: list[str]
) -> None:
    """Wherever it comes from: a pin that was imported brings its source, its author and its reason."""
    evil = "\x1b]0;evil\x07\x9b2J"
    at = "2026-11-22T13:00:00.000000Z"
    catalog.merge_pin(
        Pin(WEB, "pc-i440fx-6.2", "x86_64", evil, evil, at, at, reason=evil), actor=evil
    )
    catalog.see_guests([guest(name=evil, state=evil)], now())

    said = run(*command, "-f", form)

    assert said.code == 0 and "evil" in said.out
    assert not {"\x1b", "\x07", "\x9b"} & set(said.out + said.err)


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)"])
def test_a_spreadsheet_takes_no_cell_for_a_formula(run: Run, catalog: Catalog, name: str) -> None:
    """In CSV alone; what else reads a format gets the name."""
    catalog.see_guests([guest(name=name)], now())

    (_, row) = csv.reader(run("list", "-f", "csv", "-c", "Name").out.splitlines())

    assert row == [f"'{name}"]
    assert run("list", "-f", "value", "-c", "Name").out == f"{name}\n"


def test_an_unknown_column_is_refused(run: Run, catalog: Catalog) -> None:
    """cliff alone would leave it out in silence beside a known one."""
    said = run("list", "-c", "UUID", "-c", "Machine")

    assert said == Said(
        2, "", f"mthook-admin: no column 'Machine', there are {', '.join(HEADINGS)}\n"
    )


def test_rows_can_be_sorted_by_any_column(run: Run, fleet: Catalog) -> None:
    """Times included, whose cells are no plain text."""
    rows = json.loads(
        run("list", "-f", "json", "--sort-column", "Updated", "--sort-descending").out
    )

    updated = [row["updated"] for row in rows]
    assert updated == sorted(updated, key=lambda at: (at is None, at or ""), reverse=True)
    assert updated[0] is None


def test_history_tells_when_what_why_and_who(run: Run, fleet: Catalog) -> None:
    """Oldest first."""
    fleet.unset_pin(uuid(0), actor="operator bob", reason="new\nboard")

    said = run("history", "a-right", "-f", "json")

    first, last = json.loads(said.out)
    entries = fleet.history(uuid(0))
    assert (said.code, said.err) == (0, "")
    assert first == {
        "when": entries[0].at,
        "uuid": uuid(0),
        "name": "a-right",
        "display_name": None,
        "event": "pinned",
        "from": None,
        "to": "pc-i440fx-6.2",
        "why": None,
        "source": "definition",
        "by": "mthook-sync",
        "change": None,
    }
    assert (last["event"], last["from"], last["to"], last["why"], last["by"]) == (
        "unset",
        "pc-i440fx-6.2",
        None,
        "new\nboard",
        "operator bob",
    )


def test_history_outlives_the_instance(run: Run, fleet: Catalog) -> None:
    """By its UUID: the name went with the guest."""
    fleet.forget(uuid(0), actor="mthook-sync", reason="gone")

    said = run("history", uuid(0).upper(), "-f", "value", "-c", "Event")

    assert said == Said(0, "pinned\npruned\n", "")


def test_history_of_a_guest_without_one_is_empty(run: Run, catalog: Catalog) -> None:
    """A known guest to which nothing happened: code 0."""
    catalog.see_guests([guest(DB, "db")], now())

    assert run("history", "db", "-f", "json") == Said(0, "[]\n", "")


@pytest.mark.parametrize("text", [WEB, "nobody"])
def test_history_of_an_unknown_instance_names_libvirt_that_might_know(
    run: Run, catalog: Catalog, text: str
) -> None:
    """Nothing was ever known of it here, by UUID or name; it may be a new guest."""
    said = run("history", text)

    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(
        f"mthook-admin: no instance has the UUID or name '{text}' in the catalog, and libvirt at "
    )


@pytest.mark.parametrize(
    ("event", "reason", "why"),
    [
        ("stopped", "prepare", "start"),
        ("stopped", "migrate", "migration"),
        ("drift", "restore", "restore"),
        ("drift", "started", "running"),
        ("drift", "reconnect", "libvirt restart"),
        ("drift", "attach", "attached"),
        ("drift", None, None),
        ("changed", "prepare", "prepare"),
    ],
)
def test_history_words_what_the_hook_was_called_for_as_operators_do(
    run: Run, catalog: Catalog, event: str, reason: str | None, why: str | None
) -> None:
    """What the hook notes is libvirt's word; what an operator gives as a reason stays."""
    catalog.see_guests([guest()], now())
    catalog.add_history(WEB, event, actor="hook", reason=reason)

    assert json.loads(run("history", "web-1", "-f", "json").out)[0]["why"] == why


@pytest.mark.parametrize(("mode", "says"), [("audit", True), ("off", True), ("enforce", False)])
def test_what_mode_enforce_would_do_is_said(
    run: Run, config: Path, catalog: Catalog, mode: str, says: bool
) -> None:
    """Of those listed that are defined unlike their pins; what runs unlike its pin stays until a cold start."""
    config.write_text(f"{config.read_text()}[hook]\nmode = {mode}\n")
    catalog.see_guests([guest(defined="pc-i440fx-7.2"), guest(DB, "db-1")], now())
    for uuid in (WEB, DB):
        pin(catalog, uuid, "pc-i440fx-6.2")

    said = run("list", "-f", "json")

    assert (
        said.err
        == (
            "in mode enforce the next sync would realign 1 definition, as far as possible:"
            " 'mthook-sync --dry-run' tells how\n"
        )
        * says
    )
    assert run("list", "-f", "json", "--state", "running").err == ""


def test_the_last_line_says_what_it_comes_to_and_how_old_it_is(run: Run, fleet: Catalog) -> None:
    """Below a table alone: programs count for themselves."""
    assert (
        run("list").err == f"9 instances, 2 drifting, 2 unpinned, 3 gone; last sync never{THEN}\n"
    )

    fleet.set_last_sync(now(time.time() - 150), ok=True)

    assert run("list", "--name", "a-*").err == f"1 of 9 instances; last sync 2 min ago{THEN}\n"
    assert (
        run("list", "--drift").err == f"2 of 9 instances, 2 drifting; last sync 2 min ago{THEN}\n"
    )
    assert run("list", "-f", "csv").err == ""


def test_a_table_has_what_is_asked_most(run: Run, fleet: Catalog) -> None:
    """Running and defined machine type where they differ from the pin; an instance without a name is no empty cell."""
    lines = run("list").out.splitlines()

    assert lines[0].split("  ")[0] == "Name" and "UUID" not in lines[0]
    assert [line.split()[0] for line in lines[1:]] == [*names(run)[:-1], NOBODY[:8]]
    assert lines[3].endswith("shut off  pc-i440fx-6.2  defined pc-i440fx-7.2")
    assert lines[4].endswith("paused    pc-i440fx-7.2  runs pc-i440fx-2.0")
    assert lines[2].endswith("shut off  none           no")
    assert run("list", "--long").out.splitlines()[0].split()[:2] == ["UUID", "Name"]


def test_an_instance_in_error_has_its_name_and_state(run: Run, fleet: Catalog) -> None:
    """Nova has it on this host, where it has no guest; one that ought to run is lost."""
    fleet.see_instances({NOBODY: ("shop", "error"), uuid(99): ("db", "active")})

    rows = json.loads(run("list", "-f", "json", "--state", "error", "--state", "gone").out)

    assert [(row["name"], row["display_name"], row["state"]) for row in rows] == [
        ("g-gone", "db", "gone"),
        ("h-gone-unset", None, "gone"),
        (None, "shop", "error"),
    ]
    assert run("list", "--name", "sh*").out.splitlines() == [
        "Name  Display name  State  Pin            Drift",
        "      shop          error  pc-i440fx-6.2  no",
    ]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["list", "--state", "on"], "no state 'on', there are running, paused, "),
        (["list", "--family", "a b"], "--family: machine type 'a b' holds characters "),
        (
            ["history", "--since", "yesterday"],
            "argument --since: 'yesterday' isn't a time: give one ",
        ),
        (
            ["history", "--since", "2026-02-30"],
            "argument --since: '2026-02-30' isn't a time: give one ",
        ),
        (["history", "--event", "killed"], "argument --event: invalid choice: 'killed'"),
    ],
)
def test_a_filter_that_can_match_nothing_is_refused(
    run: Run, catalog: Catalog, args: list[str], complaint: str
) -> None:
    """With what there is."""
    said = run(*args)

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"mthook-admin: {complaint}")


def test_history_of_all_guests(run: Run, fleet: Catalog) -> None:
    """By time and event; a guest that was forgotten keeps its UUID."""
    fleet.add_history(uuid(0), "drift", actor="hook", at="2026-11-22T13:00:00.500000Z")
    fleet.add_history(uuid(1), "drift", actor="hook", at="2026-11-21T13:00:00.000000Z")
    fleet.add_history(uuid(2), "unset", actor="hook", at="2026-11-22T14:00:00.000000Z")
    fleet.see_instances({NOBODY: ("shop", "error")})

    def found(*options: str) -> list[str]:
        said = run("history", "-f", "value", "-c", "Event", "-c", "UUID", *options)
        assert (said.code, said.err) == (0, "")
        rows = (line.split() for line in sorted(said.out.splitlines()))
        return [f"{uuid[-1]} {event}" for uuid, event in rows]

    drift = "--event", "drift"
    assert found(*drift) == ["0 drift", "1 drift"]
    for since in (
        "2026-11-22",
        "2026-11-22 13:00",
        "2026-11-22T13:00:00Z",
        "2026-11-22T13:00:00.5Z",
    ):
        assert found(*drift, "--since", since) == ["0 drift"]
    assert found(*drift, "--event", "unset", "--since", "2026-11-22T13:01") == ["2 unset"]
    assert found(*drift, "--since", "90m") == []
    assert len(found("--since", "1d")) == len(found("--event", "pinned")) == 7
    table = run("history", "--event", "drift", "--event", "pinned").out.splitlines()
    assert table[0].split() == ["When", "Name", "Display", "name", "Event", "From", "To"]
    assert table[-2].split()[1:3] == ["a-right", "drift"]


def test_a_table_tells_where_a_pin_came_from_as_why(run: Run, catalog: Catalog) -> None:
    """Where nobody gave a reason; programs get both apart."""
    catalog.see_guests([guest()], now())
    pin(catalog, WEB, "pc-i440fx-6.2")

    (event,) = json.loads(run("history", "web-1", "-f", "json").out)

    assert (event["why"], bool(event["source"])) == (None, True)
    heading, line = run("history", "web-1").out.splitlines()
    assert event["source"] in line[heading.index("Why") : heading.index("By")]
