# SPDX-License-Identifier: Apache-2.0
"""What the emulators of a host offer."""

from __future__ import annotations

import pytest

from mthook.catalog.records import Capability, Guest, HostFacts
from mthook.errors import HostError
from mthook.host import capabilities
from mthook.host.domains import list_domains
from tests.unit.host.fakes import QEMU, UUID, FakeDomain, domain_xml, failure, host

OLD = "/opt/qemu-2.12/qemu-system-x86_64"


@pytest.fixture(autouse=True)
def out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulators of these hosts aren't this machine's."""
    monkeypatch.setattr(capabilities, "stamp", lambda emulator: None)


def test_an_emulator_that_is_here_is_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its file."""
    monkeypatch.setattr(capabilities, "stamp", lambda emulator: f"{emulator} as it is")
    here, _ = host()

    read = capabilities.read_capabilities(here)

    assert {one.stamp for one in read} == {f"{QEMU} as it is"}


def test_every_machine_type_is_kept_with_what_libvirt_says_of_it() -> None:
    """Alias and deprecation are read for each."""
    here, _ = host()
    key = (QEMU, "x86_64", "kvm")

    assert capabilities.read_capabilities(here) == [
        Capability(*key, "pc", "pc-i440fx-7.2"),
        Capability(*key, "pc-i440fx-1.7", None, True),
        Capability(*key, "pc-i440fx-6.2"),
        Capability(*key, "pc-i440fx-7.2"),
        Capability(*key, "pc-q35-7.2"),
        Capability(*key, "q35", "pc-q35-7.2"),
    ]


def test_a_domain_type_may_have_its_own_emulator_and_machine_types() -> None:
    """What stands inside <domain> counts for that type instead of what its <arch> lists."""
    here, _ = host(
        capabilities="<capabilities><guest><arch name='i686'><emulator>/bin/a</emulator>"
        "<machine>pc-1.0</machine><domain type='qemu'/><domain type='kvm'>"
        "<emulator>/bin/b</emulator><machine>pc-1.1</machine></domain></arch>"
        "<arch name='x86_64'><machine>pc-1.2</machine><domain type='xen'/></arch>"
        "</guest></capabilities>"
    )

    assert capabilities.read_capabilities(here) == [
        Capability("/bin/a", "i686", "qemu", "pc-1.0"),
        Capability("/bin/b", "i686", "kvm", "pc-1.1"),
    ]


def test_an_emulator_that_libvirt_does_not_list_is_asked_for_the_names_in_use() -> None:
    """A guest's own emulator is asked for the guest's machine type and for its family's aliases."""
    supported = {"pc-i440fx-2.12": "pc-i440fx-2.12", "pc": "pc-i440fx-2.12"}
    here, _ = host(
        FakeDomain(domain_xml("pc-i440fx-2.12", emulator=OLD)),
        capabilities="<capabilities/>",
        supported=supported,
    )

    found = capabilities.read_capabilities(here, list_domains(here))

    key = (OLD, "x86_64", "kvm")
    assert found == [
        Capability(*key, "pc", "pc-i440fx-2.12"),
        Capability(*key, "pc-i440fx-2.12"),
    ]


@pytest.mark.parametrize("emulator", [QEMU, ""])
def test_an_emulator_that_is_listed_or_unnamed_is_not_asked(emulator: str) -> None:
    """Capabilities that list an emulator list all it has."""
    here, _ = host(FakeDomain(domain_xml("pc-9.9", emulator=emulator)), supported={"pc-9.9": "x"})

    found = capabilities.read_capabilities(here, list_domains(here))

    assert found == capabilities.read_capabilities(here)


def test_only_what_libvirt_lets_an_emulator_run_is_supported() -> None:
    """libvirt answers for a machine type it knows, and refuses any other."""
    here, _ = host(supported={"pc-2.0": "pc-i440fx-2.0"})
    guest = Guest(UUID, "web-1", "x86_64", "kvm", emulator=OLD)

    assert [capabilities.supports(here, guest, name) for name in ("pc-2.0", "pc-2.1")] == [
        True,
        False,
    ]


def test_versions_are_written_as_people_write_them() -> None:
    """libvirt's numbers become QEMU's and libvirt's versions."""
    here, _ = host()

    facts = capabilities.host_facts(here, "node-1")

    assert facts == HostFacts("node-1", "7.2.22", "9.0.0", facts.seen_at)


def test_a_daemon_that_goes_away_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capabilities that can't be had are never taken for none."""
    here, connection = host()
    monkeypatch.setattr(connection, "getCapabilities", lambda: (_ for _ in ()).throw(failure(38)))

    with pytest.raises(HostError, match="^libvirt doesn't tell its capabilities: no luck$"):
        capabilities.read_capabilities(here)
