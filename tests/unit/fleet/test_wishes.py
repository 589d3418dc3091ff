# SPDX-License-Identifier: Apache-2.0
"""A pin is set on an administrator's host, and the guest's own host makes it so with its next sync."""

from __future__ import annotations

import json

import libvirt
import pytest
import sqlalchemy as sa

from mthook.errors import FleetError
from mthook.fleet import pushing, tables
from tests.fleets import NEW, OLD, OTHER, Node, Site
from tests.unit.host.fakes import FakeDomain, failure

WEB, DB = "3f2c1d3e-0000-4000-8000-000000000001", "3f2c1d3e-0000-4000-8000-000000000002"
WHO = "operator alice on admin"


@pytest.fixture
def host(site: Site) -> Node:
    """A host with a guest that is shut off."""
    found = site.node("host-a")
    found.has(WEB, "web-1", OLD)
    found.sync()
    return found


@pytest.fixture
def desk(site: Site, host: Node) -> Node:
    """An administrator's host: no guests, no catalog, no libvirt."""
    found = site.node("admin")
    found.is_down = True
    return found


def outcome(desk: Node, name: str = "web-1") -> tuple[str | None, str | None, str | None]:
    """Return pin, outcome and detail."""
    found = json.loads(desk.admin("get", name, "-f", "json").out)
    return found["pin"], found["outcome"], found["detail"]


def test_a_pin_set_elsewhere_is_the_guests_after_the_next_sync(desk: Node, host: Node) -> None:
    """Its definition follows, and the history names who wanted it, and why."""
    said = desk.admin("set", "web-1", NEW, "--reason", "QEMU 12")

    assert said == (
        0,
        "",
        f"web-1 ({WEB}): asked host-a for 'set {NEW}': the next mthook-sync there decides\n",
    )
    assert desk.admin("get", "web-1") == (
        0,
        f"{OLD}\n",
        f"web-1 ({WEB}): host-a hasn't seen 'set {NEW}' of {WHO} yet: its next sync does\n",
    )
    assert host.sync() == (0, "", "")
    assert desk.admin("get", "web-1") == (0, f"{NEW}\n", "")
    assert outcome(desk) == (NEW, "done", None)
    assert host.pins() == {WEB: (NEW, "operator")}
    assert f"machine='{NEW}'" in host.libvirt.domains[0].defined.replace('"', "'")
    with host.catalog() as catalog:
        last = [one for one in catalog.history(WEB) if one.event == "changed"]
    assert [(one.actor, one.reason) for one in last] == [(WHO, "QEMU 12")]


def test_a_host_goes_by_its_own_rules(desk: Node, host: Node) -> None:
    """What it refuses is told with the reason; a wish can bring what it is to allow."""
    desk.admin("set", "web-1", OTHER)

    assert host.sync() == (0, "", "")

    assert host.pins()[WEB][0] == OLD
    pin, what, detail = outcome(desk)
    assert (pin, what) == (OLD, "refused")
    assert detail is not None and "--allow family" in detail
    said = desk.admin("get", "web-1")
    assert said.err.startswith(
        f"web-1 ({WEB}): host-a didn't do 'set {OTHER}' of {WHO} because a rule forbids it: "
    )

    desk.admin("set", "web-1", OTHER, "--allow", "family")
    host.sync()

    assert outcome(desk) == (OTHER, "done", None)


def test_a_pin_is_released_and_accepted(desk: Node, host: Node) -> None:
    """As it would be on the host itself."""
    desk.admin("unset", "web-1")
    host.sync()

    assert outcome(desk) == (None, "done", None)
    assert desk.admin("get", "web-1").code == 3
    assert desk.admin("unset", "web-1").err == f"web-1 ({WEB}): no pin\n"

    desk.admin("accept", "web-1", "--reason", "by hand")
    host.sync()

    assert outcome(desk) == (OLD, "done", None)
    assert host.pins() == {WEB: (OLD, "operator")}


def test_a_wish_is_carried_out_once_wherever_the_run_dies(
    desk: Node, host: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record doesn't know yet that it was, and the next run finds that it was."""
    desk.admin("set", "web-1", NEW)

    def die(*_: object) -> None:
        raise FleetError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(pushing, "push", die)
        host.sync()
    before = host.events(WEB)
    assert outcome(desk)[:2] == (OLD, "pending")

    assert host.sync() == (0, "", "")

    assert outcome(desk) == (NEW, "done", None)
    assert host.events(WEB) == before


def test_a_later_change_on_the_host_isnt_undone_by_a_wish(
    desk: Node, host: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by one that was made before it, nor by one that was carried out already."""
    desk.admin("set", "web-1", NEW)
    host.admin("unset", "web-1")
    host.sync()

    assert host.pins()[WEB][0] is None
    assert outcome(desk) == (
        None,
        "overtaken",
        "the pin was changed on its host meanwhile: it is none",
    )


def test_a_wish_for_a_guest_that_has_gone_comes_to_an_end(desk: Node, host: Node) -> None:
    """Its host says so."""
    desk.admin("set", "web-1", NEW)
    host.libvirt.domains.clear()

    host.sync()

    with desk.site.record as record, record.reading() as connection:
        found = connection.execute(sa.select(tables.WISHES.c.outcome)).scalars().all()
    assert found == ["gone"]
    assert desk.admin("get", "web-1").code == 2


def test_a_wish_replaces_the_one_before(desk: Node, host: Node) -> None:
    """The host sees to the last one alone; to ask for what is there withdraws what is pending."""
    desk.admin("set", "web-1", OTHER, "--force")
    desk.admin("set", "web-1", OLD)

    host.sync()

    assert outcome(desk) == (OLD, "done", None)
    assert host.events(WEB) == [("pinned", None, OLD)]
    assert desk.admin("set", "web-1", OLD).err == f"web-1 ({WEB}): already pinned to {OLD}\n"


def test_a_dry_run_asks_nobody_and_changes_nothing(desk: Node, host: Node) -> None:
    """On either side."""
    assert "would ask host-a" in desk.admin("set", "web-1", NEW, "--dry-run").err
    assert outcome(desk) == (OLD, None, None)
    desk.admin("set", "web-1", NEW)

    said = host.sync("--dry-run")

    assert f"would pin web-1 ({WEB}) to {NEW}" in said.out
    assert host.pins()[WEB][0] == OLD
    assert outcome(desk)[1] == "pending"


def test_a_guest_on_two_hosts_gets_one_pin(site: Site, desk: Node, host: Node) -> None:
    """As where a cluster manager defines it on both and runs it on one."""
    other = site.node("host-b")
    other.has(WEB, "web-1", OLD, running=OLD)
    other.sync()

    said = desk.admin("set", WEB, NEW, "--allow", "running")

    assert "asked host-b, host-a for" in said.err
    host.sync()
    other.sync()
    assert host.pins()[WEB][0] == other.pins()[WEB][0] == NEW


def test_a_guest_of_this_host_is_changed_at_once(host: Node) -> None:
    """The record learns it with the next sync."""
    said = host.admin("set", "web-1", NEW)

    assert said.err.endswith(f"web-1 ({WEB}): {OLD} → {NEW}\n")
    assert host.site.rows(tables.WISHES) == []


def test_what_no_host_has_is_not_found(desk: Node) -> None:
    """Without a catalog nothing else can know it."""
    for command in (("get", "nobody"), ("set", "nobody", NEW), ("unset", "nobody")):
        assert desk.admin(*command) == (
            2,
            "",
            "mthook-admin: no instance has the UUID or name 'nobody'\n",
        )


def test_which_of_several_is_asked(site: Site, desk: Node, host: Node) -> None:
    """Names get reused on other hosts."""
    other = site.node("host-b")
    other.has(DB, "web-1")
    other.sync()

    said = desk.admin("get", "web-1")

    assert said == (
        1,
        "",
        f"mthook-admin: several guests match 'web-1', say which: {WEB} on host-a, {DB} on host-b\n",
    )
    assert desk.admin("get", DB) == (0, f"{OLD}\n", "")


def test_what_is_no_machine_type_isnt_asked_for(desk: Node, host: Node) -> None:
    """The administrator learns it at once."""
    said = desk.admin("set", "web-1", "pc i440fx?")

    assert said.code == 1
    assert desk.site.rows(tables.WISHES) == []


def test_a_guest_that_was_moved_by_hand_finds_its_pin(site: Site, host: Node) -> None:
    """Its new host would give it another one, by its definition."""
    host.admin("set", "web-1", NEW, "--force")
    host.sync()
    moved = host.libvirt.domains.pop()
    other = site.node("host-b")
    other.has(WEB, "web-1", OTHER)
    host.sync()

    said = other.sync("-v")

    assert f"pinned web-1 ({WEB}) to {NEW}, as another host had it" in said.err
    assert other.pins() == {WEB: (NEW, "fleet")}
    host.libvirt.domains.append(moved)


def test_a_guest_that_comes_back_has_its_latest_pin(site: Site, host: Node) -> None:
    """Not the one that it left here."""
    other = site.node("host-b")
    moved = host.libvirt.domains.pop()
    host.sync()
    other.has(WEB, "web-1", OLD)
    other.sync()
    other.admin("set", "web-1", NEW)
    other.libvirt.domains.clear()
    other.sync()
    host.libvirt.domains.append(moved)

    assert host.sync().code == 0

    assert host.pins() == {WEB: (NEW, "fleet")}


def test_a_guest_keeps_the_pin_that_it_really_has(site: Site, host: Node) -> None:
    """Its host recorded it when it first ran there; the other one is reported, not taken."""
    other = site.node("host-b")
    other.has(WEB, "web-1", OTHER, running=OTHER)
    with other.catalog() as catalog:
        catalog.set_pin(WEB, OTHER, source="first boot", actor="hook")

    said = other.sync()

    assert said.code == 1
    assert f"pinned to {OTHER} here and to {OLD} on host-a" in said.err
    assert other.pins()[WEB][0] == OTHER


def test_a_host_that_writes_nonsense_harms_no_other(site: Site, host: Node) -> None:
    """Its neighbour reports the guest, and goes on."""
    site.execute(sa.update(tables.GUESTS).values(pin="no type!\n", pinned_at="soon"))
    other = site.node("host-b")
    other.has(WEB, "web-1", OLD)
    other.has(DB, "db-1", OLD)

    said = other.sync()

    assert (said.code, said.err.count("\n")) == (1, 2)
    assert "no type!\\n" in said.err
    assert other.pins()[DB][0] == OLD


def test_a_guest_that_libvirt_cant_tell_about_stops_no_other_wish(desk: Node, host: Node) -> None:
    """libvirt goes on to answer for all others."""
    host.has(DB, "db-1", OLD)
    host.sync()
    desk.admin("set", "web-1", NEW)
    desk.admin("set", "db-1", NEW)

    def refuse(domain: FakeDomain) -> None:
        if domain.UUIDString() == WEB:
            raise failure(libvirt.VIR_ERR_OPERATION_TIMEOUT, "cannot acquire state change lock")

    host.libvirt.on_lookup = refuse
    host.sync()
    host.libvirt.on_lookup = lambda _: None

    assert outcome(desk, "db-1") == (NEW, "done", None)
    pin, what, detail = outcome(desk)
    assert (pin, what) == (OLD, "failed")
    assert detail is not None and "cannot acquire state change lock" in detail
