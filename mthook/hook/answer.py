# SPDX-License-Identifier: Apache-2.0
"""How the hook carries out a judgement: record it, log it, and let the guest go on or stop it.

On the fast path, but not loaded when a guest starts whose definition says exactly what its pin does.
"""

from __future__ import annotations

import os

from mthook import journal, judgement, machinetype, policy, text
from mthook.catalog import lookup
from mthook.catalog.starts import HOOK
from mthook.catalog.store import Catalog
from mthook.errors import CatalogConflict, CatalogError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Optional

    from mthook.catalog.connection import Connection
    from mthook.hook.fast import HookCall
    from mthook.judgement import Judgement
    from mthook.xmlrewrite.summary import Summary

    #: The state of a pin when it was read, as :meth:`.Pins.expect` takes it.
    Read = tuple[Optional[str], object]

#: The hook touches this file beside the catalog when it stops a start; systemd's path unit then runs the repair.
TRIGGER = "repair-wanted"

#: It adds a guest's UUID and the time to this file to have Nova's record compared with the guest's pin; systemd's path
#: unit then runs the push.
PUSH_TRIGGER = "push-wanted"

#: The enabled path unit by which systemd watches the first of these files.
REPAIR_UNIT = "/etc/systemd/system/paths.target.wants/mthook-repair.path"
#: Where libvirt keeps the definitions of QEMU guests; a transient guest has none here.
DEFINITIONS = "/etc/libvirt/qemu"
#: The command that removes a guest for good once Nova has deleted its instance.
REMOVE = "virsh undefine --managed-save --snapshots-metadata --nvram"

# Why a start can't be mended: this host's QEMU doesn't offer the pin; there is no definition; no conversion leads to
# the pin; one does, but what the guest was before isn't kept.
UNOFFERED, TRANSIENT, UNCONVERTIBLE, UNKEPT = "unoffered", "transient", "unconvertible", "unkept"

#: What an operator calls the operations that can be stopped.
_WORDS = {"prepare": "start", "migrate": "migration", "restore": "restore"}


def carry_out(
    call: HookCall, guest: Summary, judged: Judgement, read: Read, connection: Connection
) -> bool:
    """Record a judgement and carry it out; return whether the guest may go on.

    A verdict holds whether or not it can be recorded.

    :param read: see :func:`record_pin`.
    :param connection: an open catalog, which is closed then; it needn't be open for a start.
    :raises CatalogConflict: the pin has changed since the judgement; nothing is recorded.
    """
    who = _who(call.operation, call, guest)
    catalog = Catalog(connection)
    news, wanted = _has_news(catalog, guest, judged), _wanted(call, guest, judged)
    connection.close()  # SQLite's locks don't survive a fork
    if news or wanted:
        _record(call, guest, judged, read, who, news=news, wanted=wanted)
    _warn(judged, who, news=news)
    if judged.verdict == "deny":
        _stop(call, guest, judged)
        return False
    if judged.verdict == "rewrite":
        _rename(call, guest, judged, who)
    call.clear = judged.clear
    return True


def _who(what: str, call: HookCall, guest: Summary) -> str:
    """Return what happens to a guest, and which guest that is."""
    return f"{what} of guest {text.label(guest.uuid or '', call.name, guest.display)}"


def _wanted(call: HookCall, guest: Summary, judged: Judgement) -> list[tuple[str, str]]:
    """Return the files that trigger systemd's path units, and the line to add to each."""
    settings, wanted = call.settings, []
    if settings and settings.nova and settings.write_back and _concerns_nova(guest, judged):
        wanted.append((_beside(call.catalog, PUSH_TRIGGER), f"{guest.uuid} {text.now()}\n"))
    if judged.verdict == "deny" and call.operation == "prepare":
        wanted.append((_beside(call.catalog, TRIGGER), ""))
    return wanted


def _has_news(catalog: Catalog, guest: Summary, judged: Judgement) -> bool:
    """Tell whether there is anything new to record; if not, the call needn't wait for a lock."""
    if judged.event == judgement.RUN and not judged.changes_pin:
        return catalog.is_run_new(guest, judged.found)
    if judged.event == judgement.DRIFT and not judged.changes_pin:
        return catalog.is_drift_new(guest, judged.pin, judged.found)
    events = (judgement.STOP, judgement.RUN, judgement.DRIFT, judgement.ARRIVE)
    return judged.changes_pin or judged.was_let_in or judged.event in events


def _record(
    call: HookCall,
    guest: Summary,
    judged: Judgement,
    read: Read,
    who: str,
    *,
    news: bool,
    wanted: Sequence[tuple[str, str]],
) -> None:
    """Record a judgement, all of it or nothing, in a child process: the disk may hang.

    The child has its own limit on waiting for other writers, and may finish after the hook has answered.

    :raises CatalogConflict: see :func:`record_pin`.
    """
    from mthook.hook import slow  # here: few calls need it

    def work() -> bool:
        try:
            lines = _write(call, guest, judged, read) if news else []
        except CatalogConflict:
            return False
        except CatalogError as error:
            lines = []
            journal.error(f"{call}: what it found isn't recorded: {error}")
        for line in lines:
            journal.info(f"{who}: {line}")
        for path, line in wanted:
            _add(path, line)
        return True

    try:
        done = slow.in_child(work, call.limit, outlives=True)
    except slow.SlowPathError as error:
        journal.error(f"{call}: what it found isn't recorded: {error}")
    else:
        if not done:
            raise CatalogConflict(f"{who}: its pin keeps changing", call.catalog)


def _write(call: HookCall, guest: Summary, judged: Judgement, read: Read) -> list[str]:
    """Write a judgement to the catalog; return what became of the pin, a line each."""
    connection = lookup.connect(call.catalog, call.limit)
    catalog = Catalog(connection)
    with catalog.transaction():
        lines = record_pin(catalog, guest, judged, HOOK, read)
        _record_event(catalog, guest, judged, call.operation)
    return lines


def ask_for_push(catalog: str, uuid: str, at: str | None = None) -> None:
    """Ask for a guest's pin to be written to Nova, once Nova has finished its work on the guest.

    :param catalog: its path.
    :param at: when this was first asked for; None: now.
    """
    _add(_beside(catalog, PUSH_TRIGGER), f"{uuid} {at or text.now()}\n")


def keep(call: HookCall, guest: Summary) -> None:
    """Keep a guest's definition, to lead the guest back to it one day."""
    from mthook.hook import slow  # here: most starts are like the one before

    try:
        slow.keep(call.catalog, call.xml, guest.uuid or "", guest.machine or "", call.left())
    except slow.SlowPathError as error:
        journal.error(f"{call}: its definition isn't kept: {error}")


def _concerns_nova(guest: Summary, judged: Judgement) -> bool:
    """Tell whether Nova's record may need to be put right: a new pin, or a guest unlike its pin."""
    if not guest.nova:
        return False
    new = judged.new_pin is not None and judged.new_pin.source != judgement.NOVA
    return new or judged.mends or judged.event in (judgement.STOP, judgement.DRIFT, judgement.PASS)


def record_pin(
    catalog: Catalog, guest: Summary, judged: Judgement, actor: str, read: Read
) -> list[str]:
    """Record in a transaction what becomes of a guest's pin; return that, a line each.

    :param actor: whom the history names.
    :param read: when the pin that was judged by was last changed, and what Nova's database had said then; as
        :meth:`.Pins.expect` takes them.
    :raises CatalogConflict: the pin has changed since.
    """
    assert guest.uuid is not None
    lines = []
    catalog.expect(guest.uuid, *read)
    if judged.released:
        catalog.unset_pin(guest.uuid, actor=actor, reason="rebuilt in Nova")
        lines.append(f"pin {judged.released} released, rebuilt in Nova")
    new = judged.new_pin
    if new is not None and catalog.record_pin(
        guest,
        new.machine,
        running=new.running,
        source=new.source,
        actor=actor,
        seen=new.running,
        reason=new.reason,
        at=text.now(),
        since=judged.since if judged.origin in (judgement.NOVA, "metadata") else "",
        replace=new.replaces,
        images=new.images,
    ):
        how = "as Nova has it" if new.source == judgement.NOVA else f"from the {new.source}"
        lines.append(f"pinned to {new.machine}, {how}")
    if judged.compared is not None:
        from mthook.catalog.records import Compared  # here: few guests need it

        catalog.set_compared(Compared(guest.uuid, *judged.compared))
    return lines


def _record_event(catalog: Catalog, guest: Summary, judged: Judgement, operation: str) -> None:
    assert guest.uuid is not None
    pin, found, at = judged.pin, judged.found, text.now()
    if judged.was_let_in:
        catalog.take_arrival(guest.uuid)
    if judged.event == judgement.STOP:
        catalog.record_stop(guest, pin, found, operation, at)
    elif judged.event == judgement.RUN:
        catalog.record_running(guest, found, at)
    elif judged.event == judgement.DRIFT:
        catalog.record_drift(guest, pin, found, operation, at)
    elif judged.event == judgement.ARRIVE:
        catalog.record_arrival(guest.uuid, found, at)


def _warn(judged: Judgement, who: str, *, news: bool) -> None:
    """Log what an operator should look at; known drift has been logged already."""
    if judged.event in (judgement.DRIFT, judgement.ARRIVE) and news:
        journal.warning(f"{who}: drift: pinned to {judged.pin}, it runs {judged.found}")
    elif judged.event == judgement.WARN:
        journal.warning(f"{who}: would be stopped in mode enforce: {judged.reason}")
    elif judged.event == judgement.PASS:
        journal.warning(f"{who}: is let through by [hook] nova_stop = allow: {judged.reason}")


def _hindrance(call: HookCall, guest: Summary, judged: Judgement) -> str:
    """Return what keeps a start from being mended: one of this module's words in capitals, '' for nothing."""
    from mthook.catalog.offers import Offers  # here: few starts are stopped

    try:
        with Catalog(lookup.connect_to_read(call.catalog, call.left())) as catalog:
            offers, kept = Offers(catalog.capabilities(guest.arch)), catalog.kept(guest.uuid or "")
    except CatalogError:
        return ""
    offer = offers.of(guest)
    if offer.names and judged.pin not in (*offer.names, *offer.aliases.values()):
        return UNOFFERED
    if guest.nova:
        return ""
    if os.path.isdir(DEFINITIONS) and not os.path.lexists(f"{DEFINITIONS}/{call.name}.xml"):
        return TRANSIENT
    parse = machinetype.MachineType.parse
    pin, found = parse(judged.pin), parse(judged.found)
    if not machinetype.is_convertible(pin, found):
        return UNCONVERTIBLE
    families = {found.family, *([parse(kept.machine).family] if kept else [])}
    return "" if pin.family in families else UNKEPT


def _stop(call: HookCall, guest: Summary, judged: Judgement) -> None:
    """Say what is stopped, why, and what to do, in one line that libvirt hands on to the client."""
    what = "its definition says" if call.operation == "prepare" else "it comes with"
    message = (
        f"{_who(_WORDS[call.operation], call, guest)} stopped: "
        f"its machine type is pinned to {judged.pin}, {what} {judged.found}; "
        f"{_remedy(call, guest, judged)}"
    )
    journal.warning(message)
    call.tell(f"mthook: {message}")


def _remedy(call: HookCall, guest: Summary, judged: Judgement) -> str:
    """Return what the operator can do; name only what works."""
    assert call.settings is not None
    pin, uuid = judged.pin, guest.uuid
    allow = policy.allow_option(pin, judged.found, windows=guest.windows, running=guest.nova)
    accept = f"'mthook-admin set {uuid} {judged.found}{allow}' accepts the change"
    if call.operation != "prepare":
        return f"{accept}, so does [hook] migrate_mismatch = accept for all guests"
    # It also puts Nova's record right, whatever there is to say.
    back = _way_back(call, guest, judged) if guest.nova and call.settings.nova else ""
    if back and judged.recorded is None:
        return back
    hindrance = _hindrance(call, guest, judged)
    if hindrance == UNOFFERED:
        return f"QEMU on this host doesn't offer {pin}: start it on a host that does, or {accept}"
    if back:
        return f"{back}; {accept}"
    if guest.nova:
        return f"give the instance the machine type {pin} in Nova and start it again, or {accept}"
    if guest.by_argument:
        return f"take -machine out of its <qemu:commandline>, or {accept}"
    if hindrance == TRANSIENT:
        return f"it has no definition to mend: create it as {pin}, or {accept}"
    if hindrance == UNCONVERTIBLE:
        return f"redefine the guest with its pinned machine type, or {accept}"
    if hindrance == UNKEPT:
        return f"'mthook-admin set {uuid} {pin}' converts the definition, {accept}"
    if call.misconfigured:
        # Neither systemd's units nor the commands run until then.
        return (
            "correct the configuration first, 'mthook-sync' says where; then 'mthook-sync --only repair"
            f" --start' mends the definition and starts the guest, {accept}"
        )
    if os.path.lexists(REPAIR_UNIT):
        return f"its definition will be mended in a moment: start it again then, or {accept}"
    return (
        f"'mthook-sync --only repair --start' mends the definition and starts the guest, {accept}"
    )


def _way_back(call: HookCall, guest: Summary, judged: Judgement) -> str:
    """Put Nova's record right, and return how the instance gets back."""
    uuid, recorded = guest.uuid, judged.recorded
    later = "'mthook-sync --only repair' writes the pin to Nova's database, then"
    if recorded is None:
        return (
            f"Nova has deleted this instance: when nobody needs its guest any more, '{REMOVE} {uuid}'"
            f" removes it; to start it, redefine it as {judged.pin}"
        )
    if judged.unsure:
        return (
            f"Nova has {recorded.machine} recorded, and nothing shows who wrote it:"
            f" 'mthook-admin set {uuid} {judged.pin} --force' takes it back"
        )
    again = f"'openstack server {recorded.way_back} {uuid}' starts it as {judged.pin}"
    if recorded.image is not None:
        from mthook.nova import image  # here: so few guests need it

        command = image.command(recorded.image, image.properties(recorded.buses, judged.pin))
        again = f"'{command}' gives its shelved image the pin, then {again}"
    done = not judged.mends or _put_right(call, guest, judged.pin, recorded.machine)
    return again if done else f"{later} {again}"


def _put_right(call: HookCall, guest: Summary, pin: str, recorded: str | None) -> bool:
    """Write a pin to Nova's database in the time that is left; return whether that worked."""
    from mthook.hook import slow  # here: so few guests need it

    who = _who(call.operation, call, guest)
    if call.settings is None or not call.settings.write_back:
        return False
    try:
        slow.put_right(call.files, guest.uuid or "", pin, recorded, call.left())
    except slow.SlowPathError as error:
        journal.error(f"{who}: {pin} isn't written to Nova: {error}")
        return False
    journal.info(f"{who}: wrote {pin} to Nova in place of {text.printable(recorded or 'nothing')}")
    return True


def _beside(catalog: str, name: str) -> str:
    return os.path.join(os.path.dirname(catalog), name)


def _add(path: str, line: str) -> None:
    """Add a line to a file, or make an empty one."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
        os.write(descriptor, line.encode())
        os.close(descriptor)
    except OSError as error:
        journal.error(text.explain(path, error))


def _rename(call: HookCall, guest: Summary, judged: Judgement, who: str) -> None:
    """Print the domain with its machine type as pinned; without output libvirt changes nothing."""
    from mthook.hook import slow  # here: so few guests need it

    try:
        xml = slow.rewrite(call.xml, judged.pin, guest.uuid or "", judged.since, call.left())
    except slow.SlowPathError as error:
        journal.error(f"{who}: not renamed to {judged.pin}: {error}")
        return
    try:
        call.output.write(xml)
        call.output.flush()
    except OSError as error:
        journal.error(f"{who}: not renamed to {judged.pin}: {text.cause(error)}")
        return
    journal.info(f"{who}: {judged.found} renamed to {judged.pin}")
