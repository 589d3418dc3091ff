# SPDX-License-Identifier: Apache-2.0
"""What mthook.host says of domains, and does to them, on a real libvirtd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mthook.catalog.offers import Offers, key_of
from mthook.catalog.records import Guest, Pin
from mthook.errors import HostError, NotFound
from mthook.host import capabilities, connection, domains, realign
from mthook.xmlrewrite.secrets import without_secrets
from tests.lab import OLD_PC, PC, Q35, VIRT_TYPE, Host, guest_xml

AT = "2026-11-22T13:00:00.000000Z"
UUID = "3f2c1d3e-0000-4000-8000-000000000001"
QEMU = "/usr/bin/qemu-system-x86_64"
KEY = (QEMU, "x86_64", VIRT_TYPE)
VNC = "<graphics type='vnc' port='-1' passwd='hushhush'/></devices>"


@pytest.fixture
def here(node: Host) -> Iterator[connection.Host]:
    """A connection to the lab host, which has no guests."""
    with connection.connect(node.uri) as host:
        yield host
    node.remove_guests()


def boot(node: Host, machine: str = PC) -> None:
    """Define and start the guest web-1."""
    node.define(guest_xml("web-1", UUID, machine))
    node.virsh("start", "web-1")


def test_a_running_guest_is_read_with_what_it_runs_and_what_it_is_defined_as(
    node: Host, here: connection.Host
) -> None:
    """Both machine types are there, and they may differ."""
    boot(node, OLD_PC)
    node.define(guest_xml("web-1", UUID, PC))

    (domain,) = domains.list_domains(here)

    assert (domain.uuid, domain.name, domain.state) == (UUID, "web-1", "running")
    assert (domain.active, domain.persistent) == (True, True)
    assert (domain.managed_save, domain.snapshots, domain.saved) == (False, 0, None)
    assert domain.running is not None and domain.running.machine == OLD_PC
    assert domain.defined is not None and domain.defined.machine == PC
    assert key_of(domain.defined) == KEY
    assert domains.count_domains(here) == 1


def test_a_saved_guest_is_read_with_what_its_image_holds(node: Host, here: connection.Host) -> None:
    """The image keeps its machine type when the definition gets another one."""
    boot(node, OLD_PC)
    node.virsh("managedsave", "web-1")
    node.define(guest_xml("web-1", UUID, PC))

    domain = domains.find_domain(here, "web-1")

    assert (domain.state, domain.active, domain.managed_save) == ("saved", False, True)
    assert (domain.saved, domain.running) == (OLD_PC, None)
    assert domain.defined is not None and domain.defined.machine == PC


def test_a_broken_saved_image_is_a_problem_of_its_guest(node: Host, here: connection.Host) -> None:
    """Nobody knows then what a start would bring."""
    boot(node)
    node.virsh("managedsave", "web-1")
    node.path("/var/lib/libvirt/qemu/save/web-1.save").write_text("garbage")

    (domain,) = domains.list_domains(here)

    assert domain.problem == (
        f"web-1 ({UUID}): its managed-save image can't be read: operation failed: "
        "failed to read qemu header"
    )


def test_a_transient_guest_has_no_definition(node: Host, here: connection.Host) -> None:
    """It runs, and that is all there is of it."""
    node.virsh("create", "/dev/stdin", input=guest_xml("web-1", UUID, OLD_PC))

    domain = domains.get_domain(here, UUID)

    assert (domain.active, domain.persistent, domain.defined) == (True, False, None)
    assert domain.running is not None and domain.running.machine == OLD_PC


@pytest.mark.parametrize("name", ["two words", "quo'te\"s", "--help", "naïve"])
def test_a_guest_with_a_strange_name_is_found_by_it(
    node: Host, here: connection.Host, name: str
) -> None:
    """libvirt allows nearly any name, and so does mthook."""
    here.connection.defineXML(guest_xml(name, UUID, OLD_PC))

    domain = domains.find_domain(here, name)

    assert (domain.uuid, str(domain)) == (UUID, f"{name} ({UUID})")
    here.connection.lookupByName(name).undefine()


def test_the_definition_comes_with_passwords_only_where_they_are_wanted(
    node: Host, here: connection.Host
) -> None:
    """To redefine a guest they are needed, to show it they must not be there."""
    node.define(guest_xml("web-1", UUID, PC).replace("</devices>", VNC))

    with_secrets = domains.definition(here, UUID).xml
    without = domains.definition(here, UUID, secrets=False).xml

    assert (b"hushhush" in with_secrets, b"hushhush" in without) == (True, False)


def test_what_only_they_show_who_may_see_passwords_is_not_kept(
    node: Host, here: connection.Host
) -> None:
    """A definition is stripped of all that libvirt itself takes for secret."""
    disk = (
        "<disk type='network' device='cdrom'><driver name='qemu' type='raw'/>"
        "<source protocol='https' name='a.iso'><host name='192.0.2.1' port='443'/>"
        "<cookies><cookie name='session'>hushhush</cookie></cookies></source>"
        "<target dev='sdz' bus='scsi'/><readonly/></disk>"
    )
    node.define(guest_xml("web-1", UUID, "q35").replace("</devices>", disk + VNC))
    definition = domains.definition(here, UUID)

    assert definition.xml.count(b"hushhush") == 2
    assert b"hushhush" not in without_secrets(definition)


def test_a_redefined_guest_keeps_running_as_it_is(node: Host, here: connection.Host) -> None:
    """Only what the next cold start boots is changed."""
    boot(node, OLD_PC)

    xml = domains.definition(here, UUID).xml.replace(OLD_PC.encode(), PC.encode())
    domains.redefine(here, UUID, xml)

    domain = domains.get_domain(here, UUID)
    assert domain.running is not None and domain.running.machine == OLD_PC
    assert domain.defined is not None and domain.defined.machine == PC


def test_a_definition_that_libvirt_refuses_leaves_the_old_one(
    node: Host, here: connection.Host
) -> None:
    """The error names the guest and has libvirt's reason, in one line."""
    node.define(guest_xml("web-1", UUID, OLD_PC))
    before = domains.definition(here, UUID).xml

    with pytest.raises(HostError) as caught:
        domains.redefine(here, UUID, before.replace(OLD_PC.encode(), b"pc-i440fx-66.6"))

    assert str(caught.value) == (
        f"web-1 ({UUID}): libvirt refuses the new definition: unsupported configuration: Emulator "
        f"'{QEMU}' does not support machine type 'pc-i440fx-66.6'"
    )
    assert domains.definition(here, UUID).xml == before


def test_a_guest_that_is_gone_is_not_redefined(node: Host, here: connection.Host) -> None:
    """A definition for a guest that was undefined meanwhile doesn't bring it back."""
    node.define(guest_xml("web-1", UUID, OLD_PC))
    xml = domains.definition(here, UUID).xml
    node.virsh("undefine", "web-1")

    with pytest.raises(NotFound):
        domains.redefine(here, UUID, xml)

    assert list(domains.list_domains(here)) == []


def test_a_guest_is_started(node: Host, here: connection.Host) -> None:
    """As virsh starts it."""
    node.define(guest_xml("web-1", UUID, PC))

    domains.start(here, UUID)

    assert node.state("web-1") == "running"


def test_a_guest_that_runs_cant_be_started(node: Host, here: connection.Host) -> None:
    """libvirt's reason is told with the guest's name."""
    boot(node)

    with pytest.raises(HostError) as caught:
        domains.start(here, UUID)

    assert str(caught.value) == (
        f"web-1 ({UUID}): can't be started: Requested operation is not valid: "
        "domain is already running"
    )


def test_capabilities_are_those_of_the_host(here: connection.Host) -> None:
    """Every machine type that virsh lists is there, and the aliases resolve to the newest."""
    guest = Guest(UUID, "web-1", "x86_64", VIRT_TYPE, emulator=QEMU)
    offer = Offers(capabilities.read_capabilities(here)).of(guest)

    assert {name: offer.aliases[name] for name in ("pc", "q35")} == {"pc": PC, "q35": Q35}
    assert {OLD_PC, PC, Q35} <= set(offer.names)
    assert [capabilities.supports(here, guest, name) for name in ("pc", "pc-66.6")] == [True, False]


def test_the_emulator_of_a_guest_counts_though_libvirt_does_not_list_it(
    node: Host, here: connection.Host
) -> None:
    """A second QEMU at another path is asked for what the guests that use it need."""
    other = "/run/qemu-old"
    node.path(other).symlink_to(QEMU)
    node.define(guest_xml("web-1", UUID, OLD_PC).replace(QEMU, other))

    found = capabilities.read_capabilities(here, domains.list_domains(here))

    offer = Offers(found).like("x86_64", VIRT_TYPE, other)
    assert offer.aliases == {"pc": PC}
    assert offer.names == sorted(["pc", OLD_PC, PC])


def test_versions_are_those_of_the_host(node: Host, here: connection.Host) -> None:
    """As virsh tells them."""
    facts = capabilities.host_facts(here, "node-1")

    told = node.virsh("version").stdout
    assert f"QEMU {facts.qemu_version}" in told
    assert f"libvirt {facts.libvirt_version}" in told


def test_a_connection_without_rights_changes_nothing(node: Host) -> None:
    """Nor does it give passwords away."""
    node.define(guest_xml("web-1", UUID, PC))

    with connection.connect(node.uri, readonly=True) as here:
        assert domains.get_domain(here, UUID).name == "web-1"
        with pytest.raises(HostError):
            domains.definition(here, UUID)
        with pytest.raises(HostError):
            domains.start(here, UUID)
    node.remove_guests()


def test_a_daemon_that_dies_is_noticed(node: Host) -> None:
    """A list of guests that can't be had isn't an empty list."""
    node.define(guest_xml("web-1", UUID, PC))
    with connection.connect(node.uri) as here:
        assert here.is_alive()
        node.daemon.kill()

        with pytest.raises(HostError):
            list(domains.list_domains(here))
        assert not here.is_alive()
    node.daemon.start()
    node.remove_guests()


def test_what_libvirt_shows_can_be_read(node: Host, here: connection.Host) -> None:
    """A whole definition, with what libvirt adds to it, passes mthook's own reader."""
    node.define(guest_xml("web-1", UUID, "q35"))

    summary = domains.definition(here, UUID).summary

    assert (summary.uuid, summary.machine, summary.arch) == (UUID, Q35, "x86_64")


@pytest.mark.parametrize("running", [False, True])
def test_a_guest_that_is_undefined_while_it_is_realigned_stays_so(
    node: Host, here: connection.Host, monkeypatch: pytest.MonkeyPatch, running: bool
) -> None:
    """libvirt defines it anew between the last look and the definition; that is noticed and taken back."""
    node.define(guest_xml("web-1", UUID, PC))
    if running:
        node.virsh("start", "web-1")
    offers = Offers(capabilities.read_capabilities(here, domains.list_domains(here)))
    pin = Pin(UUID, OLD_PC, "x86_64", "operator", "root", AT, AT)
    change = realign.prepare(here, pin, offers)
    before = here.connection.defineXMLFlags

    class Late:
        """The connection, on which somebody is faster."""

        def __getattr__(self, name: str) -> Any:
            return getattr(connected, name)

        def defineXMLFlags(self, *args: Any) -> Any:
            node.virsh("undefine", "web-1")
            return before(*args)

    connected = here.connection
    monkeypatch.setattr(here, "connection", Late())

    with pytest.raises(NotFound, match="undefined meanwhile"):
        realign.realign(here, pin, change, offers)

    monkeypatch.undo()
    persistent = node.virsh("list", "--all", "--persistent", "--name").stdout.split()
    assert persistent == []
    assert bool(node.virsh("list", "--name").stdout.split()) is running
