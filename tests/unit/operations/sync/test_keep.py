# SPDX-License-Identifier: Apache-2.0
"""Definitions that are kept to lead guests back to."""

from __future__ import annotations

import pytest

from mthook.catalog.store import Catalog
from tests.unit.host.fakes import OTHER, UUID, FakeDomain, domain_xml
from tests.unit.operations.sync.setting import Setting

SECRETS = """<graphics type='vnc' passwd='sesame'/></devices>
<sysinfo type='fwcfg'><entry name='opt/config'>sesame</entry></sysinfo>
<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:env name='A' value='sesame'/></q:commandline>"""


@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_each_sync_keeps_what_satisfies_its_pin(setting: Setting, mode: str) -> None:
    """Without secrets; the machine type beside it."""
    setting.configure(f"[hook]\nmode = {mode}\n")
    xml = domain_xml("pc-i440fx-6.2").replace("</devices>", SECRETS)
    setting.libvirt.domains = [FakeDomain(xml)]

    assert setting.sync() == (0, "", "")

    with setting.catalog() as catalog:
        kept = catalog.kept(UUID)
    assert kept is not None
    assert kept.machine == "pc-i440fx-6.2"
    assert b"sesame" not in kept.xml
    assert b'<graphics type="vnc"/>' in kept.xml


def test_what_is_kept_already_is_neither_read_nor_written(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync of a host on which nothing has changed costs nothing."""
    domain = FakeDomain(domain_xml())
    setting.libvirt.domains = [domain]
    setting.sync()
    with setting.catalog() as catalog:
        first = catalog.kept(UUID)
    reads, domain.reads = domain.reads, 0

    setting.sync()

    assert domain.reads == reads - 1
    with setting.catalog() as catalog:
        again = catalog.kept(UUID)
    assert first is not None and again is not None
    assert vars(again) == vars(first)


def test_a_changed_definition_takes_the_place_of_the_last(setting: Setting) -> None:
    """As long as it is what the pin says."""
    domain = FakeDomain(domain_xml())
    setting.libvirt.domains = [domain]
    setting.sync()
    domain.defined = domain_xml().replace("</devices>", "<sound model='ich6'/></devices>")

    setting.sync()

    with setting.catalog() as catalog:
        kept = catalog.kept(UUID)
    assert kept is not None and b"ich6" in kept.xml


@pytest.mark.parametrize(
    "xml",
    [
        domain_xml("pc-q35-7.2"),
        domain_xml(metadata="<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"),
    ],
    ids=["unlike its pin", "Nova's"],
)
def test_nothing_else_is_kept(setting: Setting, xml: str) -> None:
    """What is wrong is nothing to go back to, and Nova makes its own anew."""
    setting.configure("[sync]\nrealign = false\n")
    setting.libvirt.domains = [FakeDomain(xml)]
    with setting.catalog() as catalog:
        catalog.set_pin(UUID, "pc-i440fx-7.2", source="first boot", actor="hook")

    setting.sync()

    with setting.catalog() as catalog:
        assert catalog.kept(UUID) is None


def test_a_guest_that_vanishes_is_no_error(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others' definitions are kept."""
    setting.libvirt.domains = [FakeDomain(), FakeDomain(domain_xml(uuid=OTHER), uuid=OTHER)]
    keep = Catalog.checksums

    def vanish(catalog: Catalog) -> dict[str, int]:
        del setting.libvirt.domains[0]
        return keep(catalog)

    monkeypatch.setattr(Catalog, "checksums", vanish)

    assert setting.sync("--only", "seed") == (0, "", "")
    with setting.catalog() as catalog:
        assert catalog.kept(UUID) is None
        assert catalog.kept(OTHER) is not None


def test_what_is_kept_goes_with_the_guest(setting: Setting) -> None:
    """It is forgotten with the pin."""
    setting.libvirt.domains = [FakeDomain()]
    setting.sync()

    with setting.catalog() as catalog:
        catalog.forget(UUID, actor="mthook-sync", reason="gone")
        assert catalog.kept(UUID) is None
