# SPDX-License-Identifier: Apache-2.0
"""What the hook does by a judgement: it writes to catalog and log, and lets the guest go on or stops it.

On the fast path, but left alone by the start of a guest whose pin is exactly what its definition says.
"""

from __future__ import annotations

import os

from mthook import journal, judgement, machinetype, text
from mthook.catalog.starts import HOOK
from mthook.catalog.store import Catalog
from mthook.errors import CatalogError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mthook.catalog.connection import Connection
    from mthook.hook.fast import HookCall
    from mthook.judgement import Judgement
    from mthook.xmlrewrite.summary import Summary

#: The hook touches this file beside the catalog when it stopped a start; systemd's path unit then runs the repair.
TRIGGER = "repair-wanted"

#: What an operator calls the operations that can be stopped.
_WORDS = {"prepare": "start", "migrate": "migration", "restore": "restore"}


def carry_out(call: HookCall, guest: Summary, judged: Judgement, connection: Connection) -> bool:
    """Record what a judgement is about and do what it says; return whether the guest may go on.

    :raises CatalogError: what it depends on can't be recorded.
    """
    who, catalog = f"{call} ({guest.uuid})", Catalog(connection)
    try:
        record_pin(catalog, guest, judged, HOOK, who)
        _record_event(catalog, guest, judged, call.operation, who)
    except CatalogError as error:
        if judged.verdict == "deny" or judged.compared is not None:
            raise  # a catalog that can't be written is a broken one: [hook] on_error decides
        journal.error(f"{call}: what it found isn't recorded: {error}")
    if judged.verdict == "deny":
        _stop(call, guest, judged)
        return False
    if judged.verdict == "rewrite":
        connection.close()  # SQLite's locks don't survive the slow path's fork
        _rename(call, guest, judged, who)
    call.clear = judged.clear
    return True


def record_pin(catalog: Catalog, guest: Summary, judged: Judgement, actor: str, who: str) -> None:
    """Record what becomes of a guest's pin.

    :param actor: whom the history names.
    :param who: what lines of the log begin with.
    """
    assert guest.uuid is not None
    if judged.released:
        catalog.unset_pin(guest.uuid, actor=actor, reason="rebuilt in Nova")
        journal.info(f"{who}: pin {judged.released} released, rebuilt in Nova")
    new = judged.new_pin
    if new is not None and catalog.record_pin(
        guest,
        new.machine,
        running=new.running,
        source=new.source,
        actor=actor,
        seen=new.running,
        reason=new.reason,
        at=judged.since if new.source == judgement.NOVA else text.now(),
        replace=new.replaces,
        images=new.images,
    ):
        how = "as Nova has it" if new.source == judgement.NOVA else f"from the {new.source}"
        journal.info(f"{who}: pinned to {new.machine}, {how}")
    if judged.compared is not None:
        from mthook.catalog.records import Compared  # here: few guests need it

        catalog.set_compared(Compared(guest.uuid, *judged.compared))


def _record_event(
    catalog: Catalog, guest: Summary, judged: Judgement, operation: str, who: str
) -> None:
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
    if judged.event in (judgement.DRIFT, judgement.ARRIVE):
        journal.warning(f"{who}: drift: pinned to {pin}, it runs {found}")
    elif judged.event == judgement.WARN:
        journal.warning(f"{who}: would be stopped in mode enforce: {judged.reason}")


def _stop(call: HookCall, guest: Summary, judged: Judgement) -> None:
    """Say in one line, which libvirt hands on to the client, what is stopped, why and what to do."""
    if call.operation == "prepare":
        _touch(os.path.join(os.path.dirname(call.catalog), TRIGGER))
        what = "its definition says"
    else:
        what = "it comes with"
    message = (
        f"{_WORDS[call.operation]} of guest '{text.printable(call.name)}' ({guest.uuid}) stopped: "
        f"its machine type is pinned to {judged.pin}, {what} {judged.found}; "
        f"{_remedy(call, guest, judged)}"
    )
    journal.warning(message)
    call.errors.write(f"mthook: {message}\n")


def _remedy(call: HookCall, guest: Summary, judged: Judgement) -> str:
    assert call.settings is not None
    pin = judged.pin
    accept = f"'mthook-admin set {guest.uuid} {judged.found} --force' accepts the change"
    if call.operation != "prepare":
        return f"{accept}, so does [hook] migrate_mismatch = accept for all guests"
    if guest.nova and call.settings.nova:
        return f"'mthook-sync --only repair' writes the pin to Nova's database, then start it again; {accept}"
    if guest.nova:
        return f"give the instance the machine type {pin} in Nova and start it again, or {accept}"
    if not machinetype.is_convertible(pin, judged.found):
        return f"redefine the guest as what it is pinned to, or {accept}"
    return f"'mthook-sync --only repair' mends the definition and starts the guest, {accept}"


def _touch(path: str) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        journal.error(f"{text.printable(path)}: {error.strerror}")


def _rename(call: HookCall, guest: Summary, judged: Judgement, who: str) -> None:
    """Print the domain with the name that the pin has for its machine type; printing nothing changes nothing."""
    from mthook.hook import slow  # here: so few guests need it

    try:
        xml = slow.rewrite(call.xml, judged.pin, guest.uuid or "", judged.since, call.left())
    except slow.SlowPathError as error:
        journal.error(f"{who}: not renamed to {judged.pin}: {error}")
        return
    call.output.write(xml)
    call.output.flush()
    journal.info(f"{who}: {judged.found} renamed to {judged.pin}")
