# SPDX-License-Identifier: Apache-2.0
"""Every rule of mthook about machine types, in one place and without any input or output.

Part of the hook's fast path: builtins only. Names of machine types come in as text, so that what
the catalog stores and what a guest's XML says can be handed over as they are. A table of *aliases*
maps an alias to the versioned name behind it, on the host and for the emulator that runs the guest:
the same alias means different hardware elsewhere.
"""

from __future__ import annotations

from mthook import machinetype
from mthook.errors import MachineTypeError, Refused
from mthook.machinetype import MachineType
from mthook.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping
    from typing import Optional

    Objection = tuple[str, str, str]
    Pinned = tuple[str, str]
    Version = tuple[int, int, int]
    Row = tuple[Optional[str], str]

# Operations of libvirt's QEMU hook (libvirt docs/hooks.rst); 'start', 'stopped', 'release' and
# those of a future libvirt decide nothing.
_ARRIVING = ("migrate", "restore")
_RUNNING = ("started", "reconnect", "attach")
#: One in addition to these: a definition is made, and a start will follow.
DEFINE = "define"
STARTS = ("prepare", DEFINE)

# The nearest libvirt versions that don't mistake a refused restore for a good one; see may_refuse_restore.
_RIGHT_UNTIL, _RIGHT_FROM = (10, 0, 0), (12, 8, 0)

# How a message says what was found in place of the pin.
_FOUND = {
    "prepare": "would start as",
    DEFINE: "would start as",
    "migrate": "arrives as",
    "restore": "was saved as",
    "started": "runs as",
    "reconnect": "runs as",
    "attach": "runs as",
}


class Refusal:
    """Why a change of a guest's machine type is refused.

    An enumeration of plain strings: the standard library's costs the hook as much as the rest of this module.

    """

    RUNNING = "running"  # the guest isn't shut off
    SAVED = "saved"  # a managed-save image or snapshots hold a machine type of their own
    UNSUPPORTED = (
        "unsupported"  # no known QEMU has the machine type, or it isn't a machine type at all
    )
    FAMILY = "family"  # it is of another family
    ALIAS = "alias"  # one of the two is an alias, the other a versioned name
    VENDOR = "vendor"  # it is of another vendor's line
    OLDER = "older"  # it is an older version
    INCOMPARABLE = "incomparable"  # the two can't be compared
    WINDOWS = "windows"  # the guest is a Windows
    UNCONVERTIBLE = "unconvertible"  # the guest has something that the other family can't have


#: What an operator can allow, by name: the refusals that become warnings.
ALLOWANCES = {
    "running": (Refusal.RUNNING,),
    "saved": (Refusal.SAVED,),
    "windows": (Refusal.WINDOWS,),
    "older": (Refusal.OLDER, Refusal.ALIAS, Refusal.INCOMPARABLE),
    "family": (Refusal.FAMILY, Refusal.VENDOR),
    "unsupported": (Refusal.UNSUPPORTED,),
}
#: All that can be allowed.
ALL = frozenset([reason for reasons in ALLOWANCES.values() for reason in reasons])


def allowance(reason: str) -> str | None:
    """Return the name that allows what is refused for a reason; None: nothing allows it."""
    return next((name for name, reasons in ALLOWANCES.items() if reason in reasons), None)


def allow_option(pin: str, machine: str, *, windows: bool, running: bool) -> str:
    """Return the option that ``mthook-admin set`` needs to make a machine type the pin, '' for none.

    :param running: the guest may be running then.
    """
    reasons = [Refusal.RUNNING] if running else []
    reasons += [reason for reason, *_ in _about_change(pin, MachineType.parse(machine), windows)]
    names = [name for name, allowed in ALLOWANCES.items() if {*allowed}.intersection(reasons)]
    return f" --allow {','.join(names)}" if names else ""


class Decision:
    """What the hook does about one operation.

    :ivar verdict: ``allow``, ``deny``, or ``rewrite``: allow, and print the XML with the pin's
        name.
    :ivar record: what to write down: ``nothing``, ``pin`` or ``drift``; nothing with ``deny``, as
        the guest hasn't run as what was found.
    :ivar reason: one line that says what is wrong, '' when nothing is.
    """

    def __init__(
        self, *, verdict: str = "allow", record: str = "nothing", reason: str = ""
    ) -> None:
        self.verdict, self.record, self.reason = verdict, record, reason


_NO_ALIASES: Mapping[str, str] = {}


def decide(
    operation: str,
    observed: str,
    pin: str | None,
    *,
    seen: str | None = None,
    aliases: Mapping[str, str] = _NO_ALIASES,
    mode: str = "enforce",
    migrate_mismatch: str = "accept",
    arrived: bool = False,
    released: bool = False,
) -> Decision:
    """Decide what happens to a guest on one of libvirt's hook operations.

    :param operation: libvirt's word for it, or :data:`DEFINE`; an unknown one is allowed.
    :param observed: the machine type in the XML that libvirt handed over.
    :param pin: the machine type recorded for the guest, None without one.
    :param seen: the versioned name the guest ran as when an alias was recorded.
    :param aliases: what aliases resolve to for this guest's emulator, here.
    :param mode: ``enforce``, ``audit`` (never stop or rewrite, but record) or ``off``.
    :param migrate_mismatch: ``accept`` or ``refuse`` a moved or restored guest that doesn't match its pin.
    :param arrived: the guest's ``migrate`` or ``restore`` was accepted a moment ago.
    :param released: the pin no longer counts: the instance is being rebuilt.
    :raises MachineTypeError: if ``observed`` or ``pin`` isn't a machine type's name.
    """
    if mode == "off" or operation not in _FOUND:
        return Decision()
    if pin is None or released:
        # Before a guest has run, its XML is a mere wish: a start that fails would record it too.
        return Decision(record="nothing" if operation in STARTS else "pin")
    # A definition, too: after an upgrade of QEMU the alias would start as something else.
    if operation in (*_ARRIVING, DEFINE) and _is_renamed(observed, pin, aliases):
        return _in_mode(mode, Decision(verdict="rewrite"))
    if satisfied(pin, observed, seen=seen, aliases=aliases):
        return Decision()
    reason = f"pinned to {pin}, but {_FOUND[operation]} {observed}"
    if operation in _RUNNING:
        # Another answer kills a running guest (libvirt docs/hooks.rst, "reconnect").
        return Decision(record="drift", reason=reason)
    if operation in STARTS:
        # A moved or restored guest has its hardware already: nothing but a cold start changes it.
        return Decision() if arrived else _in_mode(mode, Decision(verdict="deny", reason=reason))
    if migrate_mismatch == "refuse":
        return _in_mode(mode, Decision(verdict="deny", reason=reason))
    return Decision(record="drift", reason=reason)


def may_refuse_restore(libvirt: Version | None) -> bool:
    """Whether a restore can be refused without harm.

    Where a hook refuses to restore a managed-saved guest, libvirt 11.3 believes that it started, and removes its
    image, the guest's memory: ``ret`` is 0 by then (``qemuDomainObjRestore`` in src/qemu/qemu_driver.c). In 9.0 it is
    -1. 10.0 and 12.8 are reported to be right as well. Versions in between count as wrong.

    :param libvirt: the version that calls the hook, None where it isn't known.
    """
    return libvirt is not None and not _RIGHT_UNTIL < libvirt < _RIGHT_FROM


def _in_mode(mode: str, decision: Decision) -> Decision:
    if mode != "audit":
        return decision
    return Decision(
        record="drift" if decision.verdict == "deny" else "nothing", reason=decision.reason
    )


def _is_renamed(observed: str, pin: str, aliases: Mapping[str, str]) -> bool:
    """Whether ``observed`` is another name for the very hardware of a versioned pin.

    Such a change of name is all that libvirt's ABI check lets a hook make
    (libvirt ``qemuDomainDefCheckABIStability``).
    """
    return observed != pin and aliases.get(observed) == pin


def satisfied(
    pin: str, observed: str, *, seen: str | None = None, aliases: Mapping[str, str] = _NO_ALIASES
) -> bool:
    """Whether a guest's machine type is what its pin asks for.

    A versioned pin asks for exactly that name; an alias asks for any version of its family from one
    vendor's line: that of ``seen``, else of what the alias resolves to here, else any.

    :raises MachineTypeError: if one of the names isn't a machine type's name.
    """
    wanted = MachineType.parse(pin)
    found = MachineType.parse(aliases.get(observed, observed))
    if wanted == found:
        return True
    if wanted.is_versioned:
        return False
    family, vendor = _asked(wanted, seen or aliases.get(pin))
    return found.family == family and vendor in ("", found.vendor)


def _asked(alias: MachineType, example: str | None) -> tuple[str, str]:
    """Return the family and vendor line an alias stands for; the line is '' where it isn't known.

    :param example: a versioned name that the alias stood for.
    """
    if alias.vendor or example is None:
        return alias.family, alias.vendor
    known = MachineType.parse(example)
    if known.is_alias:
        return alias.family, ""
    if alias.name in machinetype.KNOWN_ALIASES and known.family != alias.family:
        # A guest of another family than its pin says nothing about the pin's vendor.
        return alias.family, ""
    return known.family, known.vendor


def pin_for(observed: str, style: str, aliases: Mapping[str, str] = _NO_ALIASES) -> str:
    """Return what a new pin records for a guest that runs as ``observed``.

    :param style: ``versioned``: the name itself, or the one behind an alias, which an argument for QEMU may name;
        ``alias``: the shortest alias for it here, where there is one.
    """
    observed = aliases.get(observed, observed)
    if style != "alias":
        return observed
    names = [alias for alias, canonical in aliases.items() if canonical == observed]
    return min(names, key=lambda name: (len(name), name), default=observed)


def is_rebuilt(
    known_images: str | None,
    image: str | None,
    *,
    pin: str | None = None,
    recorded: str | None = None,
) -> bool:
    """Whether an instance has been rebuilt since its pin was recorded: that releases the pin.

    Known images are remembered, because unshelving an instance shows another root image for a while, the shelved
    one, and then the first one again (Nova, ``_unshelve_instance`` in nova/compute/manager.py). What Nova has recorded
    stays then, whereas a rebuild takes it from the new image.

    :param known_images: UUIDs of the images its root disk was seen with, separated by spaces; None: none.
    :param image: UUID of the one that the guest's XML names now, if it names one.
    :param pin: the machine type recorded for the guest, None without one.
    :param recorded: the one that Nova has recorded, if the guest's XML says so.
    :raises MachineTypeError: if one of the names isn't a machine type's name.
    """
    if not (known_images and image) or image in known_images.split():
        return False
    return not (pin and recorded and satisfied(recorded, pin))


def effective_pin(
    operation: str,
    row: Row | None,
    travelled: Pinned | None,
    gone_since: str | None = None,
    *,
    latest: str,
) -> tuple[str | None, str]:
    """Choose between the catalog's pin and the one that the guest carries in its own metadata.

    :param row: machine type (None: the pin was released) and time of change of the catalog's row.
    :param travelled: machine type of the pin in the guest's metadata, and since when it holds.
    :param gone_since: since when the guest has not been seen on this host, None if it was always here.
    :param latest: the latest time that is believed of a change elsewhere; a later one says nothing about age.
    :return: the machine type that counts, or None; and where it comes from: ``row``, ``metadata``
        or ''.
    """
    # It left and comes back: how it has run elsewhere since is newer than what is written here.
    returns = bool(row and operation == "migrate" and gone_since and row[1] < gone_since)
    if travelled is not None:
        machine, since = travelled
        # A guest that moves in has lived elsewhere, where its pin may have changed since this
        # host's row. On any other operation the metadata is an old copy, and mustn't bring back a
        # pin released here.
        if row is None or (operation == "migrate" and since > row[1] and since <= latest):
            return machine, "metadata"
        if returns and since > latest:
            return machine, "metadata"
    if row is None or row[0] is None or returns:
        return None, ""
    return row[0], "row"


def may_update(
    old: str | None,
    new: str,
    *,
    stopped: bool,
    supported: bool | None,
    allowed: Container[str] = (),
    managed_save: bool = False,
    windows: bool = False,
    nearest: Iterable[str] = (),
) -> list[str]:
    """Check a change of a guest's pin by an operator, in nova-manage's order of checks.

    :param old: the pin so far; without one only the guest's state and QEMU's support count.
    :param stopped: the guest is shut off (Nova: stopped, shelved or shelved_offloaded).
    :param supported: a known host's QEMU has ``new`` for the guest's architecture; None: that isn't known, and its name
        decides.
    :param allowed: reasons for which a refusal becomes a warning.
    :param managed_save: the guest has a managed-save image.
    :param windows: the guest is a Windows.
    :param nearest: supported names to offer in place of one that isn't.
    :return: warnings for the operator.
    :raises Refused: with a :class:`Refusal` as its reason.
    :raises MachineTypeError: if ``new`` isn't a machine type's name.
    """
    wanted = MachineType.parse(new)
    if old == new:
        return []
    warnings = []
    for reason, what, outcome in (
        *_about_state(stopped, managed_save),
        *_about_support(wanted, supported, nearest),
        *_about_change(old, wanted, windows),
    ):
        if reason not in allowed:
            raise Refused(what, reason)
        warnings.append(f"{what}: {outcome}")
    return warnings


def _about_state(stopped: bool, managed_save: bool) -> Iterator[Objection]:
    """Yield reason, objection, and what happens when it is overridden; so do the next two."""
    if not stopped:
        yield (
            Refusal.RUNNING,
            "the guest isn't shut off",
            "it keeps its machine type until its next cold start",
        )
    if managed_save:
        yield (
            Refusal.SAVED,
            "the guest has a managed-save image",
            "its next start restores that, with the machine type in it",
        )


def _about_support(
    wanted: MachineType, supported: bool | None, nearest: Iterable[str]
) -> Iterator[Objection]:
    if supported or (supported is None and machinetype.is_known(wanted.name)):
        return
    what, offer = f"QEMU on this host doesn't offer {wanted}", ", ".join(nearest)
    if supported is None:
        what = (
            f"mthook knows no machine type like {wanted}, and what a QEMU offers isn't known here"
        )
    what += f"; nearest: {offer}" if offer else ""
    yield Refusal.UNSUPPORTED, what, "the guest can't start where it isn't supported"


def _about_change(old: str | None, wanted: MachineType, windows: bool) -> Iterator[Objection]:
    if old is None:
        return
    misstep = _misstep(old, wanted)
    if misstep:
        yield (*misstep, "the guest's ABI will likely break")
    if windows:
        what = "Windows may lose IP addresses, disks and its activation with another machine type"
        yield Refusal.WINDOWS, what, "the guest's ABI will likely break"


def _about_alias(pin: MachineType, wanted: MachineType) -> str:
    if wanted.is_alias:
        return f"'{wanted}' is an alias: what it means changes with QEMU; use a versioned name such as {pin}"
    return f"its pin '{pin}' is an alias; 'mthook-admin freeze' replaces it by the version that the guest runs"


def _misstep(old: str, wanted: MachineType) -> tuple[str, str] | None:
    """Return why a change isn't simply one to a newer version of the same line, if it isn't."""
    try:
        pin = MachineType.parse(old)
    except MachineTypeError:
        what = f"{wanted} can't be compared with the pin '{printable(old, 80)}'"
        return Refusal.INCOMPARABLE, what
    if pin.family != wanted.family:
        what = f"{wanted} is of another family ({wanted.family}) than {pin} ({pin.family})"
        return Refusal.FAMILY, what
    if pin.is_alias != wanted.is_alias:
        return Refusal.ALIAS, _about_alias(pin, wanted)
    if pin.vendor != wanted.vendor:
        return Refusal.VENDOR, f"{wanted} is of another vendor's line than {pin}"
    order = machinetype.compare(wanted, pin)
    if order is None:
        return Refusal.INCOMPARABLE, f"{wanted} can't be compared with {pin}"
    return (Refusal.OLDER, f"{wanted} is older than {pin}") if order < 0 else None
