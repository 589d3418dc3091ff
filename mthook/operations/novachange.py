# SPDX-License-Identifier: Apache-2.0
"""Change what Nova has recorded for an instance, and what this host knows of it with that.

Nova's database comes first: what it has recorded is what Nova generates domain XML from, and what
the sync of the instance's host makes the pin there. This host's own catalog and libvirt follow at
once only for an instance of this host.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from mthook import machinetype
from mthook.catalog.offers import Offer
from mthook.catalog.records import Compared
from mthook.errors import CatalogError, CatalogMissing, Error, RequestSpecError
from mthook.locks import uninterrupted
from mthook.nova.instance import NovaInstance, PropertyChange
from mthook.operations import change
from mthook.operations.caution import Caution, Kind, about_age, ask_policy, may_release
from mthook.operations.change import ChangeRequest
from mthook.operations.lookup import CloudInstance
from mthook.text import printable

#: The board that has IDE, and what takes its place on the others.
_IDE_FAMILY, _IDE, _IN_PLACE_OF_IDE = "i440fx", "ide", "sata"


@dataclass(frozen=True)
class Plan:
    """A change that may be made, and isn't yet.

    :ivar local: the change here; ``None`` where the instance is another host's.
    :ivar buses: what changes of device buses, in the same transaction of Nova's database.
    """

    found: CloudInstance
    request: ChangeRequest
    local: change.Plan | None
    cautions: Sequence[Caution] = ()
    buses: Sequence[PropertyChange] = ()


def plan(found: CloudInstance, request: ChangeRequest, *, with_buses: bool = False) -> Plan | None:
    """Check a change, and whether the definition can follow at once; change nothing.

    :param with_buses: change device buses that the machine type doesn't have, too.
    :return: ``None`` where Nova has that recorded already.
    """
    nova, machine = found.nova, request.machine
    if nova.machine == machine and not (with_buses and buses(nova, machine)):
        return None
    cautions = check(found, request)
    changes = buses(nova, machine)
    planned = foresee(found, request)
    if changes and not with_buses:
        rows = ", ".join(f"{one.key} = {one.old}" for one in changes)
        cautions.append(Caution(Kind.BUSES, (rows, machine, _IN_PLACE_OF_IDE)))
        changes = []
    return replace(planned, cautions=[*cautions, *planned.cautions], buses=changes)


def check(found: CloudInstance, request: ChangeRequest) -> list[Caution]:
    """Check a change against policy, by what Nova says of the instance."""
    nova, local = found.nova, found.local
    offer = change.offers(local.catalog).like(found.arch) if local else Offer()
    cautions = ask_policy(
        found,
        nova.machine,
        request.machine,
        names=offer.names,
        # Elsewhere other machine types may be supported than here.
        supported=request.machine in offer.names if offer.names else None,
        state=nova.vm_state,
        stopped=nova.stopped,
        force=request.force,
        windows=nova.windows,
    )
    if not nova.stopped and nova.machine != request.machine:
        cautions.append(Caution(Kind.COLD_START, (request.machine,)))
    if nova.vm_state.startswith("shelved"):
        cautions.append(Caution(Kind.SHELVED))
    return cautions + about_age(offer, request.machine)


def check_release(found: CloudInstance, here: str, *, force: bool) -> list[Caution]:
    """Check that an instance's machine type may be erased: it is stopped, and not on another host than this."""
    host = found.nova.host
    cautions: list[Caution] = []
    if host not in (None, here):
        if not force:
            raise Error(
                f"{found}: it is on {printable(host)}, whose mthook-sync would write its pin back:"
                " unset it there (--force overrides)"
            )
        cautions.append(Caution(Kind.OTHER_HOST, (printable(host),)))
    nova = found.nova
    return cautions + may_release(found, state=nova.vm_state, stopped=nova.stopped, force=force)


def buses(instance: NovaInstance, machine: str) -> list[PropertyChange]:
    """Return what must change of the device buses that Nova keeps beside an instance's machine type.

    No board but the i440fx has IDE; Nova would still ask for it, and every start would fail.
    """
    if machinetype.MachineType.parse(machine).family == _IDE_FAMILY:
        return []
    found = sorted(key for key, value in instance.buses.items() if value == _IDE)
    return [PropertyChange(key, _IDE, _IN_PLACE_OF_IDE) for key in found]


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
            changes=plan.buses,
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
    """Write to an instance's request spec; one that isn't understood needn't keep anybody from the rest.

    :param undo: gets what undoes it.
    """
    cells, uuid = found.cells, found.nova.uuid
    try:
        before = cells.specify(uuid, machine)
    except RequestSpecError as error:
        return [Caution(Kind.SPEC, (str(error),))]
    undo.append(functools.partial(cells.specify, uuid, before))
    return []


@contextlib.contextmanager
def _undone_by(undo: Sequence[Callable[[], object]]) -> Iterator[None]:
    """Undo what was done in Nova's databases, last things first, where the rest of it fails."""
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
    back = [replace(one, old=one.new, new=one.old) for one in plan.buses if one.old is not None]
    cell.record(nova.uuid, nova.machine or machine, expect=machine, changes=back)
    if nova.machine is None:
        cell.erase(nova.uuid, expect=machine)


def _write_again(found: CloudInstance) -> None:
    if found.nova.machine is not None:
        found.cell.record(found.nova.uuid, found.nova.machine, expect=None)


def _note(
    found: CloudInstance, machine: str | None, actor: str, reason: str | None
) -> list[Caution]:
    """Keep in this host's catalog, if there is one, what was changed of another host's instance."""
    catalog, old = found.catalog, found.nova.machine
    if machine == old:
        return []
    event = "unset" if machine is None else "changed" if old else "pinned"
    try:
        if isinstance(catalog, CatalogError):
            raise catalog
        catalog.add_history(
            found.nova.uuid,
            event,
            actor=actor,
            old=old,
            new=machine,
            source=change.SOURCE,
            reason=reason,
        )
    except CatalogMissing:
        return [Caution(Kind.NO_CATALOG)]
    except CatalogError as error:
        return [Caution(Kind.NO_HISTORY, (str(error),))]
    return []
