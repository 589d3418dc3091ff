# SPDX-License-Identifier: Apache-2.0
"""A domain as it can be started beside the guest itself: its board and devices, with nothing of the host behind them.

Whatever QEMU gives a guest stays, because another QEMU may lack it. What a device leads to on the host is
replaced: a disk has an empty file, a network card a tap device, a serial port nothing. What can't be replaced, or would
cost what the host may not have twice, is left out and named. Only what is known here is kept: a device of a newer
libvirt might lead anywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lxml import etree

from mthook.xmlrewrite import safexml
from mthook.xmlrewrite.definition import Definition

#: Where the empty files are.
DIRECTORY = "/run/mthook-rehearsal"
#: A short name: libvirt makes sockets of it, whose paths may have 107 characters.
NAME = "rehearsal"
#: What the file for a firmware's variables has to be called; :func:`nvram_size` says how large.
NVRAM = f"{DIRECTORY}/nvram"
#: ARM's flash has this size whatever is in it (hw/arm/virt.c); on x86 OVMF's usual one does.
_NVRAM_SIZES = {"aarch64": 64 << 20, "armv7l": 64 << 20}
_NVRAM_SIZE = 528 << 10

#: Children of ``<domain>`` that make up the machine; others say where it runs, or for whom.
_MACHINE = (
    *(
        "memory",
        "currentMemory",
        "maxMemory",
        "memoryBacking",
        "vcpu",
        "vcpus",
        "cpu",
        "os",
        "features",
    ),
    *("iothreads", "iothreadids", "clock", "pm", "genid", "devices", "keywrap", "throttlegroups"),
    *("on_poweroff", "on_reboot", "on_crash", "name", "uuid"),
)
#: Those whose loss is worth a word.
_NAMED = ("launchSecurity",)
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
#: QEMU's options that lead nowhere; with a path in their value they may all the same.
_ARGUMENTS = ("-global", "-machine", "-M", "-cpu", "-accel")
_OVERRIDES = (f"{_QEMU}override", f"{_QEMU}capabilities", f"{_QEMU}deprecation")
#: What identifies one guest among others that are otherwise the same.
_IDENTITY = ("uuid", "genid", "devices/interface/mac", "devices/disk/serial", "devices/disk/wwn")

#: Devices that lead nowhere.
_PLAIN = (
    *("controller", "hub", "memballoon", "watchdog", "panic", "iommu", "crypto", "nvram", "sound"),
    "emulator",
)
_OF_CARD = ("mac", "model", "driver", "address", "alias", "boot", "acpi", "rom", "mtu")
_OF_DISK = (
    *("target", "driver", "address", "alias", "boot", "readonly", "shareable", "iotune", "serial"),
    *("wwn", "vendor", "product", "geometry", "blockio", "source", "rotation_rate"),
)


@dataclass(frozen=True)
class Alone:
    """A domain to be started for a moment.

    :ivar xml: without secrets.
    :ivar left_out: what isn't in it, as messages call it.
    """

    xml: bytes
    left_out: tuple[str, ...]

    @property
    def key(self) -> str:
        """What is the same for guests that differ only in their identity."""
        domain = safexml.parse(self.xml).getroot()
        for path in _IDENTITY:
            for found in domain.findall(path):
                _drop(found)
        return hashlib.sha256(etree.tostring(domain, method="c14n")).hexdigest()


def alone(definition: Definition, emulator: str) -> Alone:
    """Return a domain that uses nothing of the host, for another emulator.

    :raises DomainXMLError: it can't be read.
    """
    domain = definition.copy().getroot()
    left_out = [*_fit_top(domain), *_fit_arguments(domain)]
    devices = domain.find("devices")
    if devices is not None:
        left_out += _fit_devices(devices, emulator)
    _fit_os(domain)
    _fit_memory(domain)
    return Alone(etree.tostring(domain), tuple(dict.fromkeys(left_out)))


def nvram_size(arch: str) -> int:
    """Return how large the file for a firmware's variables is, in bytes."""
    return _NVRAM_SIZES.get(arch, _NVRAM_SIZE)


def _fit_top(domain: etree._Element) -> Iterator[str]:
    for child in list(domain):
        if child.tag in _NAMED:
            yield str(child.tag)
        if child.tag not in (*_MACHINE, f"{_QEMU}commandline", *_OVERRIDES):
            domain.remove(child)
    name, vcpu = domain.find("name"), domain.find("vcpu")
    if name is not None:
        name.text = NAME
    _forget(domain, "id")
    for attribute in ("cpuset", "placement"):
        if vcpu is not None:
            _forget(vcpu, attribute)


def _fit_arguments(domain: etree._Element) -> Iterator[str]:
    """Keep those arguments for QEMU that are about the board."""
    for line in domain.findall(f"{_QEMU}commandline"):
        words = line.findall(f"{_QEMU}arg")
        keep = set()
        for option, value in zip(words, words[1:]):
            if option.get("value") in _ARGUMENTS and "/" not in value.get("value", ""):
                keep |= {option, value}
        for child in list(line):
            if child not in keep:
                shown = (child.get("value") or "").partition("=")[0].partition(",")[0]
                if child.tag == f"{_QEMU}arg" and shown.startswith("-"):
                    yield f"argument {shown}"
                elif child.tag == f"{_QEMU}env":
                    yield "environment of QEMU"
                line.remove(child)


def _fit_os(domain: etree._Element) -> None:
    """Boot nothing: without a kernel, and with an empty file for what the firmware remembers."""
    system = domain.find("os")
    if system is None:
        return
    for path in ("kernel", "initrd", "cmdline", "dtb", "shim", "acpi", "smbios", "varstore"):
        for found in system.findall(path):
            system.remove(found)
    for nvram in system.findall("nvram"):
        system.remove(nvram)
        if not system.get("firmware"):
            etree.SubElement(system, "nvram").text = NVRAM


def _fit_memory(domain: etree._Element) -> None:
    """Reserve none of the host's memory: nothing is written to it before a guest runs."""
    backing = domain.find("memoryBacking")
    for path in ("hugepages", "locked", "allocation"):
        found = backing.find(path) if backing is not None else None
        if found is not None:
            _drop(found)


def _fit_devices(devices: etree._Element, emulator: str) -> Iterator[str]:
    for device in list(devices):
        if not isinstance(device.tag, str):
            devices.remove(device)
            continue
        fit = _FIT.get(device.tag)
        if device.tag not in _PLAIN and (fit is None or not fit(device)):
            if device.tag not in _SILENT:
                yield _called(device)
            devices.remove(device)
    found = devices.find("emulator")
    if found is None:
        found = etree.SubElement(devices, "emulator")
    found.text = emulator


#: Rules for other devices, of no use without them.
_SILENT = ("lease", "redirfilter")


def _called(device: etree._Element) -> str:
    """Return how messages call a device: ``hostdev pci``, ``graphics sdl``."""
    kind = device.get("type") if device.tag != "filesystem" else None
    model = device.get("model") if device.tag in ("memory", "shmem") else None
    return " ".join(filter(None, (str(device.tag), kind, model)))


def _drop(element: etree._Element) -> None:
    parent = element.getparent()
    assert parent is not None
    parent.remove(element)


def _forget(element: etree._Element, attribute: str) -> None:
    if element.get(attribute) is not None:
        del element.attrib[attribute]


def _keep(element: etree._Element, tags: tuple[str, ...]) -> None:
    for child in list(element):
        if child.tag not in tags:
            element.remove(child)


def _fit_disk(disk: etree._Element) -> bool:
    target, source, driver = disk.find("target"), disk.find("source"), disk.find("driver")
    if target is None:
        return False
    _keep(disk, _OF_DISK)
    for attribute in ("sgio", "rawio", "snapshot"):
        _forget(disk, attribute)
    if disk.get("device") == "lun":  # a whole device of the host
        disk.set("device", "disk")
    disk.set("type", "file")
    if source is not None:
        disk.replace(source, etree.Element("source", file=f"{DIRECTORY}/{target.get('dev')}"))
    if driver is not None:
        _fit_driver(driver)
    return True


def _fit_driver(driver: etree._Element) -> None:
    """Take an empty raw file; not every file system has direct I/O, which ``native`` needs."""
    _keep(driver, ())
    driver.attrib.update({"name": "qemu", "type": "raw"})
    _forget(driver, "cache")
    _forget(driver, "copy_on_read")
    if driver.get("io") == "native":
        del driver.attrib["io"]


def _fit_interface(interface: etree._Element) -> bool:
    if interface.get("type") in ("hostdev", "vdpa"):
        return False
    interface.attrib.clear()
    interface.set("type", "ethernet")
    _keep(interface, _OF_CARD)
    driver = interface.find("driver")
    if driver is not None:
        _forget(driver, "name")  # vhost, which a host may lack
    return True


def _fit_character(device: etree._Element) -> bool:
    target = device.find("target")
    if target is not None and target.get("type") == "guestfwd":
        return False
    if device.get("type") != "spicevmc":
        device.set("type", "null")
    _keep(device, ("target", "address", "alias"))
    if target is not None:
        _forget(target, "state")
    return True


def _fit_graphics(graphics: etree._Element) -> bool:
    kind, keymap = graphics.get("type"), graphics.get("keymap")
    if kind not in ("vnc", "spice"):
        return False
    _keep(graphics, ())
    graphics.attrib.clear()
    graphics.attrib.update({"type": kind, **({"keymap": keymap} if keymap else {})})
    etree.SubElement(graphics, "listen", type="socket")
    return True


def _fit_video(video: etree._Element) -> bool:
    _keep(video, ("model", "address", "alias", "driver"))
    for model in video.iterfind("model"):
        for found in model.findall("acceleration"):
            model.remove(found)
    driver = video.find("driver")
    if driver is not None:
        _forget(driver, "name")
    return True


def _fit_audio(audio: etree._Element) -> bool:
    number = audio.get("id", "1")
    _keep(audio, ())
    audio.attrib.clear()
    audio.attrib.update({"id": number, "type": "none"})
    return True


def _fit_tpm(tpm: etree._Element) -> bool:
    backend = tpm.find("backend")
    if backend is None or backend.get("type") != "emulator":
        return False
    _keep(backend, ("active_pcr_banks", "profile"))
    _forget(backend, "persistent_state")
    return True


def _fit_rng(rng: etree._Element) -> bool:
    for backend in rng.findall("backend"):
        _keep(backend, ())
        backend.attrib.clear()
        backend.set("model", "random")
        backend.text = "/dev/urandom"
    return True


def _fit_memory_device(memory: etree._Element) -> bool:
    if memory.get("model") not in ("dimm", "virtio-mem"):
        return False
    for source in memory.findall("source"):
        memory.remove(source)
    return True


def _fit_input(device: etree._Element) -> bool:
    return device.get("type") in ("mouse", "tablet", "keyboard")


def _fit_filesystem(filesystem: etree._Element) -> bool:
    driver, source = filesystem.find("driver"), filesystem.find("source")
    if (driver is not None and driver.get("type") == "virtiofs") or source is None:
        return False
    filesystem.set("type", "mount")
    filesystem.replace(source, etree.Element("source", dir=DIRECTORY))
    return True


def _fit_shmem(shmem: etree._Element) -> bool:
    return shmem.find("server") is None


def _fit_redirdev(device: etree._Element) -> bool:
    return device.get("type") == "spicevmc"


_FIT: dict[str, Callable[[etree._Element], bool]] = {
    "disk": _fit_disk,
    "interface": _fit_interface,
    "serial": _fit_character,
    "parallel": _fit_character,
    "console": _fit_character,
    "channel": _fit_character,
    "graphics": _fit_graphics,
    "video": _fit_video,
    "audio": _fit_audio,
    "tpm": _fit_tpm,
    "rng": _fit_rng,
    "memory": _fit_memory_device,
    "input": _fit_input,
    "filesystem": _fit_filesystem,
    "shmem": _fit_shmem,
    "redirdev": _fit_redirdev,
}
