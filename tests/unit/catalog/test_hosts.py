# SPDX-License-Identifier: Apache-2.0
"""What the catalog knows about the host, through the store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mthook.catalog import hosts
from mthook.catalog.records import Capability, HostFacts
from mthook.catalog.store import Catalog
from mthook.settings import Settings

from .samples import AT, KVM, LATER, alias

ARM = Capability("/usr/bin/qemu-system-aarch64", "aarch64", "qemu", "virt-7.2", None, True)
PC = alias("pc", "pc-i440fx-7.2")
VERSIONED = alias("pc-i440fx-7.2", None)
FACTS = HostFacts("host1", "7.2.22", "9.0.0", AT)


def _settings(mode: str = "enforce", compiled_at: str = "") -> Settings:
    return Settings(mode=mode, fingerprint="fingerprint", compiled_at=compiled_at)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is always one second after the samples were made."""
    monkeypatch.setattr(hosts, "now", lambda: LATER)


def test_capabilities_come_back_whole(catalog: Catalog) -> None:
    """By emulator, architecture, virt type and machine type."""
    catalog.replace_capabilities([VERSIONED, PC, ARM], FACTS)

    assert catalog.capabilities() == [ARM, PC, VERSIONED]
    assert catalog.capabilities("x86_64") == [PC, VERSIONED]
    assert catalog.capabilities("s390x") == []


def test_capabilities_are_replaced_as_a_whole(catalog: Catalog) -> None:
    """What an emulator no longer offers is gone, even all of it."""
    catalog.replace_capabilities([PC, VERSIONED], FACTS)
    catalog.replace_capabilities([ARM], FACTS)
    replaced = catalog.capabilities()
    catalog.replace_capabilities([], FACTS)

    assert replaced == [ARM]
    assert catalog.capabilities() == []


def test_aliases_are_the_hooks(catalog: Catalog) -> None:
    """Store and hook resolve aliases by the same statement."""
    catalog.replace_capabilities([PC, VERSIONED], FACTS)

    assert catalog.aliases(KVM, "x86_64", "kvm") == {"pc": "pc-i440fx-7.2"}
    assert catalog.aliases(KVM, "aarch64", "kvm") == {}


def test_before_the_first_sync_nothing_is_known(catalog: Catalog) -> None:
    """Absence is not an error."""
    assert (HostFacts(), None) == (catalog.host(), catalog.settings())


def test_host_facts_come_back(catalog: Catalog) -> None:
    """When they were seen is now where the caller doesn't say."""
    catalog.replace_capabilities([], FACTS)
    given = catalog.host()
    catalog.replace_capabilities([], HostFacts("host1", "8.0.0", None))

    assert given == FACTS
    assert HostFacts("host1", "8.0.0", None, LATER) == catalog.host()


def test_parts_of_the_host_row_are_kept_apart(catalog: Catalog) -> None:
    """Versions, daemons and the last sync don't overwrite each other, in any order."""
    catalog.set_last_sync(AT, False)
    catalog.set_daemons('["libvirtd"]')
    catalog.replace_capabilities([], FACTS)
    catalog.set_last_sync(LATER, True)

    expected = replace(FACTS, daemons='["libvirtd"]', last_sync_at=LATER, last_sync_ok=True)
    assert expected == catalog.host()


def test_a_sync_that_broke_off_leaves_the_last_success(catalog: Catalog) -> None:
    """And the last one that got to its end."""
    catalog.set_last_sync(AT, True)
    catalog.set_run(AT, 0)
    catalog.set_run(LATER, 2)

    expected = HostFacts(
        last_sync_at=AT, last_sync_ok=True, ran_at=LATER, ran_errors=2, succeeded_at=AT
    )
    assert expected == catalog.host()


def test_daemons_can_be_forgotten(catalog: Catalog) -> None:
    """After the hook was removed none knows it."""
    catalog.set_daemons('["libvirtd"]')
    catalog.set_daemons(None)

    assert HostFacts() == catalog.host()


def test_the_settings_are_compiled(catalog: Catalog) -> None:
    """It comes back with the time of its compilation; a new one replaces it."""
    catalog.compile_settings(_settings())
    first = catalog.settings()
    catalog.compile_settings(_settings("audit"))

    assert _settings(compiled_at=LATER) == first
    assert _settings("audit", LATER) == catalog.settings()


def test_the_same_settings_are_not_written_again(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every sync compiles it; only a changed one costs a write."""
    catalog.compile_settings(_settings())
    monkeypatch.setattr(hosts, "now", lambda: "2027-01-01T00:00:00.000000Z")
    catalog.compile_settings(_settings())

    assert _settings(compiled_at=LATER) == catalog.settings()
