# SPDX-License-Identifier: Apache-2.0
"""Whether guests, pins and Nova say the same."""

from __future__ import annotations

from mthook.catalog.records import Compared
from mthook.catalog.store import Catalog
from mthook.text import now
from mthook.xmlrewrite import summary

from .conftest import DB, NEW, OLD, WEB, Answer, Desk

TITLE = "Drift"
_LISTS = (
    "'mthook-admin list --drift' lists them. What runs stays as it is until its next cold start."
)


def test_a_guest_that_is_what_its_pin_says_is_well(web: Desk) -> None:
    """There is nothing to do."""
    assert web.check(TITLE) == Answer(0, "No drift: the only pinned guest matches its pin.")


def test_an_alias_is_what_it_stands_for(web: Desk) -> None:
    """As libvirt resolves it in the definition."""
    web.guest("db-1", DB, NEW)
    web.pin(DB, "pc", seen=NEW)

    assert web.check(TITLE).code == 0


def test_a_definition_unlike_the_pin_is_drift(web: Desk) -> None:
    """As libvirt has it now, whatever the last sync saw."""
    web.pin(WEB, NEW)

    assert web.check(TITLE) == Answer(
        1, f"Unlike their pins: 1 guest (web-1 ({WEB}): defined {OLD}). {_LISTS}"
    )


def test_a_guest_that_runs_unlike_its_pin_is_drift(desk: Desk) -> None:
    """Until its next cold start."""
    desk.guest("web-1", WEB, OLD, state="")
    desk.pin(WEB, NEW)

    assert f"web-1 ({WEB}): runs {OLD}, defined {OLD}" in desk.check(TITLE).details


def test_as_data_it_is_places_and_machine_types(desk: Desk) -> None:
    """For each guest."""
    desk.guest("web-1", WEB, OLD, state="")
    desk.pin(WEB, NEW)

    found = desk.findings("drift")

    places = [{"where": "running", "machine": OLD}, {"where": "defined", "machine": OLD}]
    assert found == [
        {
            "kind": "unlike_pin",
            "severity": "warning",
            "subjects": [
                {"uuid": WEB, "name": "web-1", "facts": {"drift": places}, "display_name": None}
            ],
            "facts": {"guests": 1},
            "remedy": "mthook-admin list --drift",
        }
    ]


def test_a_guest_that_waits_for_a_repair_is_drift(web: Desk) -> None:
    """Its start was stopped."""
    guest = summary.Summary()
    guest.uuid, guest.name = WEB, "web-1"
    web.guest("web-1", WEB, NEW)
    with Catalog.open(web.path) as catalog:
        catalog.record_stop(guest, OLD, NEW, "prepare", now())

    assert f"web-1 ({WEB}): defined {NEW}, start stopped" in web.check(TITLE).details

    web.guest("web-1", WEB, OLD)
    assert web.check(TITLE).details == "No drift: the only pinned guest matches its pin."


def test_a_record_of_novas_unlike_the_pin_is_drift(web: Desk) -> None:
    """As the last sync found it."""
    with web.catalog() as catalog:
        catalog.set_compared(Compared(WEB, NEW, 1, None))

    found = web.check(TITLE)

    assert found.code == 1
    assert f"web-1 ({WEB}): Nova has {NEW}" in found.details


def test_a_guest_of_novas_is_told_by_all_its_names(desk: Desk) -> None:
    """In the answer by Nova's alone; as data apart."""
    named = (
        "<metadata><n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'>"
        "<n:name>shop</n:name></n:instance></metadata>"
    )
    desk.guest("instance-1", WEB, OLD, named)
    desk.pin(WEB, NEW)

    assert f"1 guest (shop (instance-1, {WEB}): " in desk.check(TITLE).details
    (subject,) = desk.findings("drift")[0]["subjects"]
    assert (subject["name"], subject["display_name"]) == ("instance-1", "shop")
    desk.guest("instance-2", DB, OLD, named)
    assert desk.status().out.startswith("NO: 2 instances would change: shop, shop")
