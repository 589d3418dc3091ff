# SPDX-License-Identifier: Apache-2.0
"""What mode enforce would do about definitions that don't match their pins; nothing is changed."""

from __future__ import annotations

import contextlib

from mthook.catalog.records import Pin
from mthook.errors import ConversionError, NotFound, Refused
from mthook.host import realign
from mthook.host.domains import Domain
from mthook.operations.acts import Foreseen
from mthook.operations.sync.run import SyncRun
from mthook.xmlrewrite.summary import Summary


def foresee(run: SyncRun) -> None:
    """Work out what would become of every definition that isn't what its pin says."""
    for domain in run.domains.values():
        with run.isolated(domain), contextlib.suppress(NotFound):
            pin, defined = run.catalog.get_pin(domain.uuid), domain.defined
            if pin is None or defined is None or not run.is_ours(domain):
                continue
            if not realign.is_aligned(pin, defined, run.offers.of(defined)):
                _foresee(run, domain, pin, defined)


def _foresee(run: SyncRun, domain: Domain, pin: Pin, defined: Summary) -> None:
    who = (domain.uuid, domain.name, defined.machine, pin.machine)
    change, reason = _change(run, domain, pin)
    if change is not None:
        changes = tuple(change.changes) if change.converted else ()
        run.result.add(Foreseen("realign", *who, changes=changes))
    elif reason is not None and _would_be_stopped(run, domain, defined):
        run.result.add(Foreseen("stop", *who, reason=reason))


def _change(
    run: SyncRun, domain: Domain, pin: Pin
) -> tuple[realign.Realignment | None, str | None]:
    """Return what realigning a definition means, or why it wouldn't be done."""
    if not run.conf.sync.realign:
        return None, "[sync] realign = false"
    try:
        return realign.prepare(run.host, pin, run.offers, run.catalog), None
    except (ConversionError, Refused) as error:
        return None, str(error).removeprefix(f"{domain}: ")


def _would_be_stopped(run: SyncRun, domain: Domain, defined: Summary) -> bool:
    """Tell whether the hook would stop the next start.

    Restoring a saved image isn't one, and Nova makes a new definition at each start, right where it knows the pin.
    """
    if domain.managed_save:
        return False
    return not defined.nova or (run.nova is None and run.conf.hook.nova_stop == "stop")
