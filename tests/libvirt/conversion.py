# SPDX-License-Identifier: Apache-2.0
"""Domains of the corpus on a real libvirtd: what has to be changed for them to start here."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Optional

import libvirt
import libvirt_qemu
import pytest
from lxml import etree

from tests.corpus import Case
from tests.lab import OFFER, PC, Q35, VIRT_TYPE, Host
from tests.lab.requirements import EMULATOR, PATH

#: The version of this machine's.
LIBVIRT = (
    libvirt.getVersion() // 1_000_000,
    libvirt.getVersion() // 1000 % 1000,
    libvirt.getVersion() % 1000,
)
IMAGES = "/var/lib/libvirt/images"
_CPU = "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>"
#: Elements that only narrow down where on a host a guest runs.
_PLACEMENT = ("memoryBacking", "numatune", "cputune", "memtune", "blkiotune", "resource")
#: What is left of an interface on any kind of network.
_GUEST_SIDE = ("mac", "model", "address", "alias", "boot", "acpi")
#: How long a guest's firmware may take to number the buses behind bridges.
_SECONDS = 30
_HYPERV = ("relaxed", "spinlocks")
_Ask = Callable[..., Any]
_MACHINE = re.compile(rb"\b(pc-(?:i440fx|q35)-[0-9.]+)\b")
#: What becomes of the guest's sound on its host; libvirt 7.0 doesn't know the element.
AUDIO = re.compile(rb"<audio\b(?:[^>]*/>|.*?</audio>)", re.DOTALL)


_SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")


def each(
    cases: Iterable[Case],
    *,
    started: bool = True,
    recorded: bool = True,
    more: Mapping[str, pytest.MarkDecorator] = MappingProxyType({}),
) -> pytest.MarkDecorator:
    """Have a test be about each of some cases, but for those with something that this machine lacks.

    :param started: whether the test starts them.
    :param recorded: whether it is about the recorded result, and not one that is made for this libvirt.
    :param more: what single ones need for this test.
    """
    found = [
        pytest.param(
            case,
            marks=[
                *_needed(case, started, recorded),
                *([more[case.name]] if case.name in more else []),
            ],
            id=case.name,
        )
        for case in cases
    ]
    return pytest.mark.parametrize("case", found)


def _needed(case: Case, started: bool, recorded: bool) -> Iterator[pytest.MarkDecorator]:
    out = case.out if recorded else None
    known = all(is_known(xml) for xml in (case.xml, out) if xml is not None)
    yield pytest.mark.needs(known, "a libvirt that knows the domain")
    if started and b"<tpm" in case.xml:
        yield pytest.mark.needs(shutil.which("swtpm", path=PATH) is not None, "swtpm")
    if started and (b"spice" in case.xml or b"qxl" in case.xml):
        yield pytest.mark.needs('"qxl"' in _devices(), "a QEMU with Spice")


def is_known(xml: bytes) -> bool:
    """Whether this libvirt knows all that is in a domain, as Debian 12's does, which the corpus was made with."""
    return LIBVIRT >= (9,) or _schema().validate(etree.fromstring(fitted(xml)))


@functools.lru_cache(None)
def _schema() -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(str(_SCHEMA)))


@functools.lru_cache(None)
def _devices() -> str:
    argv = [EMULATOR, "-device", "help"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


class Daemon:
    """A lab's libvirtd, asked without a process for each call."""

    def __init__(self, node: Host) -> None:
        libvirt.registerErrorHandler(lambda *_: None, None)
        self._connection = libvirt.open(node.uri)
        names = " ".join(f"{bus}{letter}" for bus in ("hd", "sd", "vd") for letter in "abcdefg")
        script = f"mkdir -p {IMAGES} /var/lib/libvirt/qemu/nvram; cd {IMAGES}; truncate -s 128M nv;"
        node.run(["sh", "-c", f"{script} for n in {names}; do truncate -s 8M $n.img; done"])

    def close(self) -> None:
        """Let go of the daemon."""
        self._connection.close()

    def refusal(self, xml: bytes, *, start: bool = False) -> str:
        """Define a domain, with schema validation, and start it; return libvirt's error, or ''."""
        with contextlib.closing(_Defined(self._connection)) as defined:
            try:
                defined.define(xml)
                if start:
                    defined.domain.create()
            except libvirt.libvirtError as error:
                return str(error)
        return ""

    def serials(self, xml: bytes) -> dict[str, Optional[str]]:
        """Start a domain and return its QEMU's serials of drives, see :func:`_serials`."""
        with self._started(xml) as live:
            return _serials(*live)

    def identities(self, xml: bytes) -> tuple[dict[str, Optional[str]], list[str]]:
        """Start a domain and return what :func:`_serials` and :func:`order` return of it."""
        with self._started(xml) as live:
            return _serials(*live), order(*live)

    @contextlib.contextmanager
    def _started(self, xml: bytes) -> Iterator[tuple[etree._Element, _Ask]]:
        with self.defined(xml) as domain:
            domain.create()
            yield etree.fromstring(domain.XMLDesc()), functools.partial(_ask, domain)

    @contextlib.contextmanager
    def defined(self, xml: bytes) -> Iterator[libvirt.virDomain]:
        """A domain, defined as long as the block lasts."""
        with contextlib.closing(_Defined(self._connection)) as defined:
            defined.define(xml)
            yield defined.domain


def _ask(domain: libvirt.virDomain, command: str, **arguments: str) -> Any:
    request = json.dumps({"execute": command, "arguments": arguments})
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, request, 0))
    return answer.get("return")  # None: a floppy has no serial


def _serials(live: etree._Element, ask: _Ask) -> dict[str, Optional[str]]:
    """Return serials by the drives' names in the definition; what QEMU makes up included."""
    return {
        name: ask("qom-get", path=f"/machine/peripheral/{alias}", property="serial")
        for alias, name in _named(live, "disk", "target", "dev").items()
    }


def order(live: etree._Element, ask: _Ask) -> list[str]:
    """Return MAC addresses and names of virtio disks as a kernel finds them, once the firmware has been there.

    SeaBIOS first gives every bridge the bus number 255, one after the other: QEMU then shows what is behind one of
    them behind each.
    """
    names = {
        **_named(live, "interface", "mac", "address"),
        **_named(live, "disk[target/@bus='virtio']", "target", "dev"),
    }
    found: list[str] = []
    deadline = time.monotonic() + _SECONDS
    while sorted(found) != sorted(names):
        assert time.monotonic() < deadline, f"the firmware has found {found} of {names}"
        time.sleep(0.05)  # the firmware needs the processor more than these questions do
        devices = _on_pci(bus["devices"] for bus in ask("query-pci"))
        found = [alias for alias in devices if alias in names]
    return [names[alias] for alias in found]


def _named(live: etree._Element, device: str, child: str, attribute: str) -> dict[str, str]:
    found = live.xpath(f"devices/{device}")
    return {one.find("alias").get("name"): one.find(child).get(attribute) for one in found}


def _on_pci(buses: Iterable[list[dict[str, Any]]]) -> Iterator[str]:
    """Yield the names of devices as a kernel finds them: all on a bus, then what is behind its bridges."""
    for bus in buses:
        devices = sorted(bus, key=lambda one: (one["slot"], one["function"]))
        yield from (device["qdev_id"] for device in devices)
        yield from _on_pci(device.get("pci_bridge", {}).get("devices", []) for device in devices)


def fitted(xml: bytes) -> bytes:
    """Return a domain with a version of its board that this QEMU has, and as an old libvirt takes it."""
    fitted = _MACHINE.sub(_offered, xml)
    return AUDIO.sub(b"", fitted) if LIBVIRT < (9,) else fitted


def _offered(found: re.Match[bytes]) -> bytes:
    if OFFER.has(found[1].decode()):
        return found[1]
    return (PC if found[1].startswith(b"pc-i440fx") else Q35).encode()


class _Defined:
    def __init__(self, connection: libvirt.virConnect) -> None:
        self._connection = connection
        self.domain: libvirt.virDomain | None = None

    def define(self, xml: bytes) -> None:
        flags = libvirt.VIR_DOMAIN_DEFINE_VALIDATE
        self.domain = self._connection.defineXMLFlags(fitted(xml).decode(), flags)

    def close(self) -> None:
        if self.domain is None:
            return
        if self.domain.isActive():
            self.domain.destroy()
        self.domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)


def lacks(xml: bytes) -> bool:
    """Whether a domain has a device of the host's that no test machine has."""
    domain = etree.fromstring(xml)
    absent = ("devices/hostdev", "devices/filesystem/driver[@type='virtiofs']", "launchSecurity")
    found = any(domain.find(path) is not None for path in absent)
    interfaces = domain.findall("devices/interface")
    models = domain.findall("devices/interface/model")
    return (
        found
        or any(interface.get("type") == "hostdev" for interface in interfaces)
        or any(model.get("type") == "igb" for model in models)  # QEMU 8.0 is the first with it
    )


def startable(xml: bytes) -> bytes:
    """Return a domain with the test machine's disks, networks and CPU; its board is as it was."""
    domain = etree.fromstring(xml, etree.XMLParser(remove_blank_text=True))
    domain.set("type", "qemu" if _may_need_smm(domain) else VIRT_TYPE)
    for path in _PLACEMENT:
        for found in domain.findall(path):
            domain.remove(found)
    _fit_processor(domain)
    _fit_os(domain)
    for disk in domain.iterfind("devices/disk"):
        _fit_disk(disk)
    for interface in domain.iterfind("devices/interface"):
        _fit_interface(interface)
    for log in list(domain.iterfind("devices/*/log")):
        _remove(log)
    for encryption in list(domain.iterfind("devices/tpm/backend/encryption")):
        _remove(encryption)
    for graphics in domain.iterfind("devices/graphics"):
        _fit_graphics(graphics)
    return etree.tostring(domain)


def _may_need_smm(domain: etree._Element) -> bool:
    """Whether a domain has what not every KVM can give; a firmware that libvirt chooses may need it."""
    if domain.find("os[@firmware='efi']") is not None and domain.find("os/firmware") is None:
        return True
    features = domain.iterfind("os/firmware/feature[@enabled='yes']")
    return domain.find("features/smm") is not None or any(True for _ in features)


def _fit_processor(domain: etree._Element) -> None:
    cpu = etree.fromstring(_CPU)
    vcpu = domain.find("vcpu")
    if vcpu is not None and vcpu.get("cpuset"):
        del vcpu.attrib["cpuset"]
    present = domain.find("cpu")
    if present is not None:
        cpu.extend(present.findall("topology") + present.findall("numa"))
        for cell in cpu.iterfind("numa/cell"):
            cell.attrib.pop("memAccess", None)
        domain.remove(present)
    domain.append(cpu)
    for feature in list(domain.iterfind("features/hyperv/*")):
        if feature.tag not in _HYPERV:
            _remove(feature)
    for path in ("features/kvm", "features/pmu", "clock/timer[@name='hypervclock']"):
        for found in list(domain.iterfind(path)):
            _remove(found)


def _fit_os(domain: etree._Element) -> None:
    """Leave out what Nova writes for newer libvirts: 9.0 has no ``secure`` where it chooses."""
    os_element = domain.find("os")
    loader = domain.find("os/loader")
    if os_element is not None and os_element.get("firmware") and loader is not None:
        _remove(loader)


def _fit_disk(disk: etree._Element) -> None:
    target, source, driver = disk.find("target"), disk.find("source"), disk.find("driver")
    assert target is not None
    if source is not None and disk.get("device") != "floppy":
        disk.set("type", "file")
        replaced = etree.Element("source", file=f"{IMAGES}/{target.get('dev')}.img")
        disk.replace(source, replaced)
    if driver is not None:
        driver.set("type", "raw")
        for name in ("cache", "io", "discard"):
            driver.attrib.pop(name, None)
    for tag in ("auth", "iotune", "encryption", "backingStore"):
        for found in disk.findall(tag):
            disk.remove(found)


def _fit_graphics(graphics: etree._Element) -> None:
    """Have no port: other labs look for free ones on the same machine."""
    for name in ("port", "autoport", "listen", "tlsPort"):
        graphics.attrib.pop(name, None)
    for listen in graphics.findall("listen"):
        graphics.remove(listen)
    etree.SubElement(graphics, "listen", type="socket")


def _fit_interface(interface: etree._Element) -> None:
    if interface.get("type") == "hostdev":
        return
    interface.set("type", "user")
    for child in list(interface):
        if child.tag not in _GUEST_SIDE and not (child.tag == "driver" and child.get("iommu")):
            interface.remove(child)


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    assert parent is not None
    parent.remove(element)
