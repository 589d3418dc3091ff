# SPDX-License-Identifier: Apache-2.0
"""Compare what forecast and rehearsal say with what real QEMUs do, for every machine type and every domain."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import libvirt
from lxml import etree

from mthook.errors import DomainXMLError
from mthook.machinetype import MachineType
from mthook.operations.forecast import offering, outlook
from mthook.operations.forecast.guests import Guest
from mthook.operations.forecast.prospects import Offered, Prospect, Qemu, Released
from tests.corpus import CASES
from tests.lab import VIRT_TYPE, Host, guest_xml
from tests.lab.requirements import EMULATOR
from tests.libvirt.conversion import Daemon, lacks, startable
from tests.matrix.roots import SUITES, emulator

OFFERS = Path(__file__).parents[1] / "fixtures" / "offers"
UUID = "3f2c1d3e-0000-4000-8000-000000000001"
#: Which no libvirt starts with the domain of a test: Xen's, another process's, and one without PCI.
_OTHER_BOARDS = ("xenfv", "xenpv", "x-remote", "isapc", "microvm", "nitro")


def compare(directory: Path) -> int:
    """Print how forecasts and rehearsals come out; return how many were wrong."""
    binaries, offers = _found(directory)
    with Host("matrix") as node:
        return _compare(node, binaries, offers)


def record(directory: Path) -> int:
    """Write the fixtures; return the exit code."""
    for suite, found in _found(directory)[1].items():
        (OFFERS / f"{suite}.json").write_text(offering.to_text(found) + "\n")
    return 0


def _found(directory: Path) -> tuple[dict[str, Path], dict[str, offering.Offering]]:
    binaries = {suite: emulator(suite, directory) for suite in SUITES}
    return binaries, {suite: _offer(suite, path) for suite, path in binaries.items()}


def _offer(suite: str, binary: Path) -> offering.Offering:
    """Return an offer that says nothing of where the binary was."""
    found = offering.of_binary(str(binary))
    rows = tuple(dataclasses.replace(one, emulator=suite) for one in found.capabilities)
    return dataclasses.replace(found, name=SUITES[suite], capabilities=rows)


def _compare(node: Host, binaries: dict[str, Path], offers: dict[str, offering.Offering]) -> int:
    daemon = Daemon(node)
    wrong = 0
    with contextlib.closing(daemon):
        machines = sorted({one.machine for found in offers.values() for one in found.capabilities})
        machines = [name for name in machines if not name.startswith(_OTHER_BOARDS)]
        for suite, binary in binaries.items():
            started = {name: _starts(node, _small(name), binary) for name in machines}
            for what, qemu in _prospects(offers[suite]):
                wrong += _told("forecast", what, started, [*_wrong_forecasts(started, qemu)])
        domains = [*_domains(node)]
        node.path("/etc/mthook/mthook.conf").write_text("[hook]\nmode = audit\n")
        for _, xml in domains:
            node.define(xml.decode())
        # What is defined is what counts: libvirt has put versioned names in place of aliases.
        domains = [(name, _defined(node, name)) for name, _ in domains]
        node.mthook("mthook-sync", check=False)
        for suite, binary in binaries.items():
            started = {name: _starts(node, xml, binary) for name, xml in domains}
            missed = [*_missed(node, started, binary)]
            wrong += _told("rehearsal", f"of {SUITES[suite]}'s QEMU", started, missed)
    return wrong


def _told(what: str, of: str, started: Mapping[str, str], wrong: Sequence[str]) -> int:
    fail = sum(error != "" for error in started.values())
    print(f"{what} {of}: {len(started)} tried, {fail} fail, {len(wrong)} wrong", flush=True)
    for line in wrong:
        print(f"  {line}", flush=True)
    return len(wrong)


def _prospects(found: offering.Offering) -> Iterator[tuple[str, Qemu]]:
    offered = Offered(found)
    yield f"by the offer of {found.name}", offered
    assert offered.release is not None
    yield f"by the rule, {found.qemu_version}", Released(offered.release)


def _small(machine: str) -> bytes:
    # Without ACPI libvirt 9.0 uses an option that QEMU 9.0 has no more: a rehearsal finds that, no forecast.
    domain = etree.fromstring(guest_xml("small", UUID, machine))
    features = domain.find("features")
    if features is None:
        features = etree.SubElement(domain, "features")
    if features.find("acpi") is None:
        etree.SubElement(features, "acpi")
    return etree.tostring(domain)


def _starts(node: Host, xml: bytes, binary: Path) -> str:
    """Start a domain under a binary, paused; return why it doesn't."""
    domain = etree.fromstring(xml)
    devices = domain.find("devices")
    assert devices is not None
    for found in devices.findall("emulator"):
        devices.remove(found)
    etree.SubElement(devices, "emulator").text = str(binary)
    connection = libvirt.open(node.uri)
    try:
        started = connection.createXML(
            etree.tostring(domain).decode(), libvirt.VIR_DOMAIN_START_PAUSED
        )
        started.destroy()
    except libvirt.libvirtError as error:
        return str(error)
    finally:
        connection.close()
    return ""


def _wrong_forecasts(started: dict[str, str], qemu: Qemu) -> Iterator[str]:
    for machine, error in started.items():
        guest = Guest(
            UUID,
            machine,
            "shut off",
            "x86_64",
            VIRT_TYPE,
            defined=machine,
            seen=_versioned(machine),
        )
        (told,) = outlook.forecast([guest], Prospect(qemu, qemu))
        if (told.outcome == outlook.FAILS) != (error != ""):
            yield f"{machine}: forecast {told.outcome}, start: {error or 'works'}"


def _versioned(machine: str) -> str | None:
    return machine if MachineType.parse(machine).is_versioned else None


def _domains(node: Host) -> Iterator[tuple[str, bytes]]:
    """Yield the domains of the corpus that start under the QEMU that is installed, each with a name of its own."""
    for number, case in enumerate(CASES):
        try:
            if not lacks(case.xml):
                xml = _renamed(startable(case.xml), case.name, number)
                if not _starts(node, xml, Path(EMULATOR)):
                    yield case.name, xml
        except (DomainXMLError, AttributeError, AssertionError):  # what no host could have
            continue


def _defined(node: Host, name: str) -> bytes:
    return node.virsh("dumpxml", "--inactive", "--security-info", "--domain", name).stdout.encode()


def _renamed(xml: bytes, name: str, number: int) -> bytes:
    domain = etree.fromstring(xml)
    for tag, text in (("name", name), ("uuid", f"{UUID[:-4]}{number:04x}")):
        found = domain.find(tag)
        assert found is not None
        found.text = text
    system = domain.find("sysinfo/system/entry[@name='uuid']")
    if system is not None:
        system.text = f"{UUID[:-4]}{number:04x}"
    return etree.tostring(domain)


def _missed(node: Host, started: Mapping[str, str], binary: Path) -> Iterator[str]:
    """Yield where the command doesn't say what a start does.

    :param started: why each domain doesn't start, '' for one that does.
    """
    argv = ("forecast", "--qemu-binary", str(binary), "--rehearse", "-f", "json")
    command = [Path(sys.executable).with_name("mthook-admin"), *argv]
    out, err = node.popen(command).communicate(timeout=3600)
    told = {one["name"]: one for one in json.loads(out or "[]")}
    assert len(told) == len(started), err
    for name, real in started.items():
        errors = [trial["error"] for trial in told[name]["rehearsed"]]
        if (real == "") != (errors == [None]):
            yield f"{name}: rehearsal: {errors}; start: {real or 'works'}"
