# SPDX-License-Identifier: Apache-2.0
"""Definitions that aren't what their pins say, and guests that run something else."""

from __future__ import annotations

import os
import time
from typing import Any

import libvirt
import pytest

from mthook.catalog.records import Pin
from mthook.host.domains import Domain
from mthook.operations.sync import definitions
from mthook.operations.sync.run import SyncRun
from mthook.text import now
from mthook.xmlrewrite import summary
from tests.unit.host.fakes import (
    OTHER,
    UUID,
    FakeDomain,
    domain_xml,
    failure,
)
from tests.unit.operations.sync.setting import CARRIED, Setting, kept, wait_for_repair

#: Since when a carried pin holds.
SINCE = "2026-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("only", "realign", "machine"),
    [
        ("", "true", "pc-i440fx-6.2"),
        ("realign", "true", "pc-i440fx-6.2"),
        ("", "false", "pc-i440fx-7.2"),
        ("seed", "true", "pc-i440fx-7.2"),
        ("repair", "true", "pc-i440fx-7.2"),
    ],
)
def test_definitions_are_realigned_where_asked_for(
    setting: Setting, only: str, realign: str, machine: str
) -> None:
    """Both the configuration and --only have a say."""
    setting.configure(f"[sync]\nrealign = {realign}\n")
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    setting.libvirt.domains = [domain]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")

    assert setting.sync(*(["--only", only] if only else [])) == (0, "", "")
    assert summary.read(domain.defined.encode()).machine == machine


def test_what_another_family_cannot_have_is_an_error_that_names_the_guest(setting: Setting) -> None:
    """The message does, and what it is to become; it comes once although both realigning and repair meet it."""
    iommu = domain_xml("pc-q35-7.2").replace("</devices>", "<iommu model='intel'/></devices>")
    setting.libvirt.domains = [FakeDomain(iommu)]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-7.2", source="operator", actor="root")
    wait_for_repair(setting)

    code, out, err = setting.sync()

    assert (code, out, len(err.splitlines())) == (1, "", 1)
    pinned = "pinned to pc-i440fx-7.2, defined as pc-q35-7.2: iommu intel: "
    assert err.startswith(f"mthook-sync: web-1 ({UUID}): {pinned}")
    assert setting.libvirt.defined == []


def test_a_guest_of_another_family_becomes_what_it_was(setting: Setting) -> None:
    """A dry run prints what becomes of its hardware; the run itself logs it."""
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-q35-7.2"))]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-7.2", source="first boot", actor="hook")
        catalog.keep(kept())

    out = setting.sync("--dry-run")[1]

    assert f"would realign web-1 ({UUID}) from pc-q35-7.2 to pc-i440fx-7.2\n" in out
    assert f"  web-1 ({UUID}): back to the definition kept on 2026-01-01" in out
    assert setting.sync() == (0, "", "")
    assert summary.read(setting.libvirt.defined[0].encode()).machine == "pc-i440fx-7.2"
    with setting.catalog() as catalog:
        assert catalog.original(UUID) is not None


@pytest.mark.parametrize("only", [[], ["--only", "realign"], ["--only", "repair"]])
def test_no_guest_gets_other_hardware_unasked(setting: Setting, only: list[str]) -> None:
    """Where nothing is kept of it, it stays stopped, and one line says how it can be helped."""
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-q35-7.2"))]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-7.2", source="first boot", actor="hook")
    wait_for_repair(setting)

    assert setting.sync(*only) == (
        1,
        "",
        f"mthook-sync: web-1 ({UUID}): pinned to pc-i440fx-7.2, defined as pc-q35-7.2: its earlier definition"
        f" isn't kept, and mthook changes its hardware only if asked: 'mthook-admin set {UUID} pc-i440fx-7.2'"
        f" converts it, 'mthook-admin set {UUID} pc-q35-7.2 --force' accepts what it is now\n",
    )
    assert setting.libvirt.defined == []


def test_a_guest_of_novas_is_converted_all_the_same(setting: Setting) -> None:
    """Nova made that definition, and will make the next one."""
    nova = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-q35-7.2", metadata=nova))]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-7.2", source="first boot", actor="hook")

    assert setting.sync() == (0, "", "")
    assert summary.read(setting.libvirt.defined[0].encode()).machine == "pc-i440fx-7.2"


def test_a_guest_that_vanishes_before_it_is_realigned_is_no_error(setting: Setting) -> None:
    """It was listed, and is gone when its turn comes."""
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-i440fx-7.2"))]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")

    def vanish(domain: FakeDomain) -> None:
        raise failure(libvirt.VIR_ERR_NO_DOMAIN)

    setting.libvirt.on_lookup = vanish

    assert setting.sync() == (0, "", "")
    assert setting.libvirt.defined == []


def test_a_pin_is_realigned_to_what_it_is_now(setting: Setting) -> None:
    """The pin that counts is the catalog's at that moment, and the history has old and new."""
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-i440fx-7.2"))]
    setting.sync()
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")

    setting.sync()

    assert setting.events()[-1] == ("realigned", "pc-i440fx-7.2", "pc-i440fx-6.2", None)
    assert setting.guests()[UUID].defined == "pc-i440fx-6.2"


def test_an_interrupt_waits_for_a_change_to_be_recorded(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while libvirt redefines: the change gets its history row, then the run ends."""
    setting.libvirt.domains = [
        FakeDomain(domain_xml("pc-i440fx-7.2")),
        FakeDomain(domain_xml("pc-i440fx-7.2", uuid=OTHER), uuid=OTHER),
    ]
    with setting.catalog() as catalog:
        for uuid in (UUID, OTHER):
            catalog.set_pin(uuid, "pc-i440fx-6.2", source="operator", actor="root")
    define = setting.libvirt.defineXMLFlags

    def interrupted(xml: str, flags: int) -> FakeDomain:
        os.kill(os.getpid(), 2)
        return define(xml, flags)

    monkeypatch.setattr(setting.libvirt, "defineXMLFlags", interrupted)

    assert setting.sync() == (
        1,
        "",
        "mthook-sync: interrupted: what was begun is finished, the rest waits for the next run\n",
    )
    assert len(setting.libvirt.defined) == 1
    assert [setting.events(uuid)[-1][0] for uuid in (UUID, OTHER)] == ["realigned", "pinned"]


def test_drift_is_noted_once(setting: Setting) -> None:
    """A guest that runs something else than its pin: one history row, however many runs see and count it."""
    setting.libvirt.domains = [FakeDomain(running=domain_xml("pc-i440fx-7.2"))]
    setting.sync()
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")

    said = [setting.sync("-v")[2] for _ in range(2)]

    assert ["drift: 1," in text for text in said] == [True, True]
    assert setting.events()[2:] == [
        ("realigned", "pc-i440fx-7.2", "pc-i440fx-6.2", None),
        ("drift", "pc-i440fx-6.2", "pc-i440fx-7.2", None),
    ]


def test_drift_is_noted_again_for_a_pin_that_was_set_again(setting: Setting) -> None:
    """Once for each pin: what was noted of an earlier one is history."""
    setting.configure("[sync]\nrealign = false\n")
    setting.libvirt.domains = [FakeDomain(running=domain_xml("pc-i440fx-7.2"))]
    for machine in ("pc-i440fx-6.2", "pc-i440fx-7.2", "pc-i440fx-6.2"):
        with setting.catalog() as catalog:
            catalog.set_pin(UUID, machine, source="operator", actor="root")
        setting.sync()

    assert [event[0] for event in setting.events()] == [
        "pinned",
        "drift",
        "changed",
        "changed",
        "drift",
    ]


def test_a_newer_pin_in_the_definition_counts(setting: Setting) -> None:
    """It came with the definition from the host where it was set; an older one changes nothing."""
    newer = CARRIED.format("pc-i440fx-6.2", UUID).replace(SINCE, now(time.time() + 3600))
    older = CARRIED.format("pc-i440fx-6.2", OTHER)
    setting.libvirt.domains = [
        FakeDomain(domain_xml("pc-i440fx-7.2", metadata=newer)),
        FakeDomain(domain_xml("pc-i440fx-7.2", metadata=older, uuid=OTHER), uuid=OTHER),
    ]
    with setting.catalog() as catalog:
        for uuid in (UUID, OTHER):
            catalog.set_pin(uuid, "pc-i440fx-7.2", source="first boot", actor="hook")

    assert setting.sync() == (0, "", "")

    assert setting.pins() == {
        UUID: ("pc-i440fx-6.2", "guest metadata"),
        OTHER: ("pc-i440fx-7.2", "first boot"),
    }
    (defined,) = setting.libvirt.defined
    assert UUID in defined and 'machine="pc-i440fx-6.2"' in defined


def test_a_guest_carries_its_pin_in_place_of_an_older_one(setting: Setting) -> None:
    """Its next host takes what it carries for its pin; the definition needs nothing else. A dry run writes nothing."""
    carried = domain_xml("pc-i440fx-7.2", metadata=CARRIED.format("pc-i440fx-6.2", UUID))
    domain = FakeDomain(carried, running=carried)
    setting.libvirt.domains = [domain]
    with setting.catalog() as catalog:
        pin = catalog.set_pin(UUID, "pc-i440fx-7.2", source="operator", actor="root")

    setting.sync("--dry-run")
    assert (domain.noted, domain.carried) == ([], [])
    assert setting.sync() == (0, "", "")

    written = f'<pin instance="{UUID}" machine="pc-i440fx-7.2" since="{pin.updated_at}"/>'
    assert (domain.noted, domain.carried) == ([written], [written])
    assert setting.libvirt.defined == []


@pytest.mark.parametrize("since", ["2999-01-01T00:00:00.000000Z", "tomorrow"])
def test_a_definition_of_the_future_changes_nothing(setting: Setting, since: str) -> None:
    """A clock that was ahead wrote it: an operator's pin isn't taken back by that."""
    carried = CARRIED.format("pc-i440fx-6.2", UUID).replace(SINCE, since)
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-i440fx-7.2", metadata=carried))]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-7.2", source="operator", actor="root")

    assert setting.sync() == (0, "", "")

    assert setting.pins() == {UUID: ("pc-i440fx-7.2", "operator")}


def test_a_drift_is_noted_once_also_where_a_clock_was_ahead(setting: Setting) -> None:
    """The pin's time is in the future; the history's order tells what came after it."""
    ahead = now(time.time() + 7 * 86400)
    running = FakeDomain(domain_xml("pc-i440fx-7.2"), running=domain_xml("pc-i440fx-7.2"))
    setting.libvirt.domains = [running]
    with setting.catalog() as catalog:
        catalog.add_pin(Pin(UUID, "pc-i440fx-6.2", "x86_64", "operator", "root", ahead, ahead))

    for _ in range(3):
        setting.sync()

    assert [event for event, *_ in setting.events()].count("drift") == 1


def test_a_pin_that_changes_before_it_is_replaced_stays(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody imports a pin of the same machine type and a later time: nobody may take it for the old one."""
    carried = CARRIED.format("pc-i440fx-6.2", UUID).replace(SINCE, now(time.time() + 60))
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-i440fx-7.2", metadata=carried))]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-7.2", source="first boot", actor="hook")
    before = definitions.replace

    def replace(run: SyncRun, guest: Domain, pin: Pin, *args: Any, **more: Any) -> Pin:
        at = now(time.time() + 1)
        new = Pin(UUID, "pc-i440fx-7.2", "x86_64", "operator", "root", at, at)
        with setting.catalog() as catalog:
            assert catalog.merge_pin(new, actor="root") == "changed"
        return before(run, guest, pin, *args, **more)

    monkeypatch.setattr(definitions, "replace", replace)

    setting.sync()

    assert setting.pins() == {UUID: ("pc-i440fx-7.2", "operator")}


def test_a_pin_that_an_operator_changes_meanwhile_counts(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The definition follows the pin as it is at the end, not as it was read."""
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-i440fx-7.2"))]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-6.2", source="operator", actor="root")
    define = setting.libvirt.defineXMLFlags

    def meanwhile(xml: str, flags: int) -> FakeDomain:
        if not setting.libvirt.defined:
            with setting.catalog() as catalog:
                catalog.set_pin(UUID, "pc-i440fx-7.2", source="operator", actor="root")
        return define(xml, flags)

    monkeypatch.setattr(setting.libvirt, "defineXMLFlags", meanwhile)

    assert setting.sync() == (0, "", "")

    assert [xml.partition('machine="')[2][:13] for xml in setting.libvirt.defined] == [
        "pc-i440fx-6.2",
        "pc-i440fx-7.2",
    ]
