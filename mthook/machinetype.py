# SPDX-License-Identifier: Apache-2.0
"""Names of machine types: what they say about a guest's hardware, and which can be ordered.

Part of the hook's fast path: builtins only. QEMU and its vendors use these shapes (QEMU
``hw/i386/pc_piix.c`` and ``pc_q35.c``, the machine lists of RHEL, Ubuntu and Proxmox)::

    pc  q35  virt  ubuntu                          aliases: other hardware after an upgrade of QEMU
    pc-i440fx-7.2  pc-q35-4.0.1  pc-1.0            upstream releases
    pc-q35-rhel9.4.0  pseries-rhel7.6.0-sxxm       RHEL releases
    pc-i440fx-focal  pc-q35-jammy-hpb              Ubuntu code names
    pc-i440fx-9.2+pve1                             Proxmox revisions of an upstream release
    pc-i440fx-2.11+pve1.pxe                        the same with old boot ROMs of network cards
    rhel6.5.0                                      RHEL 6, an i440fx
"""

from __future__ import annotations

from mthook.errors import MachineTypeError
from mthook.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Optional

    Version = tuple[int, ...]
    Reading = tuple[str, str, Optional[Version], Optional[str], str]

#: Nova stores the name in a column of this many characters (``instance_system_metadata.value``).
MAX_LENGTH = 255

#: Aliases whose family is known without asking a host: name -> (family, vendor).
KNOWN_ALIASES = {
    "pc": ("i440fx", ""),
    "q35": ("q35", ""),
    "virt": ("virt", ""),
    "s390-ccw-virtio": ("s390-ccw-virtio", ""),
    "pseries": ("pseries", ""),
    "microvm": ("microvm", ""),
    "ubuntu": ("i440fx", "ubuntu"),
    "ubuntu-q35": ("q35", "ubuntu"),
}

# What stands before the version of the families above.
_PREFIXES = (
    ("pc-i440fx-", "i440fx"),
    ("pc-q35-", "q35"),
    ("virt-", "virt"),
    ("s390-ccw-virtio-", "s390-ccw-virtio"),
    ("pseries-", "pseries"),
    ("microvm-", "microvm"),
)
_FAMILIES = frozenset([family for _, family in _PREFIXES])
_RHEL, _PXE = "rhel", ".pxe"
_BEGINNINGS = ("pc-", _RHEL, *[prefix for prefix, _ in _PREFIXES])
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
_ALLOWED = _LETTERS | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")
#: QEMU's options for the machine type, and the name of the value in them.
_MACHINE_OPTIONS, _TYPE = ("-machine", "--machine", "-M", "--M"), "type="
_MAX_NEAREST = 3
# How versions are weighed to find the nearest: no vendor has used more parts, or one of three
# digits.
_WIDTH = 3
_PART = 100


class MachineType:
    """One name, taken apart.

    :ivar name: the name as given.
    :ivar family: the board whatever its version: ``i440fx``, ``q35``, ``virt``, ``s390-ccw-virtio``
        ...
    :ivar vendor: whose releases the version counts: ``upstream``, ``rhel``, ``ubuntu``, ``pve``, or
        '' for an alias, which only a host can resolve.
    :ivar version: the parts of the version, None for aliases and code names.
    :ivar codename: Ubuntu's code name, or None.
    :ivar suffix: what follows the version and means other hardware (``hpb``, ``sxxm``, ``pxe``), or ''.
    :ivar revision: the N of Proxmox' ``+pveN``, or None.
    """

    __slots__ = ("codename", "family", "name", "revision", "suffix", "vendor", "version")

    def __init__(
        self,
        *,
        name: str,
        family: str,
        vendor: str = "",
        version: Version | None = None,
        codename: str | None = None,
        suffix: str = "",
        revision: int | None = None,
    ) -> None:
        self.name = name
        self.family = family
        self.vendor = vendor
        self.version = version
        self.codename = codename
        self.suffix = suffix
        self.revision = revision

    @classmethod
    def parse(cls, name: str) -> MachineType:
        """Take a name apart; a name of unknown shape is a family of its own.

        :raises MachineTypeError: if the name is empty, longer than 255 characters, starts with
            ``-`` or holds anything but ASCII letters, digits and ``._+-``.
        """
        _check(name)
        plain = name.removesuffix(_PXE)
        base, _, extra = plain.partition("+")
        is_pve = extra.startswith("pve") and extra[3:].isdigit()
        family, vendor, version, codename, suffix = _read(base if is_pve else plain)
        return cls(
            name=name,
            family=family,
            vendor="pve" if is_pve else vendor,
            version=version,
            codename=codename,
            suffix=suffix if plain == name else suffix or _PXE[1:],
            revision=int(extra[3:]) if is_pve else None,
        )

    @property
    def is_versioned(self) -> bool:
        """Whether the name means the same hardware after an upgrade of QEMU."""
        return self.version is not None or self.codename is not None

    @property
    def is_alias(self) -> bool:
        """Whether the name has neither version nor code name: each host resolves it for itself."""
        return not self.is_versioned

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MachineType) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"MachineType({self.name!r})"

    def __str__(self) -> str:
        return self.name


def same_line(a: MachineType, b: MachineType) -> bool:
    """Whether two names are the same board from the same vendor's line of releases."""
    return a.family == b.family and a.vendor == b.vendor


def is_known(name: str) -> bool:
    """Whether a name has one of the shapes described above, whether or not any QEMU has it.

    :raises MachineTypeError: if it isn't a machine type's name.
    """
    machine = MachineType.parse(name)
    if machine.is_alias:
        return name in KNOWN_ALIASES
    return machine.family in _FAMILIES and name.startswith(_BEGINNINGS)


def of_arguments(arguments: Iterable[str]) -> str | None:
    """Return the machine type that arguments for QEMU name; None: none, or one that QEMU can't have.

    It overrides the one that libvirt gives: of several ``-machine`` QEMU takes the last
    (``system/vl.c``), with one dash or two, and with or without ``type=``.
    """
    found, before = None, ""
    for value in arguments:
        if before in _MACHINE_OPTIONS:
            first, *others = value.split(",")
            names = [part[len(_TYPE) :] for part in (first, *others) if part.startswith(_TYPE)]
            found = names[-1] if names else found if "=" in first else first
        before = value
    return found if found and _is_name(found) else None


def is_convertible(a: MachineType, b: MachineType) -> bool:
    """Whether a guest with one machine type can be turned into one with the other.

    That is so for the same board, whoever made it, and between i440fx and q35.
    """
    families = {a.family, b.family}
    return len(families) == 1 or families == {"i440fx", "q35"}


def compare(a: MachineType, b: MachineType) -> int | None:
    """Order two names by age.

    :return: negative when ``a`` is the older one, 0 when both say the same, positive when ``a`` is
        the newer one; None when they can't be ordered: different families, vendors or suffixes, code
        names, aliases.
    """
    if a.is_versioned and a == b:
        return 0
    if a.version is None or b.version is None or not same_line(a, b) or a.suffix != b.suffix:
        return None
    width = max(len(a.version), len(b.version))
    older, newer = _parts(a, width), _parts(b, width)
    return (older > newer) - (older < newer)


def nearest(name: str, candidates: Iterable[str]) -> list[str]:
    """Choose the names to offer instead of one that isn't supported.

    :param candidates: the supported names; what isn't a machine type's name among them is left out.
    :return: up to three of the same family, of the same vendor's line where there are any; nearest
        first.
    :raises MachineTypeError: if ``name`` isn't a machine type's name.
    """
    wanted = MachineType.parse(name)
    family = [t for t in _parsed(candidates) if t.family == wanted.family and t != wanted]
    line = [t for t in family if t.vendor == wanted.vendor]
    ranked = sorted(line or family, key=lambda found: _rank(wanted, found))
    return [found.name for found in ranked[:_MAX_NEAREST]]


def _rank(wanted: MachineType, found: MachineType) -> tuple[bool, int, int, str]:
    if compare(found, wanted) is None:
        return (True, int(found.is_alias != wanted.is_alias), -_weight(found), found.name)
    distance = _weight(found) - _weight(wanted)
    # Of two equally near ones the newer is better: a guest may go forward without --force.
    return (False, abs(distance), -distance, found.name)


def _parsed(names: Iterable[str]) -> list[MachineType]:
    types = []
    for name in set(names):
        try:
            types.append(MachineType.parse(name))
        except MachineTypeError:
            continue
    return types


def _parts(machine: MachineType, width: int) -> Version:
    """Return version and revision to compare part by part; a missing part counts as 0."""
    version = (machine.version or ()) + (0,) * width
    return (*version[:width], machine.revision or 0)


def _weight(machine: MachineType) -> int:
    """Fold version and revision into one number, to tell how far apart two of them are."""
    weight = 0
    for part in _parts(machine, _WIDTH):
        weight = weight * _PART + part
    return weight


def _check(name: str) -> None:
    if not name:
        raise MachineTypeError("the machine type is empty")
    if len(name) > MAX_LENGTH:
        raise MachineTypeError(
            f"machine type '{printable(name, 40)}' is longer than {MAX_LENGTH} characters"
        )
    if not _is_name(name):
        raise MachineTypeError(
            f"machine type '{printable(name, 80)}' holds characters that no machine type's name has"
        )


def _is_name(text: str) -> bool:
    return not text.startswith("-") and _ALLOWED.issuperset(text) and len(text) <= MAX_LENGTH


def _read(base: str) -> Reading:
    """Read a name without Proxmox' revision: family, vendor, version, code name, suffix."""
    if base in KNOWN_ALIASES:
        family, vendor = KNOWN_ALIASES[base]
        return (family, vendor, None, None, "")
    for prefix, family in _PREFIXES:
        if base.startswith(prefix):
            return _read_release(family, base[len(prefix) :]) or _read_other(base)
    if base.startswith("pc-"):
        # Releases before 1.4 didn't name the chipset: pc-1.0 is an i440fx.
        head, _, suffix = base[3:].partition("-")
        version = _version(head)
        if version is not None:
            return ("i440fx", "upstream", version, None, suffix)
    if base.startswith(_RHEL):
        version = _version(base[len(_RHEL) :])
        if version is not None:
            return ("i440fx", "rhel", version, None, "")
    return _read_other(base)


def _read_release(family: str, release: str) -> Reading | None:
    head, _, suffix = release.partition("-")
    version = _version(head)
    if version is not None:
        return (family, "upstream", version, None, suffix)
    if head.startswith(_RHEL):
        version = _version(head[len(_RHEL) :])
        if version is not None:
            return (family, "rhel", version, None, suffix)
    if head and _LETTERS.issuperset(head):
        return (family, "ubuntu", None, head, suffix)
    return None


def _read_other(base: str) -> Reading:
    family, _, tail = base.rpartition("-")
    version = _version(tail)
    if family and version is not None:
        return (family, "upstream", version, None, "")
    return (base, "", None, None, "")


def _version(text: str) -> Version | None:
    """Read ``N.N`` or more parts; a lone number is a model (``an385``, ``z2``), not a version."""
    parts = text.split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts):
        return None
    return tuple([int(part) for part in parts])
