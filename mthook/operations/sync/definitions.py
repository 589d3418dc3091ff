# SPDX-License-Identifier: Apache-2.0
"""Bring definitions back to their pins, mend guests whose start was stopped, note which run something else."""

from __future__ import annotations

import contextlib
import itertools
import os
import time

from mthook.catalog.records import Pin, Repair
from mthook.errors import ConversionError, HostError, NotFound, Refused
from mthook.hook.answer import TRIGGER
from mthook.host import realign
from mthook.host.domains import Domain, definition, get_domain, start
from mthook.locks import uninterrupted
from mthook.operations.acts import STARTED, Act, Failure
from mthook.operations.support import pinned, unsupported
from mthook.operations.sync.pins import replace
from mthook.operations.sync.run import ACTOR, SyncRun
from mthook.policy import Refusal
from mthook.text import counted, is_time, latest, now, printable
from mthook.xmlrewrite.secrets import without_secrets
from mthook.xmlrewrite.summary import checksum
from mthook.xmlrewrite.target import Kept

#: Seconds after a stopped start within which the guest is started again. Whoever wanted it started may by then have
#: started it elsewhere, on another host with the same disks.
_RESTART_WITHIN = 600
#: What happens to a pin itself, in the words of the history.
_CHANGES = ("pinned", "changed", "unset", "imported", "pruned")
#: How many guests a line names.
_FEW = 3


def keep(run: SyncRun) -> None:
    """Keep each definition that satisfies its pin and isn't kept yet, to lead the guest back to.

    Nova makes those of its instances anew.
    """
    known = run.catalog.checksums()
    found = []
    for domain in run.domains.values():
        if domain.defined is None or domain.defined.nova:
            continue
        if known.get(domain.uuid) != domain.checksum:
            with run.isolated(domain):
                found += _keep(run, domain)
    run.catalog.keep(*found)


def _keep(run: SyncRun, domain: Domain) -> list[Kept]:
    """Return a domain's definition as it is kept, if it is as its pin says."""
    pin = run.catalog.get_pin(domain.uuid)
    if pin is None or pin.machine is None:
        return []
    try:
        found = definition(run.host, domain.uuid, secrets=False)
    except NotFound:
        return []
    machine = found.summary.machine
    if machine is None or not realign.is_aligned(pin, found.summary, run.offers.of(found.summary)):
        return []
    return [Kept(domain.uuid, checksum(found.xml), machine, now(), without_secrets(found))]


def align(run: SyncRun) -> None:
    """Redefine every persistent domain, active or not, whose definition isn't what its pin says."""
    for domain in run.domains.values():
        with run.isolated(domain):
            pin = run.catalog.get_pin(domain.uuid)
            if pin is None or domain.defined is None or not run.is_ours(domain):
                continue
            pin = _newest(run, domain, pin, domain.defined.travelled)
            if not realign.is_aligned(pin, domain.defined, run.offers.of(domain.defined)):
                _try(run, domain, pin)
            elif not run.result.dry_run:
                _carry(run, domain, pin)


def _align(run: SyncRun, domain: Domain, pin: Pin, *, snapshots: bool = False) -> None:
    """Redefine one domain, unless by now its definition is right; see :func:`mthook.host.realign.prepare`."""
    try:
        change = _change(run, pin, snapshots)
    except ConversionError as error:
        # Whoever reads the reason at night should see what it is about.
        found = domain.defined.machine if domain.defined else None
        raise ConversionError(
            f"pinned to {pin.machine}, defined as {printable(found)}: {error}", error.element
        ) from error
    if change is None:
        return
    latest = run.catalog.get_pin(domain.uuid)
    if latest is not None and latest.machine != pin.machine:
        _align(run, domain, latest, snapshots=snapshots)  # an operator changed it meanwhile
        return
    changes = tuple(change.changes) if change.converted else ()
    old, new = change.old or None, change.new
    run.result.add(Act("realigned", domain.uuid, domain.name, old, new, changes=changes))


def _change(run: SyncRun, pin: Pin, snapshots: bool) -> realign.Realignment | None:
    """Realign a pin's domain, or in a dry run only work out what that means."""
    change = realign.prepare(
        run.host, pin, run.offers, run.catalog, snapshots=snapshots, asked=False
    )
    if change is None or run.result.dry_run:
        return change
    with uninterrupted():
        realign.realign(run.host, pin, change, run.offers, run.catalog)
        run.touched = True
        run.catalog.add_history(pin.uuid, "realigned", actor=ACTOR, old=change.old, new=change.new)
    return change


def _newest(run: SyncRun, domain: Domain, pin: Pin, travelled: tuple[str, str] | None) -> Pin:
    """Return the pin that counts: a newer one in the definition came with it from another host."""
    machine, since = travelled or (pin.machine, "")
    if machine is None or machine == pin.machine or not pin.updated_at < since <= latest():
        return pin
    if not is_time(since):
        return pin
    reason = "its definition carries a newer pin"
    return replace(run, domain, pin, machine, "guest metadata", reason, at=since)


def _carry(run: SyncRun, domain: Domain, pin: Pin) -> None:
    """Let a guest carry its pin in place of an older one."""
    with contextlib.suppress(NotFound):
        realign.carry(run.host, pin, run.offers, domain.defined, domain.running)


def _try(run: SyncRun, domain: Domain, pin: Pin) -> None:
    """Realign a domain, or leave it alone. One that vanished meanwhile needs neither."""
    try:
        _align(run, domain, pin)
    except NotFound:
        return
    except ConversionError as error:
        of_nova = domain.defined is not None and domain.defined.nova
        if run.working_nova is None or not of_nova:
            raise
        # Nova makes a new definition at its next start.
        run.leave_alone(domain, "unconvertible", error)
    except Refused as refusal:
        if refusal.reason != Refusal.SAVED:
            raise
        run.leave_alone(domain, "saved_state", refusal)


def note_drift(run: SyncRun) -> None:
    """Write down, once for each pin, which guests run something else until a cold start."""
    for domain in run.domains.values():
        with run.isolated(domain):
            pin = run.catalog.get_pin(domain.uuid)
            if pin is None or domain.running is None:
                continue
            if not realign.is_aligned(pin, domain.running, run.offers.of(domain.running)):
                _note_drift(run, domain, pin, domain.running.machine)


def _note_drift(run: SyncRun, domain: Domain, pin: Pin, found: str | None) -> None:
    history = run.catalog.history(domain.uuid)
    # In their order: the pin's time may come from a clock that was ahead.
    since = itertools.takewhile(lambda entry: entry.event not in _CHANGES, reversed(history))
    noted = ((one.old, one.new) for one in since if one.event == "drift")
    if (pin.machine, found) not in noted:
        run.catalog.add_history(domain.uuid, "drift", actor=ACTOR, old=pin.machine, new=found)
        run.result.add(Act("drifting", domain.uuid, domain.name, pin.machine, found))


def name_unsupported(run: SyncRun) -> None:
    """Report in one line the guests that can't start with their pins, except those reported already."""
    known = {failure.uuid for failure in run.result.errors}
    present = [guest for guest in run.catalog.guests() if guest.gone_since is None]
    lacking = [
        f"{printable(guest.name)}: {pin.machine}"
        for pin, guest, _ in unsupported(pinned(run.catalog, present, run.offers), lambda: run.host)
        if guest is not None and pin.uuid not in known
    ]
    if lacking:
        few = [*lacking[:_FEW], *(["..."] if len(lacking) > _FEW else [])]
        text = (
            f"QEMU on this host doesn't offer the pins of {counted(len(lacking), 'guest')}, which can't"
            f" start here ({'; '.join(few)}): 'mthook-admin list --unsupported' lists them all"
        )
        run.result.add(Failure(Refused(text, Refusal.UNSUPPORTED)))


def repair(run: SyncRun, *, restart: bool) -> None:
    """Go through all guests that wait for a repair; what fails is tried again next time.

    :param restart: start them again, which only an operator may ask for, by hand or once for all: whoever wanted the
        guest started may have started it elsewhere meanwhile, and nothing here can know.
    """
    # Before the look into the catalog: a start that is stopped from here on asks anew.
    _take_request(run)
    for row in run.catalog.repairs():
        with run.isolated(row):
            _repair(run, row, restart)


def _repair(run: SyncRun, row: Repair, restart: bool) -> None:
    """Mend one guest and take it off the list; where that fails, it stays on it."""
    try:
        domain = get_domain(run.host, row.uuid)
        if domain.active:
            return _finish(run, row, "it runs")
        pin = run.catalog.get_pin(row.uuid)
        if pin is not None:
            _align(run, domain, pin, snapshots=True)
    except NotFound:
        return _finish(run, row, "no such guest")
    if row.nova:
        if run.nova is not None and not run.nova.works:
            return None  # its pin may still be to be written to Nova
        return _finish(run, row, "Nova starts it")
    moment = time.time()
    # Two ends: a stop in the future was recorded by a clock that was ahead, who knows when.
    recent = now(moment - _RESTART_WITHIN) <= row.at <= now(moment)
    if not (row.restart and recent):
        return _finish(run, row, "not to be started any more")
    if not restart:
        return None  # its definition is right by now; it stays on the list as long as it may be started
    with uninterrupted():
        if not run.result.dry_run:
            run.touched = True
            _start(run, row)
        _finish(run, row, STARTED)


def _start(run: SyncRun, row: Repair) -> None:
    """Start a guest. One that the hook still stops isn't tried again: that would go on for ever."""
    try:
        start(run.host, row.uuid)
    except HostError:
        run.catalog.leave_stopped(row)
        _take_request(run)
        raise


def _take_request(run: SyncRun) -> None:
    """Remove the file by which the hook asks for a repair."""
    if not run.result.dry_run:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(os.path.dirname(run.catalog.path), TRIGGER))


def _finish(run: SyncRun, row: Repair, how: str) -> None:
    run.catalog.finish_repair(row, event="repaired", reason=how, actor=ACTOR)
    run.result.add(Act("repaired", row.uuid, row.name, row.found, row.pin, reason=how))
