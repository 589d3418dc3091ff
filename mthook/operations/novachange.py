# SPDX-License-Identifier: Apache-2.0
"""Change what Nova has recorded for an instance, and with it what this host knows.

Nova's database comes first: what it has recorded is what Nova generates domain XML from, and what
the sync of the instance's host makes the pin there. This host's own catalog and libvirt follow at
once only for an instance of this host.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from mthook.catalog.offers import Offer
from mthook.catalog.records import Compared
from mthook.errors import (
    CatalogError,
    CatalogMissing,
    Error,
    MachineTypeError,
    RequestSpecError,
)
from mthook.locks import uninterrupted
from mthook.machinetype import MachineType
from mthook.nova.image import IN_PLACE_OF_IDE
from mthook.nova.instance import Change, NovaInstance
from mthook.operations import boards, change
from mthook.operations.caution import Caution, Kind, about_age, ask_policy, may_release
from mthook.operations.change import ChangeRequest
from mthook.operations.lookup import CloudInstance
from mthook.reconcile import SOMEBODY
from mthook.text import printable


@dataclass(frozen=True)
class Plan:
    """A change that is allowed but not yet made.

    :ivar local: the change here; ``None`` where the instance is another host's.
    :ivar beside: which device buses change, in the same transaction of Nova's database.
    """

    found: CloudInstance
    request: ChangeRequest
    local: change.Plan | None
    cautions: Sequence[Caution] = ()
    beside: Sequence[Change] = ()


def plan(found: CloudInstance, request: ChangeRequest, *, with_buses: bool = False) -> Plan | None:
    """Check a change, and whether the definition can follow at once; change nothing.

    :param with_buses: change device buses that the machine type doesn't have, too.
    :return: ``None`` where Nova has that recorded already.
    """
    nova, machine = found.nova, request.machine
    if nova.machine == machine and not with_buses:
        return None
    cautions = check(found, request)
    # Within a family nothing else need be asked; asking takes further rights.
    asks = with_buses or _is_of_another_family(nova.machine, machine)
    hardware = found.cell.hardware(nova.uuid) if asks else None
    changes = boards.changes(nova, hardware, machine)
    if nova.machine == machine and not changes:
        return None
    if hardware is not None:
        cautions += boards.check(found, hardware, machine)
    planned = foresee(found, request)
    if changes and not with_buses:
        rows = ", ".join(f"{one.key} = {one.old}" for one in changes)
        cautions.append(Caution(Kind.BUSES, (rows, machine, IN_PLACE_OF_IDE)))
        changes = []
    return replace(planned, cautions=[*cautions, *planned.cautions], beside=changes)


def _is_of_another_family(old: str | None, new: str) -> bool:
    try:
        return old is None or MachineType.parse(old).family != MachineType.parse(new).family
    except MachineTypeError:
        return True


def check(found: CloudInstance, request: ChangeRequest) -> list[Caution]:
    """Check a change against policy, by what Nova says about the instance."""
    if request.accepts:
        return []
    nova = found.nova
    offer = _offer(found)
    cautions = ask_policy(
        found,
        nova.machine,
        request.machine,
        names=offer.names,
        supported=request.machine in offer.names if offer.names else None,
        state=_state(nova),
        stopped=nova.stopped,
        allowed=request.allowed,
        shut_off=_stop(nova),
        windows=nova.windows,
    )
    if not nova.stopped and nova.machine != request.machine:
        cautions.append(Caution(Kind.COLD_START, (request.machine,)))
    if not offer.names:
        cautions.append(Caution(Kind.OFFERS_UNKNOWN, (request.machine,)))
    return cautions + about_age(offer, request.machine)


def _offer(found: CloudInstance) -> Offer:
    """Return what the hosts that are known here offer for an instance: this one, if it has ever looked."""
    if isinstance(found.catalog, CatalogError):
        return Offer()
    return change.offers(found.catalog).like(found.arch)


def check_release(
    found: CloudInstance, here: str, allowed: frozenset[str], *, elsewhere: bool
) -> list[Caution]:
    """Check that an instance's machine type may be erased: it is stopped, and not on another host.

    :param elsewhere: it may be on another host, too.
    """
    host = found.nova.host
    cautions: list[Caution] = []
    if host not in (None, here):
        if not elsewhere:
            raise Error(
                f"{found}: it is on {printable(host)}, whose mthook-sync would write its pin back:"
                " unset it there (--force overrides)"
            )
        cautions.append(Caution(Kind.OTHER_HOST, (printable(host),)))
    nova = found.nova
    state, shut_off = _state(nova), _stop(nova)
    facts = {"stopped": nova.stopped, "allowed": allowed}
    return cautions + may_release(found, state=state, shut_off=shut_off, **facts)


def _state(nova: NovaInstance) -> str:
    """Return the state of an instance, in words."""
    return "in error in Nova" if nova.vm_state == "error" else f"{nova.vm_state} in Nova"


def _stop(nova: NovaInstance) -> str:
    """Return what stops an instance."""
    return f"'openstack server stop {nova.uuid}'" if nova.vm_state == "active" else "stop it"


def foresee(found: CloudInstance, request: ChangeRequest) -> Plan:
    """Find out whether an instance's definition can follow at once; else Nova makes it anew, at the next start."""
    local, problem, realignment = found.local, found.problem, None
    if local is None:
        return Plan(found, request, None)
    try:
        # Nova makes a definition anew in any case: one with snapshots needn't be touched.
        realignment = change.prepare(local, change.pin_of(local, request), snapshots=False)
    except Error as error:
        problem = str(error)
    if problem:
        unchanged = change.Plan(replace(local, host=None), request, None)
        return Plan(found, request, unchanged, [Caution(Kind.UNTIL_NOVA, (problem,))])
    return Plan(found, request, change.Plan(local, request, realignment))


def record(plan: Plan) -> tuple[Sequence[str], list[Caution]]:
    """Change an instance's machine type in Nova, then here, or nowhere.

    :return: what a change of family changed in the definition, a line each.
    :raises Error: nothing is changed; a ``NovaConflict``: somebody else has changed it.
    """
    found, request, local = plan.found, plan.request, plan.local
    nova = found.nova
    undo: list[Callable[[], object]] = [functools.partial(_put_back, plan)]
    with uninterrupted():
        row = found.cell.record(
            nova.uuid,
            request.machine,
            expect=nova.machine,
            host=nova.host if local else None,
            changes=plan.beside,
        )
        with _undone_by(undo):
            cautions = _specify(found, request.machine, undo)
            if local is not None:
                changes = change.apply(local)
        if local is None:
            noted = _note(found, request.machine, request.actor, request.reason)
            return (), [*cautions, *noted]
        compared = Compared(nova.uuid, request.machine, row, nova.rebuild)
        local.instance.catalog.set_compared(compared)
        return changes, cautions


def erase(found: CloudInstance, *, actor: str, reason: str | None) -> list[Caution]:
    """Erase an instance's machine type in Nova and release its pin here, or neither."""
    nova, local = found.nova, found.local
    undo: list[Callable[[], object]] = [functools.partial(_write_again, found)]
    with uninterrupted():
        if nova.machine is not None:
            found.cell.erase(nova.uuid, expect=nova.machine)
        with _undone_by(undo):
            cautions = _specify(found, None, undo)
            if local is not None:
                local.catalog.unset_pin(nova.uuid, actor=actor, reason=reason)
        if local is None:
            return [*cautions, *_note(found, None, actor, reason)]
        local.catalog.set_compared(Compared(nova.uuid, None, None, nova.rebuild))
        return cautions


def specify(found: CloudInstance) -> list[Caution]:
    """Bring an instance's request spec to what Nova has recorded."""
    return _specify(found, found.nova.machine, [])


def _specify(
    found: CloudInstance, machine: str | None, undo: list[Callable[[], object]]
) -> list[Caution]:
    """Write to an instance's request spec; one that isn't understood doesn't prevent the rest.

    :param undo: gets what undoes it.
    """
    cells, uuid = found.cells, found.nova.uuid
    try:
        before = cells.specify(uuid, machine, found.spec)
    except RequestSpecError as error:
        return [Caution(Kind.SPEC, (str(error),))]
    undo.append(functools.partial(cells.specify, uuid, before))
    return []


@contextlib.contextmanager
def _undone_by(undo: Sequence[Callable[[], object]]) -> Iterator[None]:
    """Where the rest fails, undo what was done in Nova's databases, last things first."""
    try:
        yield
    except Error as error:
        try:
            for step in reversed(undo):
                step()
        except Error as second:
            raise Error(f"{error}; and Nova's database keeps the change: {second}") from error
        raise Error(f"{error}: Nova's database has its old value again") from error


def _put_back(plan: Plan) -> None:
    cell, nova, machine = plan.found.cell, plan.found.nova, plan.request.machine
    back = [boards.undo(one) for one in plan.beside]
    cell.record(nova.uuid, nova.machine or machine, expect=machine, changes=back)
    if nova.machine is None:
        cell.erase(nova.uuid, expect=machine)


def _write_again(found: CloudInstance) -> None:
    if found.nova.machine is not None:
        wished = found.nova.author == SOMEBODY
        found.cell.record(found.nova.uuid, found.nova.machine, expect=None, pinned=wished)


def _note(
    found: CloudInstance, machine: str | None, actor: str, reason: str | None
) -> list[Caution]:
    """Keep in this host's catalog, if there is one, what changed for another host's instance."""
    catalog, old = found.catalog, found.nova.machine
    if machine == old:
        return []
    event = "unset" if machine is None else "changed" if old else "pinned"
    # Not raised: an error that is raised again and again collects a traceback each time.
    if isinstance(catalog, CatalogError):
        return _not_kept(catalog)
    try:
        catalog.add_history(
            found.nova.uuid,
            event,
            actor=actor,
            old=old,
            new=machine,
            source=change.SOURCE if machine else None,
            reason=reason,
        )
    except CatalogError as error:
        return _not_kept(error)
    return []


def _not_kept(error: CatalogError) -> list[Caution]:
    if isinstance(error, CatalogMissing):
        return [Caution(Kind.NO_CATALOG)]
    return [Caution(Kind.NO_HISTORY, (str(error),))]
