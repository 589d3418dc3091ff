# SPDX-License-Identifier: Apache-2.0
"""What mthook needs to know about a domain, read from its XML in one pass, hostile or not.

Part of the hook's fast path: expat alone. Only what libvirt itself reads counts (``domain/name``,
never ``domain/metadata/x/name``); what libvirt would silently resolve to one of two (a second
``<uuid>``) is an error.
"""

from __future__ import annotations

import pyexpat

from mthook.errors import DomainXMLError, MachineTypeError
from mthook.machinetype import MachineType, of_arguments
from mthook.text import is_time, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: The largest domain that is read, in bytes. libvirt's RPC carries strings of up to 4 MiB.
MAX_BYTES = 16 * 1024 * 1024
#: How deep elements may be nested; libxml2 stops at 256.
MAX_DEPTH = 100
#: Namespace of the element in which a pin travels with its guest.
PIN_NAMESPACE = "urn:mthook:pin:1"
#: Namespaces in which Nova describes its instances.
NOVA_NAMESPACES = (
    "http://openstack.org/xmlns/libvirt/nova/1.0",
    "http://openstack.org/xmlns/libvirt/nova/1.1",
)

# Stands between namespace and name; '}' isn't allowed in a URI, so that no namespace can forge a
# path.
_SEPARATOR = "}"
_OSINFO = "domain/metadata/http://libosinfo.org/xmlns/libvirt/domain/1.0}libosinfo"
_HYPERV = "domain/features/hyperv"
_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_ARGUMENTS = f"domain/{_QEMU}{_SEPARATOR}commandline"
_PIN = f"domain/metadata/{PIN_NAMESPACE}{_SEPARATOR}pin"
_ONCE = frozenset(("domain/name", "domain/uuid", "domain/metadata", "domain/os", "domain/os/type"))
_TEXTS = {"domain/name", "domain/uuid", "domain/devices/emulator"}
#: Where Nova has its own name for the guest, and how much of it counts (``instances.display_name``).
_DISPLAY: list[str] = []
_MAX_DISPLAY = 255
_HEX = frozenset("0123456789abcdef")
#: What Nova calls the machine type among the properties, and what says that it is Windows (nova/objects/image_meta.py).
_RECORDED, _OPERATING_SYSTEM = "hw_machine_type", ("os_type", "os_distro")
#: The largest prime by which Python divides in one go.
_PRIME = 2**30 - 35


class Summary:
    """One domain.

    :ivar name: the guest's name, untrusted text; '' when absent.
    :ivar uuid: in libvirt's lower-case form, None when absent.
    :ivar virt_type: ``kvm``, ``qemu`` ...; '' when absent.
    :ivar arch: ``x86_64`` ...; '' when absent.
    :ivar machine: the machine type that the guest gets: that of ``<qemu:commandline>``, where QEMU is told one, else
        the definition's; None when libvirt is left to choose.
    :ivar by_argument: whether ``machine`` is that of ``<qemu:commandline>``.
    :ivar emulator: path of the QEMU binary, or None.
    :ivar nova: whether Nova made this domain.
    :ivar display: its name in Nova, untrusted text; '' when absent.
    :ivar root_image: UUID of the image Nova made the root disk from, or None.
    :ivar recorded: the machine type that Nova has recorded for the instance, as Nova 32 and newer tell; or None.
    :ivar travelled: machine type, and since when it holds, of the pin the guest carries for itself;
        or None.
    :ivar windows: whether the guest looks like Windows.
    """

    __slots__ = (
        "by_argument",
        "arch",
        "display",
        "emulator",
        "machine",
        "name",
        "nova",
        "recorded",
        "root_image",
        "travelled",
        "uuid",
        "virt_type",
        "windows",
    )

    def __init__(self) -> None:
        self.name = ""
        self.uuid: str | None = None
        self.virt_type = ""
        self.arch = ""
        self.machine: str | None = None
        self.by_argument = False
        self.emulator: str | None = None
        self.nova = False
        self.display = ""
        self.root_image: str | None = None
        self.recorded: str | None = None
        self.travelled: tuple[str, str] | None = None
        self.windows = False


def read(xml: bytes) -> Summary:
    """Read a domain.

    :raises DomainXMLError: if the XML is empty, not UTF-8, malformed, larger than ``MAX_BYTES`` or
        nested deeper than ``MAX_DEPTH``; has a DOCTYPE; isn't a ``<domain>``; has one of its
        elements twice; or if its UUID or machine type can't be one.
    """
    _check_bytes(xml)
    reader = _Reader()
    try:
        reader.parser.Parse(xml, True)
    except pyexpat.ExpatError as error:
        raise DomainXMLError(f"not well-formed XML: {error}") from error
    return reader.finish()


def checksum(xml: bytes) -> int:
    """Return a number by which a definition is recognized; it gives no secret away.

    The first tag is left out: libvirt numbers each start of a guest there.
    """
    # Importing a module that computes one would take longer.
    return int.from_bytes(xml.partition(b">")[2], "big") % _PRIME


def canonical_uuid(text: str) -> str:
    """Return a UUID as libvirt prints it, from any form that libvirt reads (``virUUIDParse``).

    :raises DomainXMLError: if it isn't one.
    """
    digits = text.strip(" \t\r\n").replace("-", "").lower()
    if len(digits) != 32 or not _HEX.issuperset(digits):
        raise DomainXMLError(f"uuid '{printable(text, 80)}' isn't a UUID")
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _check_bytes(xml: bytes) -> None:
    if not xml.strip():
        raise DomainXMLError("the domain XML is empty")
    if len(xml) > MAX_BYTES:
        raise DomainXMLError(f"the domain XML is larger than {MAX_BYTES} bytes")
    try:
        xml.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DomainXMLError(f"the domain XML isn't UTF-8 at byte {error.start}") from error
    if b"\0" in xml:
        raise DomainXMLError("the domain XML holds NUL bytes")


class _Reader:
    """Collects a Summary from expat's events."""

    def __init__(self) -> None:
        self.summary = Summary()
        self.path = ""
        self.parents: list[str] = []
        #: How deep inside an element from which nothing is read; 0: not in one.
        self.elsewhere = 0
        self.once: set[str] = set()
        self.texts: dict[str, list[str]] = {}
        self.pins: list[Mapping[str, str]] = []
        self.properties: dict[str, list[str]] = {}
        self.arguments: list[str] = []
        self.parser = pyexpat.ParserCreate("utf-8", _SEPARATOR)
        self.parser.buffer_text = True
        self.parser.XmlDeclHandler = self.declaration
        self.parser.StartDoctypeDeclHandler = self.doctype
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end

    def declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8"):
            raise DomainXMLError(
                f"the domain XML claims to be {printable(encoding, 40)}, not UTF-8"
            )

    def doctype(self, name: str, *rest: object) -> None:
        # Every entity, internal or external, wants a DOCTYPE; no domain has one.
        raise DomainXMLError("the domain XML has a DOCTYPE")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self.elsewhere:
            self.elsewhere += 1
            if len(self.parents) + self.elsewhere > MAX_DEPTH:
                raise DomainXMLError(f"the domain XML is nested deeper than {MAX_DEPTH} elements")
            return
        parent = self.path
        path = f"{parent}/{tag}" if parent else tag
        if not parent and tag != "domain":
            raise DomainXMLError(f"the XML is a <{printable(tag, 40)}>, not a <domain>")
        if path not in _PATHS:
            # Long names, deeply nested, would make paths that take hours to put together.
            self.elsewhere = 1
            if parent == _HYPERV and attributes.get("state") == "on":
                self.summary.windows = True
            return
        self.parents.append(parent)
        self.path = path
        if path in _ONCE:
            self.count(path)
        if path in _TEXTS:
            self.listen(path)
        elif path in _TAKE:
            _TAKE[path](self, attributes)

    def end(self, tag: str) -> None:
        if self.elsewhere:
            self.elsewhere -= 1
            return
        if self.path in _HEARD:
            self.parser.CharacterDataHandler = None
        self.path = self.parents.pop()

    def count(self, path: str) -> None:
        if path in self.once:
            raise DomainXMLError(f"the domain XML has a second <{path.rpartition('/')[2]}>")
        self.once.add(path)

    def listen(self, path: str) -> None:
        """Collect an element's text and that of elements within, as XPath's ``string()`` does."""
        if path in self.texts:
            return  # a second <emulator>: libvirt takes the first
        self.texts[path] = []
        self.parser.CharacterDataHandler = self.texts[path].append

    def take_domain(self, attributes: Mapping[str, str]) -> None:
        self.summary.virt_type = attributes.get("type", "")

    def take_type(self, attributes: Mapping[str, str]) -> None:
        self.summary.arch = attributes.get("arch", "")
        # To libvirt an empty name is as good as none.
        machine = attributes.get("machine", "")
        if machine:
            self.summary.machine = _machine(machine)

    def take_pin(self, attributes: Mapping[str, str]) -> None:
        self.pins.append(attributes)

    def take_argument(self, attributes: Mapping[str, str]) -> None:
        self.arguments.append(attributes.get("value", ""))

    def take_nova(self, attributes: Mapping[str, str]) -> None:
        self.summary.nova = True

    def take_root(self, attributes: Mapping[str, str]) -> None:
        if attributes.get("type") == "image" and "uuid" in attributes:
            self.summary.root_image = attributes["uuid"]

    def take_property(self, attributes: Mapping[str, str]) -> None:
        name = attributes.get("name", "")
        if name == _RECORDED or name in _OPERATING_SYSTEM:
            self.properties[name] = []
            self.parser.CharacterDataHandler = self.properties[name].append

    def take_os(self, attributes: Mapping[str, str]) -> None:
        if "microsoft.com" in attributes.get("id", ""):
            self.summary.windows = True

    def finish(self) -> Summary:
        summary = self.summary
        texts = {path: "".join(pieces) for path, pieces in self.texts.items()}
        summary.name = texts.get("domain/name", "")
        summary.emulator = texts.get("domain/devices/emulator") or None
        for path in _DISPLAY:
            summary.display = summary.display or texts.get(path, "").strip()[:_MAX_DISPLAY]
        for name, pieces in self.properties.items():
            value = "".join(pieces)
            if name == _RECORDED:
                summary.recorded = _recorded(value)
            elif value.lower() == "windows":
                summary.windows = True
        uuid = texts.get("domain/uuid")
        if uuid:
            summary.uuid = canonical_uuid(uuid)
        if self.arguments:
            named = of_arguments(self.arguments)
            summary.machine, summary.by_argument = named or summary.machine, named is not None
        if self.pins:
            # Of two elements in one namespace libvirt keeps the first.
            summary.travelled = _travelled(self.pins[0], summary.uuid)
        return summary


def _machine(name: str) -> str:
    try:
        return MachineType.parse(name).name
    except MachineTypeError as error:
        raise DomainXMLError(f"os/type: {error}") from error


def _recorded(name: str) -> str | None:
    """Read what Nova has recorded; what isn't a machine type's name counts as nothing."""
    try:
        return MachineType.parse(name).name
    except MachineTypeError:
        return None


def _travelled(pin: Mapping[str, str], uuid: str | None) -> tuple[str, str] | None:
    """Read the pin a guest carries; one that a clone inherited, or that can't be read, is ignored."""
    machine = pin.get("machine", "")
    try:
        if uuid is None or canonical_uuid(pin.get("instance", "")) != uuid:
            return None
        MachineType.parse(machine)
    except (DomainXMLError, MachineTypeError):
        return None
    since = pin.get("since", "")
    # What isn't a time sorts before all times: such a pin is older than anything the catalog knows.
    return machine, since if is_time(since) else ""


_TAKE = {
    "domain": _Reader.take_domain,
    "domain/os/type": _Reader.take_type,
    _PIN: _Reader.take_pin,
    f"{_ARGUMENTS}/{_QEMU}{_SEPARATOR}arg": _Reader.take_argument,
    f"{_OSINFO}/http://libosinfo.org/xmlns/libvirt/domain/1.0}}os": _Reader.take_os,
}
#: Where a property of the instance's image is.
_PROPERTIES: set[str] = set()
#: Elements in which there are others that count.
_WAY = {_OSINFO, _HYPERV, _ARGUMENTS, "domain/devices", "domain/features"}
for _uri in NOVA_NAMESPACES:
    _instance = f"domain/metadata/{_uri}{_SEPARATOR}instance"
    _TAKE[_instance] = _Reader.take_nova
    _name = f"{_instance}/{_uri}{_SEPARATOR}name"
    _DISPLAY.append(_name)
    _TEXTS.add(_name)
    _TAKE[f"{_instance}/{_uri}{_SEPARATOR}root"] = _Reader.take_root
    _image = f"{_instance}/{_uri}{_SEPARATOR}image"
    _all = f"{_image}/{_uri}{_SEPARATOR}properties"
    _PROPERTIES.add(f"{_all}/{_uri}{_SEPARATOR}property")
    _WAY.update((_image, _all))
_TAKE.update(dict.fromkeys(_PROPERTIES, _Reader.take_property))
_PATHS = frozenset((*_ONCE, *_TEXTS, *_TAKE, *_WAY))
#: Elements whose text may be listened to.
_HEARD = frozenset((*_TEXTS, *_PROPERTIES))
