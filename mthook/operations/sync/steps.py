# SPDX-License-Identifier: Apache-2.0
"""The steps of a run in their order; the last one forgets the pins of guests that are gone for good."""

from __future__ import annotations

import contextlib
import glob
import os
import time

from mthook.catalog.records import Guest
from mthook.conf import has_nova
from mthook.hook.install import CLEARED
from mthook.nova.instance import Whereabouts
from mthook.operations.acts import Act
from mthook.operations.inventory import instances
from mthook.operations.sync.compare import pull, push
from mthook.operations.sync.definitions import (
    align,
    keep,
    name_unsupported,
    note_drift,
    repair,
)
from mthook.operations.sync.foresight import foresee
from mthook.operations.sync.novarecords import NovaRecords
from mthook.operations.sync.pins import seed, seed_without_domain
from mthook.operations.sync.reported import for_catalog
from mthook.operations.sync.requests import push_asked_for
from mthook.operations.sync.run import ACTOR, SyncRun
from mthook.text import now, printable

#: Seconds after which a guest that libvirt no longer lists counts as gone: one that moved away may
#: come back, and Nova undefines a guest and defines it again at every hard reboot.
_PRUNE_AFTER = 30 * 24 * 3600
#: More seconds than this between two whole runs mean that the host was off, or its clock has jumped: the days of
#: guests that are gone are counted anew.
_GAP = 8 * 24 * 3600
#: Seconds after which a note that a start needn't be recorded belongs to a start that failed.
_CLEARED_FOR = 600


def do_steps(run: SyncRun, only: str | None, *, start: bool = False) -> None:
    """Go through the guests of this host, and through its instances in Nova where there is a database.

    :param start: with the step ``repair``: start the guests again as well.
    """
    with contextlib.ExitStack() as stack:
        if has_nova(run.conf):
            run.nova = NovaRecords(run, stack)
        if run.conf.fleet.connection is not None and only in (None, "seed"):
            from mthook.operations.sync.wishes import heed  # here: it takes SQLAlchemy

            heed(run, only)
        _pins(run, only)
        _definitions(run, only, start)
        if only is None:
            note_drift(run)
        run.see_guests()
        if only is None:
            name_unsupported(run)
            _finish(run)
        rows = instances(run.catalog, run.catalog.guests())
        run.result.drift = sum(bool(row.drift) for row in rows)


def _pins(run: SyncRun, only: str | None) -> None:
    """Bring pins, guests and Nova's records together."""
    nova = run.working_nova
    if nova is not None and only in (None, "pull"):
        pull(run, nova)
    if only in (None, "seed"):
        seed(run)
        if nova is not None:
            seed_without_domain(run, nova)
    if nova is not None and run.conf.sync.write_back:
        if only in (None, "push"):
            push_asked_for(run, nova)
        elif only == "repair":
            push(run, nova, {row.uuid for row in run.catalog.repairs() if row.nova})


def _definitions(run: SyncRun, only: str | None, start: bool) -> None:
    """Bring definitions to their pins. In audit mode nothing is changed unless asked for by name."""
    conf = run.conf
    enforced = only is None and conf.hook.mode == "enforce" and conf.sync.realign
    if only == "realign" or enforced:
        align(run)
    elif only is None and conf.hook.mode != "enforce" and run.result.dry_run:
        foresee(run)
    if only == "repair" or enforced:
        repair(run, restart=only == "repair" and (start or conf.repair.start))
    if only in (None, "seed", "realign"):
        keep(run)


def _finish(run: SyncRun) -> None:
    """Forget what is gone, and say when the last whole run was."""
    _check_clock(run)
    _prune(run)
    if run.working_nova is not None:
        _prune_instances(run, run.working_nova)
    if not run.result.dry_run:
        _sweep(CLEARED)
    errors = run.result.errors
    run.catalog.set_last_sync(now(), ok=not errors, errors=for_catalog(errors))


def _check_clock(run: SyncRun) -> None:
    """Keep since when runs have followed each other as they should: a jump of the clock ages no guest."""
    moment, host = time.time(), run.catalog.host()
    begun, last = host.steady_since, host.last_sync_at
    if not (begun and last and begun <= last and now(moment - _GAP) <= last <= now(moment)):
        run.catalog.set_steady(now(moment))


def _prune(run: SyncRun) -> None:
    """Forget guests long gone, but not Nova's: only Nova knows whether they still exist."""
    for guest in run.catalog.guests():
        reason = None if guest.nova else _long_gone(run, guest)
        if reason is not None:
            _forget(run, guest.uuid, guest, reason)


def _prune_instances(run: SyncRun, nova: NovaRecords) -> None:
    """Forget the instances that live elsewhere or are deleted, where Nova says so."""
    guests = {guest.uuid: guest for guest in run.catalog.guests()}
    novas = []
    for pin in run.catalog.pins():
        guest = guests.get(pin.uuid)
        if guest.nova if guest else pin.uuid in nova.compared:
            novas.append(pin.uuid)
    seen = [guest.uuid for guest in guests.values() if guest.nova]
    with nova.guarded():
        deleted = nova.cells.deleted(nova.cell, novas, seen)
        gone = [uuid for uuid in novas if uuid not in run.domains and uuid not in nova.instances]
        places = nova.cell.whereabouts(gone)
        for uuid in gone:
            reason = _why_gone(run, places.get(uuid), guests.get(uuid))
            if uuid in deleted or reason is not None:
                _forget(run, uuid, guests.get(uuid), reason or "deleted in Nova")


def _why_gone(run: SyncRun, place: Whereabouts | None, guest: Guest | None) -> str | None:
    """Return why to forget an instance that, as far as is known, isn't deleted."""
    if place is None:
        return _long_gone(run, guest) if guest else None
    elsewhere = place.settled and not place.deleted and place.host not in (None, run.conf.host)
    return f"on {printable(place.host)} by now" if elsewhere else None


def _long_gone(run: SyncRun, guest: Guest) -> str | None:
    limit = now(time.time() - _PRUNE_AFTER)
    steady = (run.catalog.host().steady_since or limit) < limit
    gone = steady and guest.gone_since is not None and guest.gone_since < limit
    return f"not on this host since {guest.gone_since}" if gone else None


def _forget(run: SyncRun, uuid: str, guest: Guest | None, reason: str) -> None:
    """Forget a pin, unless its guest has come back or somebody changes the pin."""
    gone, pin = guest.gone_since if guest else None, run.catalog.get_pin(uuid)
    since = pin.updated_at if pin else None
    if run.catalog.forget(uuid, actor=ACTOR, reason=reason, since=since, gone_since=gone):
        name = guest.name if guest else None
        run.result.add(Act("forgotten", uuid, name, reason=reason))


def _sweep(directory: str) -> None:
    """Remove notes left by starts that the hook cleared but QEMU failed."""
    for path in glob.glob(os.path.join(glob.escape(directory), "*")):
        with contextlib.suppress(FileNotFoundError):
            # Those from the future come from a clock that was ahead.
            if not 0 <= time.time() - os.stat(path).st_mtime <= _CLEARED_FOR:
                os.unlink(path)
