# SPDX-License-Identifier: Apache-2.0
"""Bringing a definition back to its pin, and when that must not be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest

from mthook.catalog.offers import Offers
from mthook.catalog.records import Pin
from mthook.catalog.store import Catalog
from mthook.errors import ConversionError, HostError, NotFound, Refused
from mthook.host import capabilities, domains, realign
from mthook.host.connection import Host
from mthook.policy import Refusal
from mthook.xmlrewrite import summary
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.secrets import without_secrets
from mthook.xmlrewrite.summary import Summary
from mthook.xmlrewrite.target import Original
from tests.unit.host.fakes import (
    OTHER,
    QEMU,
    UUID,
    FakeDomain,
    domain_xml,
    failure,
    host,
)

AT = "2026-11-22T13:00:00.000000Z"


def pin(machine: str | None, seen: str | None = None) -> Pin:
    """Return a pin of the guest web-1."""
    return Pin(UUID, machine, "x86_64", "operator", "root", AT, AT, seen)


def offers() -> Offers:
    """Return what the host of the stand-ins offers."""
    return Offers(capabilities.read_capabilities(host()[0]))


def realigned(
    here: Host,
    pin: Pin,
    offers: Offers,
    originals: Catalog | None = None,
    *,
    snapshots: bool = False,
) -> realign.Realignment | None:
    """Realign the guest of a pin; return what that was."""
    planned = realign.prepare(here, pin, offers, originals, snapshots=snapshots)
    if planned is not None:
        realign.realign(here, pin, planned, offers, originals)
    return planned


def carrying(machine: str, carried: str) -> Summary:
    """Return what is known of a guest that has a machine type and carries a pin."""
    metadata = (
        f"<m:pin xmlns:m='urn:mthook:pin:1' machine='{carried}' instance='{UUID}' since='{AT}'/>"
    )
    return summary.read(domain_xml(machine, metadata=metadata).encode())


def test_a_definition_gets_its_pin_and_carries_it() -> None:
    """The new definition has the pinned machine type, and names pin, guest and since when."""
    here, connection = host(FakeDomain(domain_xml("pc-i440fx-7.2")))

    done = realigned(here, pin("pc-i440fx-6.2"), offers())

    assert done is not None
    assert (done.old, done.new) == ("pc-i440fx-7.2", "pc-i440fx-6.2")
    (xml,) = connection.defined
    assert "machine='pc-i440fx-6.2'" in xml.replace('"', "'")
    assert all(text in xml for text in ("urn:mthook:pin:1", f'instance="{UUID}"', f'since="{AT}"'))


def test_a_realignment_never_shows_the_xml() -> None:
    """Definitions hold passwords, and a traceback or a log shows what repr() does."""
    here, _ = host(FakeDomain(domain_xml("pc-i440fx-7.2", metadata="<a xmlns='hush'/>")))

    planned = realign.prepare(here, pin("pc-i440fx-6.2"), offers())

    assert repr(planned) == "Realignment(old='pc-i440fx-7.2', new='pc-i440fx-6.2')"


@pytest.mark.parametrize(
    ("machine", "defined"),
    [("pc-i440fx-6.2", "pc-i440fx-6.2"), ("pc", "pc-i440fx-6.2"), (None, "pc-i440fx-6.2")],
)
def test_a_satisfied_pin_changes_nothing(machine: str | None, defined: str) -> None:
    """Neither the same name, nor an alias of the family, nor a released pin asks for anything."""
    here, connection = host(FakeDomain(domain_xml(defined)))

    assert realigned(here, pin(machine), offers()) is None
    assert connection.defined == []


def test_a_transient_domain_has_no_definition_to_change() -> None:
    """Defining a transient domain would make it persistent."""
    transient = FakeDomain(running=domain_xml("pc-i440fx-7.2"))
    transient.persistent = False
    here, connection = host(transient)

    assert realigned(here, pin("pc-i440fx-6.2"), offers()) is None
    assert connection.defined == []


def test_a_guest_that_runs_what_it_is_pinned_to_carries_nothing() -> None:
    """A pin that the guest itself shows needs no words."""
    running = FakeDomain(domain_xml("pc-i440fx-7.2"), running=domain_xml("pc-i440fx-6.2"))
    here, _ = host(running)

    realigned(here, pin("pc-i440fx-6.2"), offers())

    assert running.carried == []


@pytest.mark.parametrize(
    ("defined", "running", "noted", "live"),
    [
        (None, None, 0, 0),
        (summary.read(domain_xml("pc-i440fx-6.2").encode()), None, 0, 0),
        (carrying("pc-i440fx-6.2", "pc-i440fx-6.2"), None, 0, 0),
        (carrying("pc-i440fx-6.2", "pc-i440fx-7.2"), None, 1, 0),
        (None, summary.read(domain_xml("pc-i440fx-7.2").encode()), 0, 1),
        (None, carrying("pc-i440fx-6.2", "pc-i440fx-7.2"), 0, 1),
        (None, carrying("pc-i440fx-7.2", "pc-i440fx-6.2"), 0, 0),
        (*2 * [carrying("pc-i440fx-6.2", "pc-i440fx-7.2")], 1, 1),
    ],
)
def test_a_guest_carries_no_other_pin_than_its_own(
    defined: Summary | None, running: Summary | None, noted: int, live: int
) -> None:
    """Nor is anything written where it says the same, or where the machine type itself says it."""
    domain = FakeDomain()
    here, _ = host(domain)

    realign.carry(here, pin("pc-i440fx-6.2"), offers(), defined, running)

    written = f'<pin instance="{UUID}" machine="pc-i440fx-6.2" since="{AT}"/>'
    assert (domain.noted, domain.carried) == (noted * [written], live * [written])


def test_a_definition_with_snapshots_is_realigned_only_where_asked_for() -> None:
    """A repair may: the guest can't be started otherwise."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    domain.snapshots = 1
    here, connection = host(domain)

    with pytest.raises(Refused, match=r"it has snapshots \(1\)"):
        realigned(here, pin("pc-i440fx-6.2"), offers())
    assert realigned(here, pin("pc-i440fx-6.2"), offers(), snapshots=True) is not None
    assert len(connection.defined) == 1


def test_a_rebuilt_guest_is_left_to_its_next_start() -> None:
    """The definition names an image that the pin doesn't know: the pin holds no more."""
    nova = "http://openstack.org/xmlns/libvirt/nova/1.1"
    metadata = f"<n:instance xmlns:n='{nova}'><n:root type='image' uuid='new'/></n:instance>"
    here, connection = host(FakeDomain(domain_xml("pc-q35-7.2", metadata=metadata)))
    known = dataclasses.replace(pin("pc-i440fx-6.2"), root_image="old older")

    assert realigned(here, known, offers()) is None
    assert connection.defined == []


def test_a_definition_that_changes_under_our_hands_is_left_alone() -> None:
    """What somebody else has just defined is not overwritten with what was read before."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    here, connection = host(domain)
    connection.on_lookup = _change_at(domain, look=3)

    with pytest.raises(HostError, match="changed meanwhile, try again"):
        realigned(here, pin("pc-i440fx-6.2"), offers())
    assert connection.defined == []


def test_a_domain_undefined_under_our_hands_does_not_come_back() -> None:
    """A guest that vanishes between reading and defining stays gone."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    here, connection = host(domain)
    looks: list[FakeDomain] = []

    def vanish(found: FakeDomain) -> None:
        looks.append(found)
        if len(looks) == 2:
            connection.domains.clear()

    connection.on_lookup = vanish

    with pytest.raises(NotFound):
        realigned(here, pin("pc-i440fx-6.2"), offers())
    assert connection.defined == []


def test_a_machine_type_that_the_emulator_lacks_is_refused() -> None:
    """The message names guest, pin, emulator and the nearest machine types that there are."""
    here, connection = host(FakeDomain(domain_xml("pc-i440fx-7.2")))

    with pytest.raises(Refused) as caught:
        realigned(here, pin("pc-i440fx-6.1"), offers())

    assert caught.value.reason == Refusal.UNSUPPORTED
    assert str(caught.value) == (
        f"web-1 ({UUID}): pinned to pc-i440fx-6.1, which {QEMU} (kvm) doesn't offer on this host; "
        "nearest: pc-i440fx-6.2, pc-i440fx-7.2, pc-i440fx-1.7"
    )
    assert connection.defined == []


def test_nothing_near_is_said_too() -> None:
    """Where the emulator has none of the family the message says so."""
    here, _ = host(FakeDomain(domain_xml("pc-i440fx-7.2")))

    with pytest.raises(Refused, match="nearest: none$"):
        realign.prepare(here, pin("pc-i440fx-6.1"), Offers(()))


def test_what_libvirt_knows_beyond_its_capabilities_is_supported() -> None:
    """A machine type that the list leaves out but that libvirt accepts is no reason to refuse."""
    here, _ = host(
        FakeDomain(domain_xml("pc-i440fx-7.2")), supported={"pc-i440fx-6.1": "pc-i440fx-6.1"}
    )

    planned = realign.prepare(here, pin("pc-i440fx-6.1"), offers())

    assert planned is not None and planned.new == "pc-i440fx-6.1"


def test_an_alias_that_means_another_vendors_machine_type_here_is_refused() -> None:
    """Redefining with such an alias would change nothing, again at every run."""
    here, connection = host(FakeDomain(domain_xml("pc-i440fx-7.2")))

    with pytest.raises(Refused) as caught:
        realigned(here, pin("pc", seen="pc-i440fx-rhel7.6.0"), offers())

    assert str(caught.value) == (
        f"web-1 ({UUID}): pinned to pc, seen as pc-i440fx-rhel7.6.0; here that is "
        "pc-i440fx-7.2, which is another vendor's"
    )
    assert connection.defined == []


WWN = "<disk><target dev='hda' bus='ide'/><wwn>5000c50015ea71ac</wwn></disk>"


def test_what_another_family_cannot_have_is_refused() -> None:
    """Nothing is defined."""
    here, connection = host(FakeDomain(domain_xml().replace("</devices>", f"{WWN}</devices>")))

    with pytest.raises(ConversionError):
        realigned(here, pin("pc-q35-7.2"), offers())
    assert connection.defined == []


def test_a_guest_of_another_family_is_converted_and_what_it_was_is_kept(tmp_path: Path) -> None:
    """In the catalog, without secrets, together with what it is now."""
    domain = FakeDomain(domain_xml("pc-i440fx-7.2"))
    here, _ = host(domain)
    before = domain.defined.encode()
    with Catalog.open(str(tmp_path / "mthook" / "catalog.sqlite")) as catalog:
        done = realigned(here, pin("pc-q35-7.2"), offers(), catalog)
        kept = catalog.original(UUID)

    assert done is not None and done.converted
    assert done.changes[0] == "machine type: pc-i440fx-7.2 → pc-q35-7.2"
    assert kept is not None
    after = domain.defined.encode()
    assert (kept.before, kept.after) == (
        without_secrets(Definition(before)),
        without_secrets(Definition(after)),
    )


def test_a_pin_recorded_since_is_the_one_that_is_carried() -> None:
    """Whoever asks for a change works it out before the pin is recorded: since then it holds."""
    here, connection = host(FakeDomain(domain_xml("pc-i440fx-7.2")))
    planned = realign.prepare(here, pin("pc-i440fx-6.2"), offers())
    later = "2026-11-22T13:00:01.000000Z"
    recorded = dataclasses.replace(pin("pc-i440fx-6.2"), updated_at=later)

    realign.realign(here, recorded, planned, offers())

    (xml,) = connection.defined
    assert Definition(xml.encode()).summary.travelled == ("pc-i440fx-6.2", later)


def test_a_change_of_version_keeps_nothing(tmp_path: Path) -> None:
    """There is nothing that another version of the family couldn't have."""
    here, _ = host(FakeDomain(domain_xml("pc-i440fx-7.2")))
    with Catalog.open(str(tmp_path / "mthook" / "catalog.sqlite")) as catalog:
        assert realigned(here, pin("pc-i440fx-6.2"), offers(), catalog) is not None
        assert catalog.original(UUID) is None


@pytest.mark.parametrize("earlier", [None, Original(b"<domain/>", b"<domain/>", AT)])
def test_a_conversion_that_libvirt_refuses_leaves_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: Original | None
) -> None:
    """Or that nothing was."""
    here, connection = host(FakeDomain(domain_xml("pc-i440fx-7.2")))

    def refuse(xml: str, flags: int) -> None:
        raise failure(libvirt.VIR_ERR_XML_ERROR)

    monkeypatch.setattr(connection, "defineXMLFlags", refuse)
    with Catalog.open(str(tmp_path / "mthook" / "catalog.sqlite")) as catalog:
        catalog.keep_original(UUID, earlier)
        with pytest.raises(HostError):
            realigned(here, pin("pc-q35-7.2"), offers(), catalog)
        kept = catalog.original(UUID)

    assert (kept and kept.before) == (earlier and earlier.before)


def test_a_conversion_that_cant_be_looked_at_afterwards_is_done_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pin isn't put back then; what was planned is kept in place of what libvirt made of it."""
    here, connection = host(FakeDomain(domain_xml("pc-i440fx-7.2")))
    look = domains.definition

    def fail_at_last(here: Host, uuid: str, **options: bool) -> Definition:
        if connection.defined:
            raise HostError("gone")
        return look(here, uuid, **options)

    monkeypatch.setattr(domains, "definition", fail_at_last)
    with Catalog.open(str(tmp_path / "mthook" / "catalog.sqlite")) as catalog:
        done = realigned(here, pin("pc-q35-7.2"), offers(), catalog)
        kept = catalog.original(UUID)

    assert done is not None and len(connection.defined) == 1
    assert kept is not None and b"pc-q35-7.2" in kept.after


def test_a_definition_without_a_machine_type_is_not_aligned() -> None:
    """Which machine type libvirt would choose is its own affair, and may change."""
    here, _ = host(FakeDomain(domain_xml().replace(" machine='pc-i440fx-7.2'", "")))

    planned = realign.prepare(here, pin("pc-i440fx-7.2"), offers())

    assert planned is not None and (planned.old, planned.new) == ("", "pc-i440fx-7.2")


def test_only_the_pins_own_guest_is_touched() -> None:
    """A guest that is named like the pin's UUID is not taken for it."""
    here, connection = host(
        FakeDomain(domain_xml("pc-i440fx-7.2", uuid=OTHER), uuid=OTHER, name=UUID)
    )

    with pytest.raises(NotFound):
        realigned(here, pin("pc-i440fx-6.2"), offers())
    assert connection.defined == []


def _change_at(domain: FakeDomain, look: int) -> Callable[[FakeDomain], None]:
    """Return a callback that changes a domain's definition just before the given look at it."""
    looks: list[FakeDomain] = []

    def change(found: FakeDomain) -> None:
        looks.append(found)
        if len(looks) == look:
            domain.defined = domain_xml("pc-i440fx-7.2", metadata="<a xmlns='new'/>")

    return change
