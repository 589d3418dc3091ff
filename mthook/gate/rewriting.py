# SPDX-License-Identifier: Apache-2.0
"""What becomes of one domain on its way to libvirtd: the hook's rules, asked before there is anything to stop.

A definition is judged as the hook would judge the start that follows it; if the hook would stop that start, the domain
is rewritten to its pin.
"""

from __future__ import annotations

import time

from mthook import journal, policy, text
from mthook.catalog import lookup
from mthook.catalog.store import Catalog
from mthook.errors import ConversionError, Error
from mthook.gate.configuration import Configuration
from mthook.gate.verdict import REFUSE, REWRITE, Outcome, broken
from mthook.gate.xdr import MAX_STRING, Malformed
from mthook.hook import slow
from mthook.hook.fast import LOCK_SHARE
from mthook.judgement import DEFINE, Judgement, NovaAnswer, judge
from mthook.machinetype import MachineType
from mthook.xmlrewrite import kept, pipeline, summary
from mthook.xmlrewrite.definition import Definition
from mthook.xmlrewrite.summary import Summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mthook.reconcile import Compared

_UNASKED = (
    "its earlier definition isn't kept, and mthook changes its hardware only if asked:"
    " 'mthook-admin rewrite FILE' converts a definition"
)


def examine(xml: bytes, configuration: Configuration, *, may_wait: bool) -> Outcome | None:
    """Judge a domain. Nothing is written: the start that follows records what Nova's database says.

    :param may_wait: whether Nova's database may be asked, within the hook's time limit.
    :return: None: Nova would have to be asked, and mustn't.
    """
    settings = configuration.settings
    if settings.mode == "off":
        return Outcome()
    try:
        guest = summary.read(xml)
        if guest.uuid is None:
            # A new guest: libvirt doesn't take it for an existing guest of that name.
            return Outcome()
        label = f"guest {text.label(guest.uuid, guest.name, guest.display)}"
        judged = _judge(guest, guest.uuid, configuration, may_wait)
        return None if judged.asks_nova else _rewrite(xml, guest, label, judged, configuration)
    except Error as error:
        return broken(settings, str(error))
    except Exception as error:  # a bug of mthook's counts like a broken catalog
        return broken(settings, f"{type(error).__name__}: {error}")


def _judge(guest: Summary, uuid: str, configuration: Configuration, may_wait: bool) -> Judgement:
    """Judge a domain; judge it again if somebody changes its guest's pin while Nova is asked."""
    settings = configuration.settings
    deadline = time.monotonic() + settings.timeout
    known, aliases, compared = _look_up(guest, uuid, configuration)
    judged = judge(DEFINE, guest, known, aliases, settings)
    while judged.asks_nova and may_wait:
        left = max(deadline - time.monotonic(), 0)
        recorded = slow.ask_nova(configuration.files, uuid, left, judged.reason)
        nova, read = NovaAnswer(recorded, compared, text.now()), (known.updated_at, compared)
        known, aliases, compared = _look_up(guest, uuid, configuration)
        unchanged = read == (known.updated_at, compared)
        judged = judge(DEFINE, guest, known, aliases, settings, nova if unchanged else None)
    return judged


def _look_up(
    guest: Summary, uuid: str, configuration: Configuration
) -> tuple[lookup.Known, dict[str, str], Compared | None]:
    """Return what the catalog knows of a guest, the aliases of its emulator, and what Nova's database said last."""
    patience = configuration.settings.timeout * LOCK_SHARE
    connection = lookup.connect_to_read(configuration.catalog, patience)
    try:
        known = lookup.lookup(connection, uuid, text.now())
        aliases = {}
        if known.machine is None or known.machine != guest.machine:
            aliases = lookup.aliases(connection, guest.emulator, guest.arch, guest.virt_type)
        # Only Nova's guests are ever compared, and only where its database is configured.
        compares = guest.nova and configuration.settings.nova
        return known, aliases, lookup.compared(connection, uuid) if compares else None
    finally:
        connection.close()  # SQLite's locks don't survive the fork


def _rewrite(
    xml: bytes, guest: Summary, label: str, judged: Judgement, configuration: Configuration
) -> Outcome:
    uuid, found = guest.uuid or "", guest.machine
    if judged.verdict == "allow":
        if judged.reason:
            journal.warning(f"{label}: would be rewritten in mode enforce: {judged.reason}")
        return Outcome(uuid=uuid, old=found)
    try:
        definition = Definition(xml)
        rewritten = pipeline.rewrite(definition, _target(definition, guest, judged, configuration))
        # One that names no machine type says nothing of another board either.
        if rewritten.converted and found and not (rewritten.restored or guest.nova):
            raise ConversionError(_UNASKED, "os/type")
        if len(rewritten.xml) > MAX_STRING:
            raise Malformed(f"rewritten it is longer than {MAX_STRING} bytes")
    except Error as error:
        says = f"says {found}" if found else "names no machine type"
        what = f"{label} is pinned to {judged.pin}, its definition {says}"
        return _unconvertible(what, guest, judged, error, configuration.refuses)
    settings = configuration.settings
    # A definition unlike its pin stems from what Nova has recorded, or is about to record.
    push = judged.verdict == "deny" and guest.nova and settings.nova and settings.write_back
    changes = rewritten.changes if rewritten.converted else ()
    return Outcome(REWRITE, rewritten.xml, "", uuid, found, judged.pin, push, changes)


def _target(
    definition: Definition, guest: Summary, judged: Judgement, configuration: Configuration
) -> pipeline.Target:
    """Return what a domain is to become; in another family: what it was before, if that is kept."""
    uuid, since, ports = guest.uuid or "", judged.since or None, configuration.ports
    families = {
        MachineType.parse(machine).family for machine in (guest.machine, judged.pin) if machine
    }
    if len(families) == 1:
        return pipeline.Target(judged.pin, uuid, since, ports=ports)
    patience = configuration.settings.timeout * LOCK_SHARE
    with Catalog(lookup.connect_to_read(configuration.catalog, patience)) as catalog:
        libvirt, original = catalog.host().libvirt, catalog.original(uuid)
        last = catalog.kept(uuid)
    # Nova makes a domain anew for each start, and no device in it is where it was.
    original = None if guest.nova else kept.way_back(original, last, definition, judged.pin)
    return pipeline.Target(judged.pin, uuid, since, ports=ports, libvirt=libvirt, original=original)


def _unconvertible(
    what: str, guest: Summary, judged: Judgement, error: Error, refuses: bool
) -> Outcome:
    uuid, found, accept = guest.uuid or "", guest.machine, ""
    if not refuses:
        journal.warning(f"{what}; passed unchanged ([gate] on_unconvertible): {error}")
        return Outcome(uuid=uuid, old=found)
    journal.warning(f"{what}; refused: {error}")
    if found:
        allow = policy.allow_option(judged.pin, found, windows=guest.windows, running=guest.nova)
        accept = f"; 'mthook-admin set {uuid} {found}{allow}' accepts the change"
    return Outcome(REFUSE, message=f"mthook: {what}, and can't be rewritten: {error}{accept}")
