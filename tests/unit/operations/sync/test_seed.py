# SPDX-License-Identifier: Apache-2.0
"""Which pin a guest gets that has none."""

from __future__ import annotations

import pytest

from mthook.catalog.records import HistoryEntry
from mthook.catalog.store import Catalog
from tests.unit.host.fakes import (
    OTHER,
    UUID,
    FakeDomain,
    domain_xml,
)
from tests.unit.operations.sync.setting import CARRIED, Setting


@pytest.mark.parametrize(
    ("domain", "pin"),
    [
        (
            FakeDomain(domain_xml("pc-i440fx-7.2"), running=domain_xml("pc-i440fx-6.2")),
            ("pc-i440fx-6.2", "running guest"),
        ),
        (
            FakeDomain(domain_xml("pc-i440fx-7.2"), saved=domain_xml("pc-i440fx-6.2")),
            ("pc-i440fx-6.2", "saved image"),
        ),
        (FakeDomain(domain_xml("pc-i440fx-7.2")), ("pc-i440fx-7.2", "definition")),
    ],
)
def test_a_pin_is_what_tells_most_about_a_guests_hardware(
    setting: Setting, domain: FakeDomain, pin: tuple[str, str]
) -> None:
    """What a guest runs counts before its saved image, and that before its definition."""
    setting.libvirt.domains = [domain]
    setting.configure("[sync]\nrealign = false\n")

    assert setting.sync() == (0, "", "")
    assert setting.pins() == {UUID: pin}


def test_a_pin_keeps_what_it_was_seen_with(setting: Setting) -> None:
    """Versions, Nova's image and the machine type seen are kept, and so is what recorded it."""
    nova = (
        "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'>"
        f"<n:root type='image' uuid='{OTHER}'/></n:instance>"
    )
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-i440fx-7.2", metadata=nova))]

    setting.sync()

    with setting.catalog() as catalog:
        pin = catalog.get_pin(UUID)
        (entry,) = catalog.history(UUID)
    assert pin is not None
    assert (pin.arch, pin.seen, pin.root_image) == ("x86_64", "pc-i440fx-7.2", OTHER)
    assert (pin.qemu_version, pin.libvirt_version) == ("7.2.22", "9.0.0")
    assert entry == HistoryEntry(
        UUID, pin.created_at, "pinned", "mthook-sync", None, "pc-i440fx-7.2", "definition"
    )


@pytest.mark.parametrize(
    ("metadata", "pin"),
    [
        (CARRIED.format("pc", UUID), ("pc", "guest metadata")),
        (CARRIED.format("pc-i440fx-6.2", UUID), ("pc-i440fx-6.2", "guest metadata")),
        (CARRIED.format("pc", OTHER), ("pc-i440fx-7.2", "definition")),
    ],
)
def test_a_pin_that_the_guest_carries_is_its_pin(
    setting: Setting, metadata: str, pin: tuple[str, str]
) -> None:
    """Whatever the guest is now; but not one that a clone has from its original."""
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-i440fx-7.2", metadata=metadata))]

    setting.sync()

    assert setting.pins() == {UUID: pin}


def test_new_pins_are_aliases_where_so_configured(setting: Setting) -> None:
    """Under style = alias a pin is the alias for what the guest runs, where the host has one."""
    setting.configure("[pin]\nstyle = alias\n")
    setting.libvirt.domains = [
        FakeDomain(domain_xml("pc-i440fx-7.2")),
        FakeDomain(domain_xml("pc-i440fx-6.2", uuid=OTHER), uuid=OTHER),
    ]

    setting.sync()

    assert setting.pins() == {UUID: ("pc", "definition"), OTHER: ("pc-i440fx-6.2", "definition")}


def test_a_released_pin_is_not_seeded(setting: Setting) -> None:
    """After `unset` the next start records the pin: what the definition says now may not last."""
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-i440fx-7.2"))]
    setting.sync()
    with setting.catalog() as catalog:
        catalog.unset_pin(UUID, actor="root")

    assert setting.sync("-v")[0] == 0
    assert setting.pins() == {UUID: (None, "definition")}


def test_a_definition_without_a_machine_type_gives_no_pin(setting: Setting) -> None:
    """Where nothing tells what a guest is nothing is recorded, and that is no error."""
    xml = domain_xml().replace(" machine='pc-i440fx-7.2'", "")
    setting.libvirt.domains = [FakeDomain(xml)]

    assert setting.sync() == (0, "", "")
    assert setting.pins() == {}


def test_a_pin_that_a_hook_records_meanwhile_stays(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for a pin and its record a hook may have been faster."""
    setting.libvirt.domains = [FakeDomain(domain_xml("pc-i440fx-7.2"))]
    monkeypatch.setattr(Catalog, "add_pin", lambda self, pin: False)

    assert "pinned" not in setting.sync("-v")[2]
