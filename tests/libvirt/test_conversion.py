# SPDX-License-Identifier: Apache-2.0
"""The whole corpus on a real libvirtd: what is converted is accepted and starts, both ways."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree

from mthook.errors import ConversionError
from mthook.xmlrewrite import safexml, summary
from mthook.xmlrewrite.family import convert
from mthook.xmlrewrite.family.board import Conversion, nova_instance
from mthook.xmlrewrite.machine import change_of_family
from tests.corpus import CONVERTED, REFUSED, Case, ident
from tests.lab import Host
from tests.libvirt.conversion import LIBVIRT, Daemon, each, lacks, order, startable

#: Refused, though libvirt would take it without a word.
TRAPS = {
    "libvirt-pc-ide-and-sata-would-swap": "the guest would boot from another disk",
    "libvirt-q35-secure-boot-build": "the firmware needs SMM of a q35",
    "libvirt-pc-expander": "the guest would lose the bus, and its devices their NUMA node",
    "libvirt-q35-expander": "the guest would lose the bus, and its devices their NUMA node",
    "override-of-a-bus": "the property is of a device that this guest doesn't have",
    "override-of-a-port": "the port goes, and its property with it",
    "uefi-chosen-by-7.0-pc": "libvirt 7.0 starts it with another firmware",
    "argument-of-the-board": "QEMU says nothing to properties of a device that isn't there",
}
if LIBVIRT < (9, 3):
    TRAPS["libvirt-pc-watchdog-ib700"] = "the guest wouldn't start once its host has libvirt 9.3"
#: Inputs that libvirt 9.0 takes only when they are converted: IDE on q35, a newer libvirt's watchdog.
MENDED = ("nova-q35-stale-ide-to-pc", "watchdog-of-the-board")
#: Those with something to be counted, and a libvirt that takes the input.
_COUNTED = [
    case
    for case in CONVERTED
    if case.name not in (*MENDED, "enrolled-keys-alone")  # whose input doesn't start
    and not lacks(case.xml)
    and (b"<disk" in case.xml or case.xml.count(b"<interface") > 1)
]
_UNCOUNTED = [case for case in CONVERTED if not lacks(case.xml) and case not in _COUNTED]
_OF_NOVA = [case for case in _COUNTED if summary.read(case.xml).nova]
_OF_OTHERS = [case for case in _COUNTED if case not in _OF_NOVA]
_SWITCHES = [case for case in REFUSED if case.changes_family]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A lab host's libvirtd."""
    with Host("converter", firmware=True) as node:
        found = Daemon(node)
        yield found
        found.close()


@each(CONVERTED, started=False)
def test_what_was_accepted_is_accepted_converted(daemon: Daemon, case: Case) -> None:
    """With schema validation, and nothing of it adapted."""
    assert case.out is not None
    before = daemon.refusal(case.xml)
    after = daemon.refusal(case.out)

    if LIBVIRT[:2] != (9, 0):
        assert after in (before, "")
    elif case.name in MENDED:
        assert (before != "", after) == (True, "")
    else:
        # Where this libvirt is too old for the input, it is for the output, in the same words.
        assert after == before


@each(_UNCOUNTED)
def test_what_is_converted_starts(daemon: Daemon, case: Case) -> None:
    """On the disks and networks of a test machine; the others start where their devices are counted."""
    assert case.out is not None

    assert daemon.refusal(startable(case.out), start=True) == ""


@each(_OF_NOVA)
def test_an_instance_knows_its_drives_by_what_it_did(daemon: Daemon, case: Case) -> None:
    """QEMU itself is asked, before and after."""
    assert case.out is not None
    before, after = (daemon.serials(startable(xml)) for xml in (case.xml, case.out))

    told = dict(re.findall(r"(?m)^\w+ (\w+): QEMU's own serial \w+ → (\w+)$", _report(case)))
    assert {name: after[name] for name in told} == told
    assert told or sorted(before.values(), key=str) == sorted(after.values(), key=str)


@each(_OF_OTHERS)
def test_a_guest_knows_its_devices_by_what_it_did(daemon: Daemon, case: Case) -> None:
    """QEMU itself is asked, before and after: serials, and the order of network cards and disks."""
    assert case.out is not None
    before, after = (daemon.identities(startable(xml)) for xml in (case.xml, case.out))

    assert after[0] == before[0]
    assert "QEMU's own serial" not in _report(case)
    assert after[1] == before[1] or "counted in another order" in _report(case)


def test_devices_are_in_order_once_the_firmware_has_numbered_every_bus() -> None:
    """QEMU 7.2's answers while SeaBIOS is at it: the second card is behind both ports for a moment."""
    moments = [["", ""], ["net0", ""], ["net1", "net1"], ["", ""], ["net0", ""], ["net0", "net1"]]
    cards = "".join(
        f"<interface><mac address='{n}'/><alias name='net{n}'/></interface>" for n in (0, 1)
    )
    live = etree.fromstring(f"<domain><devices>{cards}</devices></domain>")

    def ask(_: str) -> list[dict[str, Any]]:
        return [{"devices": [_port(slot, card) for slot, card in enumerate(moments.pop(0))]}]

    assert order(live, ask) == ["0", "1"]
    assert moments == []


def _port(slot: int, behind: str) -> dict[str, Any]:
    card = {"slot": 0, "function": 0, "qdev_id": behind}
    return {
        **{"slot": slot, "function": 0, "qdev_id": f"port{slot}"},
        "pci_bridge": {"devices": [card] if behind else []},
    }


def _report(case: Case) -> str:
    return "\n".join(case.changes)


@each(case for case in CONVERTED if lacks(case.xml))
def test_what_cannot_start_here_is_accepted_at_least(daemon: Daemon, case: Case) -> None:
    """Devices of the host's are kept; that they are absent shows only at the start."""
    assert case.out is not None

    assert daemon.refusal(startable(case.out)) == ""


@pytest.mark.parametrize("case", [c for c in _SWITCHES if c.name not in TRAPS], ids=ident)
def test_what_is_refused_would_fail_on_the_other_board(daemon: Daemon, case: Case) -> None:
    """It isn't valid at all; or converted in spite of it, libvirt refuses it or its start."""
    assert _reason(daemon, case) != ""


@each(case for case in _SWITCHES if case.name in TRAPS)
def test_what_libvirt_would_take_without_a_word_is_refused(daemon: Daemon, case: Case) -> None:
    """The guest wouldn't be the same."""
    assert _reason(daemon, case) == ""


def _reason(daemon: Daemon, case: Case) -> str:
    return daemon.refusal(case.xml) or daemon.refusal(startable(_in_spite(case)), start=True)


def _in_spite(case: Case) -> bytes:
    """Convert a domain without the checks."""
    tree = safexml.parse(case.xml)
    domain = tree.getroot()
    family = change_of_family(domain, case.target)
    assert family is not None
    nova = nova_instance(domain) is not None
    conversion = Conversion(*family, nova=nova, libvirt=case.target.libvirt)
    os_type = domain.find("os/type")
    assert os_type is not None
    os_type.set("machine", case.target.machine)
    for change in convert.PASSES:
        with contextlib.suppress(ConversionError):  # one that refuses has done its work by then
            change(domain, conversion)
    return safexml.serialize(tree)
