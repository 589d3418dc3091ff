# SPDX-License-Identifier: Apache-2.0
"""What a dry run in mode audit tells of mode enforce."""

from __future__ import annotations

import json

import pytest

from tests.unit.host.fakes import OTHER, QEMU, UUID, FakeDomain, domain_xml
from tests.unit.operations.sync.setting import Setting

OLD, NEW, BOARD = "pc-i440fx-6.2", "pc-i440fx-7.2", "pc-q35-7.2"
#: This host's QEMU doesn't offer it.
NONE = "pc-i440fx-6.1"
UNSUPPORTED = f"pinned to {NONE}, which {QEMU} (kvm) doesn't offer on this host; nearest: {OLD}, {NEW}, pc-i440fx-1.7"
NOVA = "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"


def pinned(
    setting: Setting, *domains: FakeDomain, more: str = "", mode: str = "audit", pin: str = OLD
) -> None:
    """Have these guests, pinned to something older than what they are defined as."""
    setting.libvirt.domains = list(domains)
    setting.configure(f"[hook]\nmode = {mode}\n{more}")
    setting.sync()
    with setting.catalog() as catalog:
        for domain in domains:
            catalog.set_pin(domain.UUIDString(), pin, source="operator", actor="root")


@pytest.mark.parametrize("mode", ["audit", "off"])
def test_a_definition_that_enforce_would_realign_is_named(setting: Setting, mode: str) -> None:
    """By a dry run; neither it nor the run after it changes anything."""
    pinned(setting, FakeDomain(domain_xml(NEW)), mode=mode)

    assert setting.sync("--dry-run") == (
        0,
        f"in mode enforce would realign web-1 ({UUID}) from {NEW} to {OLD}\n",
        "",
    )
    assert setting.sync() == (0, "", "")
    assert setting.libvirt.defined == []


def test_what_a_change_of_family_would_mean_is_shown(setting: Setting) -> None:
    """As where it is done."""
    pinned(setting, FakeDomain(domain_xml(BOARD)))

    first, *others = setting.sync("--dry-run")[1].splitlines()

    assert first == f"in mode enforce would realign web-1 ({UUID}) from {BOARD} to {OLD}"
    assert others and all(line.startswith(f"  web-1 ({UUID}): ") for line in others)


def test_a_start_that_enforce_would_stop_is_named(setting: Setting) -> None:
    """The definition can't be brought to the pin, so the hook would have the last word."""
    pinned(setting, FakeDomain(domain_xml(NEW)), pin=NONE)

    assert setting.sync("--dry-run")[1] == (
        f"in mode enforce would stop the next start of web-1 ({UUID}): defined as {NEW}, pinned to {NONE}, and not"
        f" realigned: {UNSUPPORTED}\n"
    )


def test_a_start_of_novas_isnt_stopped_where_the_hook_may_not(setting: Setting) -> None:
    """[hook] nova_stop = allow."""
    pinned(setting, FakeDomain(domain_xml(NEW, metadata=NOVA)), pin=NONE)
    assert "would stop" in setting.sync("--dry-run")[1]

    setting.configure("[hook]\nmode = audit\nnova_stop = allow\n")

    assert "would stop" not in setting.sync("--dry-run")[1]


def test_without_realign_every_start_unlike_its_pin_would_be_stopped(setting: Setting) -> None:
    """Nothing but the hook is left then."""
    pinned(setting, FakeDomain(domain_xml(NEW)), more="[sync]\nrealign = false\n")

    assert setting.sync("--dry-run")[1] == (
        f"in mode enforce would stop the next start of web-1 ({UUID}): defined as {NEW}, pinned to {OLD}, and not"
        " realigned: [sync] realign = false\n"
    )


def test_a_restore_is_no_start_that_would_be_stopped(setting: Setting) -> None:
    """A managed-save image keeps its own machine type; the hook lets it in and records drift."""
    pinned(setting, FakeDomain(domain_xml(NEW), saved=domain_xml(NEW)))

    assert setting.sync("--dry-run") == (0, "nothing to do\n", "")


def test_in_mode_enforce_there_is_nothing_to_foresee(setting: Setting) -> None:
    """It is done."""
    pinned(setting, FakeDomain(domain_xml(NEW)), mode="enforce")

    assert setting.sync("--dry-run")[1] == f"would realign web-1 ({UUID}) from {NEW} to {OLD}\n"


def test_json_has_it_apart_from_what_is_done(setting: Setting) -> None:
    """And the counts are of what is done."""
    other = FakeDomain(domain_xml(NEW, uuid=OTHER), uuid=OTHER, name="web-2")
    pinned(setting, FakeDomain(domain_xml(NEW)), other)
    with setting.catalog() as catalog:
        catalog.set_pin(OTHER, NONE, source="operator", actor="root")

    found = json.loads(setting.sync("--dry-run", "--format", "json")[1])

    assert found["acts"] == []
    assert found["counts"]["realigned"] == 0
    assert found["drift"] == 2
    common = {"old": NEW, "changes": [], "display_name": None}
    assert found["in_enforce"] == [
        {"effect": "realign", "uuid": UUID, "name": "web-1", "new": OLD, "reason": None, **common},
        {
            **{"effect": "stop", "uuid": OTHER, "name": "web-2", "new": NONE, **common},
            "reason": UNSUPPORTED,
        },
    ]
