# SPDX-License-Identifier: Apache-2.0
"""What the fleet's record brings to a host: changes that an administrator asks for, and pins of guests that have moved.

A wish is carried out exactly once, wherever a run is killed: it names the moment at which the pin that it replaces was
changed last, and carrying it out changes that.
"""

from __future__ import annotations

from dataclasses import replace as changed
from typing import TYPE_CHECKING

from mthook.conf import has_nova
from mthook.errors import CatalogConflict, CatalogError, Error, FleetError, NotFound, Refused
from mthook.fleet import claims, wishes
from mthook.fleet.rows import Outcome, OutcomeKind
from mthook.machinetype import MachineType
from mthook.operations import change
from mthook.operations.acts import Act, Failure, LeftAlone
from mthook.operations.change import ChangeRequest
from mthook.operations.lookup import Instance, look_up
from mthook.operations.opening import opened_fleet
from mthook.operations.sync.fleet import own_key
from mthook.operations.sync.pins import observe, record, replace
from mthook.policy import ALL
from mthook.text import is_time, latest, printable

if TYPE_CHECKING:
    from mthook.fleet.claims import Claim
    from mthook.fleet.connection import Record
    from mthook.fleet.rows import Wish
    from mthook.host.domains import Domain
    from mthook.operations.sync.run import SyncRun

#: Where a pin that another host had comes from.
_SOURCE = "fleet"


def heed(run: SyncRun, only: str | None) -> None:
    """See to the wishes for this host's guests, and give those that came from elsewhere their pins.

    A record that fails is reported; the run goes on without it.
    """
    try:
        with opened_fleet(run.conf) as opened:
            if only is None:
                _see_to_wishes(run, opened)
            _take_pins(run, opened)
    except FleetError as error:
        run.result.add(Failure(error))


def _see_to_wishes(run: SyncRun, opened: Record) -> None:
    for wish in wishes.pending(opened, own_key(run.conf)):
        outcome = _see_to(run, wish)
        if outcome is not None:
            run.result.outcomes.append(outcome)


def _see_to(run: SyncRun, wish: Wish) -> Outcome | None:
    """Carry out one wish and return what became of it; None: nothing yet, the next run sees to it."""
    name = None
    try:
        instance = look_up(wish.uuid, run.catalog, run.host)
        name = instance.names[0]
        if instance.domain is None:
            return Outcome(wish.token, "gone")
        return _carry_out(run, instance, wish)
    except NotFound:
        return Outcome(wish.token, "gone")
    except CatalogConflict:
        return None
    except CatalogError:
        raise
    except Error as error:
        if not run.host.is_alive():
            raise
        run.result.add(LeftAlone(wish.uuid, name or wish.uuid, "wish_refused", str(error)))
        kind: OutcomeKind = "refused" if isinstance(error, Refused) else "failed"
        return Outcome(wish.token, kind, str(error))


def _carry_out(run: SyncRun, instance: Instance, wish: Wish) -> Outcome:
    request = _request(instance, wish)
    pin, wanted = instance.pin, request.machine if request else None
    since = pin.updated_at if pin else None
    done = pin is not None and (pin.machine, pin.actor) == (wanted, wish.actor)
    if since != wish.expected_at and not done:
        found = printable(instance.machine or "none")
        detail = f"the pin was changed on its host meanwhile: it is {found}"
        return Outcome(wish.token, "overtaken", detail)
    if request is None:
        _release(run, instance, wish)
    else:
        _change(run, instance, request)
    return Outcome(wish.token, "done")


def _request(instance: Instance, wish: Wish) -> ChangeRequest | None:
    """Return what a wish asks for; None: the pin is to be released."""
    if wish.kind == "unset":
        return None
    if wish.kind == "accept":
        return change.accepted(instance, wish.actor, wish.reason)
    return ChangeRequest(wish.pin or "", wish.actor, _allowed(wish), wish.reason)


def _allowed(wish: Wish) -> frozenset[str]:
    return ALL.intersection((wish.allowed or "").split(","))


def _release(run: SyncRun, instance: Instance, wish: Wish) -> None:
    if instance.machine is None:
        return
    change.check_release(instance, _allowed(wish))
    if not run.result.dry_run:
        change.release(instance, actor=wish.actor, reason=wish.reason)
    why = wish.reason or f"asked for by {printable(wish.actor)}"
    run.result.add(Act("released", instance.uuid, instance.names[0], instance.machine, reason=why))


def _change(run: SyncRun, instance: Instance, request: ChangeRequest) -> None:
    followed = instance if run.conf.sync.realign else changed(instance, host=None)
    plan = change.plan(followed, request)
    if plan is None:
        return
    changes = () if run.result.dry_run else tuple(change.apply(plan))
    run.touched = not run.result.dry_run
    old, new, name = instance.machine, request.machine, instance.names[0]
    act = Act("pinned", instance.uuid, name, old, new, change.SOURCE, request.reason, changes)
    run.result.add(act)


def _take_pins(run: SyncRun, opened: Record) -> None:
    """Give guests without a pin, and those that have come back, the ones that they had on other hosts last."""
    gone = {guest.uuid for guest in run.catalog.guests() if guest.gone_since is not None}
    come = {
        uuid: domain
        for uuid, domain in run.domains.items()
        if (uuid in gone or run.catalog.get_pin(uuid) is None) and not _is_novas(run, domain)
    }
    taken = set()
    key = own_key(run.conf)
    known = opened.transact(lambda connection: claims.others(connection, key, come)) if come else []
    for claim in known:
        if claim.pin is not None and claim.uuid not in taken:
            taken.add(claim.uuid)  # the first is the latest
            with run.isolated(come[claim.uuid]):
                _take(run, come[claim.uuid], claim)


def _is_novas(run: SyncRun, domain: Domain) -> bool:
    return has_nova(run.conf) and domain.summary is not None and domain.summary.nova


def _take(run: SyncRun, domain: Domain, claim: Claim) -> None:
    machine, since, pin = claim.pin or "", claim.pinned_at or "", run.catalog.get_pin(domain.uuid)
    seen = claim.seen
    for name in filter(None, (machine, seen)):
        MachineType.parse(name)  # another host has written it: it may be anything
    if not is_time(since) or since > latest():
        since = ""
    if pin is None:
        evidence = observe(domain)
        record(run, domain, machine, _SOURCE, evidence, seen, since or None)
    elif pin.updated_at < since and pin.machine != machine:
        reason = f"as it was on {printable(claim.host)}"
        replace(run, domain, pin, machine, _SOURCE, reason, seen, at=since)
