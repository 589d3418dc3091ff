# SPDX-License-Identifier: Apache-2.0
"""``list`` with Nova's database: --unset is Nova's, the rest is this host's."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest

from mthook.catalog.records import Compared
from mthook.catalog.store import Catalog
from mthook.nova.instance import VM_STATES, NovaInstance
from mthook.text import now
from tests.programs import Said

from .cloud import Cell, Cloud
from .conftest import DB, NOBODY, WEB, Run, guest, pin

pytestmark = pytest.mark.usefixtures("unreachable")


@pytest.fixture
def fleet(cloud: Cloud) -> Cloud:
    """Three instances without a machine type, in two cells, and others."""
    cloud.add(DB, name="b\nad", vm_state="active", host="beta")
    cloud.add(WEB, name="web", vm_state="shelved_offloaded", host=None)
    cloud.add(NOBODY, cell="c2", name="n", vm_state="stopped", host="gamma")
    cloud.add("11111111-0000-4000-8000-000000000001", machine="pc")
    cloud.add("11111111-0000-4000-8000-000000000002", vm_state="building")
    return cloud


def test_unset_lists_every_cells_instances_and_is_code_3(run: Run, fleet: Cloud) -> None:
    """By cell and UUID; neither a catalog nor libvirt is needed."""
    said = run("list", "--unset", "-f", "json")

    assert (said.code, said.err) == (3, "")
    keys = ("uuid", "display_name", "state", "host", "cell")
    assert [tuple(row.items()) for row in json.loads(said.out)] == [
        tuple(zip(keys, row))
        for row in (
            (WEB, "web", "shelved_offloaded", None, "cell1"),
            (DB, "b\nad", "active", "beta", "cell1"),
            (NOBODY, "n", "stopped", "gamma", "cell2"),
        )
    ]


@pytest.mark.parametrize(
    ("options", "code", "listed"),
    [
        (["--cell-uuid", "c2"], 3, [NOBODY]),
        (["--state", "active"], 3, [DB]),
        (["--state", "paused"], 0, []),
        (["--state", "paused", "--state", "active"], 3, [DB]),
        (["--name", "we?"], 3, [WEB]),
        (["--cell-uuid", "c2", "--state", "ACTIVE"], 0, []),
    ],
)
def test_options_select(
    run: Run, fleet: Cloud, options: list[str], code: int, listed: list[str]
) -> None:
    """The exit code is that of what is listed."""
    said = run("list", "--unset", "-f", "value", "-c", "UUID", *options)

    assert (said.code, said.out.split()) == (code, listed)


def test_an_unknown_cell_is_code_2(run: Run, fleet: Cloud) -> None:
    """Nothing on standard output, in any format."""
    for form in ("csv", "value", "table"):
        said = run("list", "--unset", "--cell-uuid", "c9", "-f", form)

        assert said == Said(2, "", "mthook-admin: no cell has the UUID c9\n")


def test_a_cell_that_fails_is_told_and_the_others_are_listed(run: Run, fleet: Cloud) -> None:
    """Code 1: the list isn't whole."""
    fleet.cells["c1"].fault = "Lost connection"

    said = run("list", "--unset", "-f", "value", "-c", "UUID")

    assert (said.code, said.out.split()[-1]) == (1, NOBODY)
    assert said.err == "mthook-admin: Nova's cell cell1: Lost connection\n"


@pytest.mark.parametrize(
    "option", [["--drift"], ["--machine", "pc"], ["--deprecated"], ["--state", "shut off"]]
)
def test_what_the_database_cannot_tell_is_refused(
    run: Run, fleet: Cloud, option: list[str]
) -> None:
    """Rather than left out in silence."""
    said = run("list", "--unset", *option)

    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)


def test_a_cell_goes_with_unset_alone(run: Run, fleet: Cloud) -> None:
    """The rest of list is this host's."""
    assert run("list", "--cell-uuid", "c1") == Said(
        2, "", "mthook-admin: --cell-uuid needs --unset, and [api_database] connection\n"
    )


def test_unset_takes_novas_states_alone(run: Run, fleet: Cloud, catalog: Catalog) -> None:
    """Other lists also have instances that no guest tells of."""
    assert "no state 'gone', there are active, " in run("list", "--unset", "--state", "gone").err
    assert run("list", "--state", "shelved").code == 0


@pytest.mark.parametrize("form", ["value", "csv"])
def test_rows_are_printed_as_they_come(
    run: Run, fleet: Cloud, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """However many there are, few are in memory: the first is printed before the second is read."""
    out = io.StringIO()
    printed = []

    def watched(cell: Cell) -> Iterator[NovaInstance]:
        for number in range(3):
            printed.append(out.getvalue().count("web"))
            yield NovaInstance(f"web-{number}", "", None, "stopped", None)

    monkeypatch.setattr(Cell, "unset", watched)
    monkeypatch.setattr(sys, "stdout", out)

    run("list", "--unset", "--cell-uuid", "c1", "-f", form)

    assert printed == [0, 1, 2]


def test_what_nova_has_unlike_the_pin_is_drift(run: Run, cloud: Cloud, catalog: Catalog) -> None:
    """As the last sync saw it; that Nova has none is none."""
    catalog.see_guests([guest(WEB, "web"), guest(DB, "db")], now())
    for uuid in (WEB, DB, NOBODY):
        pin(catalog, uuid, "pc-i440fx-6.2")
    catalog.set_compared(Compared(WEB, "pc", 1, None))
    catalog.set_compared(Compared(DB, None, None, None))
    catalog.set_compared(Compared(NOBODY, "q35", 2, None))

    rows = json.loads(run("list", "-f", "json", "--drift").out)

    assert [(row["uuid"], row["drift"]) for row in rows] == [
        (WEB, ["nova"]),
        (NOBODY, ["nova"]),
    ]
    table = run("list", "--drift", "-c", "Drift").out.splitlines()
    assert table == ["Drift", "Nova has pc", "Nova has q35"]


def test_a_released_pin_is_unlike_nothing(run: Run, cloud: Cloud, catalog: Catalog) -> None:
    """Nova's value becomes the pin at the next sync."""
    catalog.see_guests([guest()], now())
    pin(catalog, WEB, "pc-i440fx-6.2")
    catalog.unset_pin(WEB, actor="operator alice")
    catalog.set_compared(Compared(WEB, "pc", 1, None))

    assert json.loads(run("list", "-f", "json").out)[0]["drift"] == []


def test_states_are_lower_case(run: Run) -> None:
    """As --state makes what is typed."""
    assert [state.lower() for state in VM_STATES] == list(VM_STATES)


def test_guests_only_leaves_out_what_libvirt_never_has(run: Run, fleet: Cloud) -> None:
    """Ironic's instances and failed builds; without the option all are listed, as by nova-manage."""
    iron, failed = (f"11111111-0000-4000-8000-00000000000{number}" for number in (8, 9))
    fleet.add(iron, name="i", vm_state="active", host="iron", ironic=True)
    fleet.add(failed, name="f", vm_state="error", host=None)

    all_, guests = (
        run("list", "--unset", *options, "-f", "value", "-c", "UUID").out.split()
        for options in ((), ("--guests-only",))
    )

    assert set(all_) - set(guests) == {iron, failed}
    assert set(guests) == {WEB, DB, NOBODY}


def test_guests_only_is_for_novas_instances(run: Run, catalog: Catalog) -> None:
    """Each guest of this host is one."""
    assert run("list", "--guests-only") == Said(
        2, "", "mthook-admin: --guests-only needs --unset, and a Nova database\n"
    )
