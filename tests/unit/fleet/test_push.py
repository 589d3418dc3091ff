# SPDX-License-Identifier: Apache-2.0
"""What mthook-sync writes to the fleet's record, and what it does where that fails."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import sqlalchemy as sa

from mthook.errors import FleetError
from mthook.fleet import pushing, rows, tables
from mthook.text import now
from tests.fleets import NEW, OLD, OTHER, Node, Site

WEB, DB = "3f2c1d3e-0000-4000-8000-000000000001", "3f2c1d3e-0000-4000-8000-000000000002"


def statements(site: Site, node: Node, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what a sync writes, a statement each."""
    seen: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("SELECT", "PRAGMA")):
            seen.append(" ".join(statement.split()[:3]))

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", note)
    try:
        assert node.sync() == (0, "", "")
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", note)
    return seen


def test_a_run_writes_its_host_and_guests(site: Site) -> None:
    """A row a guest, one a machine type; what its QEMU offers, and what has happened."""
    host = site.node("host-a")
    host.has(WEB, "web-1", NEW, running=OLD)

    assert host.sync() == (0, "", "")

    guests = site.rows(tables.GUESTS, "uuid", "pin", "running", "source", "state", "drift")
    assert guests == [(WEB, OLD, OLD, "running guest", "running", "")]
    ((name, errors, number, running, ran, succeeded),) = site.rows(
        tables.HOSTS, "host", "errors", "guests", "running", "ran_at", "succeeded_at"
    )
    assert (name, errors, number, running) == ("host-a", 0, 1, 1)
    with host.catalog() as catalog:
        assert ran == succeeded == catalog.host().ran_at
        history = [(one.at, one.event) for one in catalog.history()]
    assert site.rows(tables.MACHINES, "name", "guests", "running", "pins") == [(OLD, 1, 1, 1)]
    assert site.rows(tables.HISTORY, "at", "event") == history
    assert site.rows(tables.OFFERS, "digest") == site.rows(tables.HOSTS, "offer")


def test_only_what_has_changed_is_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's own row says that it is still there."""
    host = site.node("host-a")
    host.has(WEB, "web-1")
    other = host.has(DB, "db-1")
    host.sync()

    assert statements(site, host, monkeypatch) == ["UPDATE hosts SET"]

    host.libvirt.domains.remove(other)
    written = statements(site, host, monkeypatch)
    assert "INSERT INTO guests" in written
    assert ("db-1", "gone") in site.rows(tables.GUESTS, "name", "state")


def test_what_half_a_run_or_a_dry_one_does_isnt_written(site: Site) -> None:
    """The next whole run writes it."""
    host = site.node("host-a")
    host.has(WEB, "web-1")

    assert host.sync("--only", "seed") == (0, "", "")
    assert host.sync("--dry-run").code == 0

    assert site.rows(tables.HOSTS) == []


def test_a_record_out_of_reach_holds_nothing_up(site: Site) -> None:
    """Guests are pinned, one line says what is wrong, and the catalog remembers it; a timer's run says it once."""
    host = site.node("host-a", "postgresql://mthook:geheim@127.0.0.1:1/mthook")
    host.has(WEB, "web-1", NEW, running=OLD)

    code, _, err = host.sync("--scheduled")

    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("mthook-sync: the fleet's record: ")
    assert "geheim" not in err
    assert host.pins() == {WEB: (OLD, "running guest")}
    assert host.events(WEB)[-1] == ("realigned", NEW, OLD)
    with host.catalog() as catalog:
        known = catalog.host()
    assert "the fleet's record" in (known.last_sync_errors or "")
    assert (known.ran_errors, known.last_sync_ok) == (1, False)
    assert host.sync("--scheduled") == (1, "", "")


def test_a_record_that_can_only_be_read_is_an_error_of_the_run(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted, although all else was done by then."""
    host = site.node("host-a")
    host.has(WEB, "web-1")

    def refuse(*_: object) -> None:
        raise FleetError("the fleet's record: the server is running with --read-only")

    with monkeypatch.context() as patch:
        patch.setattr(pushing, "push", refuse)
        code, _, err = host.sync()

    assert (code, err) == (
        1,
        "mthook-sync: the fleet's record: the server is running with --read-only\n",
    )
    with host.catalog() as catalog:
        assert catalog.host().ran_errors == 1
        assert "read-only" in (catalog.host().last_sync_errors or "")
    assert host.sync() == (0, "", "")


@pytest.mark.parametrize(
    ("schema", "way_out"),
    [("0000", "run 'mthook-admin fleet init' as its owner"), ("0099", "install a newer mthook")],
)
def test_another_schema_is_named(site: Site, schema: str, way_out: str) -> None:
    """Who has to do what about it."""
    site.execute(sa.update(tables.VERSION).values(version_num=schema))
    host = site.node("host-a")
    host.has(WEB, "web-1")

    code, _, err = host.sync()

    assert code == 1
    assert err == (
        f"mthook-sync: the fleet's record has schema {schema}, this mthook needs {tables.SCHEMA}: {way_out}\n"
    )
    assert WEB in host.pins()


def test_a_host_without_tables_is_told_who_makes_them(site: Site, tmp_path: Any) -> None:
    """It makes none itself."""
    host = site.node("host-a", f"sqlite:///{tmp_path}/other.sqlite")

    code, _, err = host.sync()

    assert (code, err) == (
        1,
        "mthook-sync: the fleet's record has no tables yet: run 'mthook-admin fleet init' as its owner\n",
    )


def test_two_hosts_of_one_name_are_told(site: Site) -> None:
    """Each keeps its own rows; whoever notices says so."""
    one, other = site.node("host-a"), site.node("host-a", directory="twin")
    other.machine_id = "another"
    one.has(WEB, "web-1")
    other.has(DB, "db-1")
    assert one.sync() == (0, "", "")
    assert other.sync() == (0, "", "")
    site.execute(sa.update(tables.HOSTS).values(pushed_at=now(time.time() - 300)))
    other.sync()

    code, _, err = one.sync()

    assert (code, err) == (
        1,
        "mthook-sync: another host writes to the fleet's record as host-a: give each host a [DEFAULT] host of its"
        " own\n",
    )
    assert sorted(site.rows(tables.GUESTS, "name")) == [("db-1",), ("web-1",)]


def test_a_host_that_was_installed_anew_replaces_the_old_one(site: Site) -> None:
    """After an hour without a word from that; its history stays."""
    host = site.node("host-a")
    host.has(WEB, "web-1")
    host.sync()
    site.execute(sa.update(tables.HOSTS).values(pushed_at=now(time.time() - 4000)))
    anew = site.node("host-a", directory="anew")
    anew.machine_id = "another"
    anew.has(DB, "db-1")

    assert anew.sync() == (0, "", "")

    assert site.rows(tables.GUESTS, "name") == [("db-1",)]
    assert len(site.rows(tables.HOSTS)) == 1
    assert len(site.rows(tables.HISTORY)) == 2


def test_history_goes_on_in_a_catalog_that_was_made_anew(site: Site) -> None:
    """Its rows begin at number one again; none is written twice, and none is left out."""
    host = site.node("host-a")
    host.has(WEB, "web-1")
    host.sync()
    host.sync()
    os.unlink(host.path)
    for end in ("-wal", "-shm"):
        if os.path.exists(host.path + end):
            os.unlink(host.path + end)

    host.sync()
    host.sync()

    events = [event for (event,) in site.rows(tables.HISTORY, "event")]
    assert events == ["pinned", "pinned"]


def test_whatever_guests_are_called_is_kept(site: Site) -> None:
    """Quotes, line ends, letters of all scripts; the end of what is too long is cut."""
    host = site.node("host-a")
    name = "x'; DROP TABLE guests; -- \"\\ \U0001f600 \u202e" + "y" * 400
    host.has(WEB, name.replace('"', "").replace("<", ""))

    assert host.sync() == (0, "", "")

    ((kept,),) = site.rows(tables.GUESTS, "name")
    assert kept.startswith("x'; DROP TABLE guests; -- ")
    assert len(kept) == 255


def test_a_guest_with_other_pins_elsewhere_is_drift(site: Site) -> None:
    """Both hosts have it; each is told, and the record counts it."""
    one, other = site.node("host-a"), site.node("host-b")
    one.has(WEB, "web-1", OLD)
    other.has(WEB, "web-1", OTHER)
    with other.catalog() as catalog:  # it ran there before the record was
        catalog.set_pin(WEB, OTHER, source="first boot", actor="hook")
    one.sync()

    code, _, err = other.sync()

    assert (code, err) == (
        1,
        f"mthook-sync: web-1 ({WEB}): pinned to {OTHER} here and to {OLD} on host-a: give it one pin with"
        " 'mthook-admin set web-1 TYPE' or 'mthook-admin accept web-1' here\n",
    )
    rows = site.rows(tables.GUESTS, "pin", "drift", "elsewhere")
    assert sorted(rows, key=str) == [(OLD, "", None), (OTHER, "elsewhere", OLD)]


def test_a_guest_that_runs_on_two_hosts_is_told(site: Site) -> None:
    """Not at once: during a migration both have it for a moment."""
    one, other = site.node("host-a"), site.node("host-b")
    one.has(WEB, "web-1", OLD, running=OLD)
    other.has(WEB, "web-1", OLD, running=OLD)
    one.sync()
    assert other.sync() == (0, "", "")
    site.execute(sa.update(tables.HOSTS).values(pushed_at=now(time.time() - 300)))
    one.sync()

    code, _, err = other.sync()

    assert (code, err) == (
        1,
        f"mthook-sync: web-1 ({WEB}): it runs on host-a as well: stop one of the two before they damage its disks\n",
    )
    assert ("host-a" in err, ("elsewhere",) in site.rows(tables.GUESTS, "drift")) == (True, True)


def test_a_run_that_breaks_off_is_written(site: Site) -> None:
    """Whoever watches the fleet learns that the host's libvirt is gone."""
    host = site.node("host-a")
    host.has(WEB, "web-1")
    host.sync()
    host.is_down = True

    assert host.sync().code == 1

    ((errors, error),) = site.rows(tables.HOSTS, "errors", "error")
    assert errors == 1
    assert "Connection refused" in error
    assert site.rows(tables.GUESTS, "name") == [("web-1",)]


def test_history_isnt_written_twice_by_who_knows_it_late(site: Site) -> None:
    """As behind a proxy that leads the next sync to a node of Galera which is a moment behind."""
    host = rows.Host(
        "k", "h", *(None,) * 6, 0, None, False, False, False, None, None, 0, 0, 0, 0, 0, 0
    )
    entry = pushing.Entry(1, WEB, "2026-01-01T00:00:00.000000Z", "pinned", "hook")
    late = pushing.Push(host, None, (), (), history=[entry])

    with site.record as record:
        pushing.push(record, late)
        pushing.push(record, late)

    assert len(site.rows(tables.HISTORY)) == 1


@pytest.mark.parametrize(("times", "ok"), [(4, True), (5, False)])
def test_a_write_that_lost_is_tried_five_times_in_all(
    site: Site, monkeypatch: pytest.MonkeyPatch, times: int, ok: bool
) -> None:
    """With a little time in between: on a Galera node what was faster may not be there yet."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    losses = [sa.exc.OperationalError("UPDATE", {}, Exception(1213, "Deadlock found"))] * times

    def work(_: sa.engine.Connection) -> str:
        if losses:
            raise losses.pop()
        return "done"

    with site.record as record:
        if ok:
            assert record.transact(work) == "done"
        else:
            with pytest.raises(FleetError, match="Deadlock found"):
                record.transact(work)

    assert len(slept) == 4
    assert all(0 < one < 1 for one in slept)
