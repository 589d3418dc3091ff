# SPDX-License-Identifier: Apache-2.0
"""What each action of a plan does to one guest: checked beforehand, by the very operations that do it one by one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mthook.errors import ConversionError, Error, Refused
from mthook.locks import uninterrupted
from mthook.machinetype import MachineType
from mthook.nova.instance import Change
from mthook.operations import change, freeze, novachange, shelved_image
from mthook.operations.caution import Caution, Kind
from mthook.operations.change import ChangeRequest
from mthook.operations.lookup import CloudInstance, Instance
from mthook.operations.plans.document import Task
from mthook.operations.plans.subjects import Site, Subject
from mthook.policy import ALL, Refusal

Cautions = Sequence[Caution]


@dataclass(frozen=True)
class Prospect:
    """What would be done to a guest.

    :ivar act: does it.
    :ivar beside: which of Nova's device buses change with it.
    """

    old: str | None
    new: str | None
    why: str
    cautions: Cautions
    act: Callable[[], Cautions]
    beside: Sequence[Change] = ()


def foresee(site: Site, subject: Subject, task: Task, actor: str) -> Prospect | None:
    """Check what a plan does to a guest; ``None``: there is nothing to do.

    :raises Error: it can't be done, or a rule forbids it.
    """
    return _ACTIONS[task.action](site, subject, task, actor)


def finish(
    site: Site, subject: Subject, task: Task, actor: str, new: str | None
) -> Prospect | None:
    """Check what is left to do to a guest after a process was killed in the middle of it.

    :param new: the machine type that it was to have.
    """
    if task.action == "realign" or new is None:
        return foresee(site, subject, task, actor)
    seen = new if task.action != "set" and MachineType.parse(new).is_versioned else None
    request = ChangeRequest(new, actor, ALL, task.reason, seen=seen, accepts=True)
    return _change(subject, request, "asked", with_buses=task.with_buses)


def _set(site: Site, subject: Subject, task: Task, actor: str) -> Prospect | None:
    nova = subject.cloud.nova if subject.cloud else None
    request = ChangeRequest(
        task.machine or "",
        actor,
        frozenset(task.allowed),
        task.reason,
        arch=nova.arch if nova else None,
    )
    return _change(subject, request, "asked", with_buses=task.with_buses)


def _change(
    subject: Subject, request: ChangeRequest, why: str, *, with_buses: bool = False
) -> Prospect | None:
    old, new = subject.machine, request.machine
    if subject.cloud is None:
        assert subject.local is not None
        here = change.plan(subject.local, request)
        if here is None:
            return None
        return Prospect(old, new, why, here.cautions, functools.partial(_apply, here))
    plan = novachange.plan(subject.cloud, request, with_buses=with_buses)
    if plan is None:
        return _complete(subject, request, why)
    cautions = [*plan.cautions, *about_image(subject.cloud, new)]
    return Prospect(old, new, why, cautions, lambda: novachange.record(plan)[1], beside=plan.beside)


def _complete(subject: Subject, request: ChangeRequest, why: str) -> Prospect | None:
    """Bring the rest of an instance to what Nova has recorded: request spec, pin, definition."""
    cloud, local = subject.cloud, subject.local
    assert cloud is not None
    disagrees = subject.spec is not None and subject.specified != request.machine
    accepts = replace(request, accepts=True)
    # Nothing is to be told here about a pin that only the next sync knows to be Nova's.
    here = change.plan(local, accepts) if local and (local.pin or local.domain) else None
    if not disagrees and here is None:
        return None

    def act() -> Cautions:
        with uninterrupted():
            if here is not None:
                change.apply(here)
            return novachange.specify(cloud)

    return Prospect(request.machine, request.machine, why, here.cautions if here else (), act)


def _apply(plan: change.Plan) -> Cautions:
    change.apply(plan)
    return ()


def about_image(found: CloudInstance, machine: str) -> Cautions:
    """Return a caution if an instance gets its machine type from a shelved image, which a plan leaves alone."""
    image = shelved_image.image_of(found.nova)
    if image is None:
        return ()
    command = shelved_image.command(image, shelved_image.properties(found.nova, machine))
    return (Caution(Kind.SHELVED, (command,)),)


def _accept(site: Site, subject: Subject, task: Task, actor: str) -> Prospect | None:
    local = _here(site, subject)
    request = change.accepted(local, actor, task.reason)
    why = "running" if local.domain and local.domain.running else "defined"
    return _change(subject, request, why)


def _freeze(site: Site, subject: Subject, task: Task, actor: str) -> Prospect | None:
    local = _here(site, subject)
    old = local.machine
    if old is None or MachineType.parse(old).is_versioned or freeze.has_no_versions(local, old):
        return None
    run = functools.partial(freeze.freeze, local, subject.cloud, site.here, actor)
    new, cautions = run(dry_run=True)
    return Prospect(old, new, "alias", cautions, lambda: run()[1])


def _unset(site: Site, subject: Subject, task: Task, actor: str) -> Prospect | None:
    allowed, cloud, local = frozenset(task.allowed), subject.cloud, subject.local
    old = subject.machine or (local.machine if local else None)
    if old is None:
        return None
    if cloud is not None:
        found = cloud
        cautions = novachange.check_release(found, site.here, allowed, elsewhere=task.elsewhere)
        erase = functools.partial(novachange.erase, found, actor=actor, reason=task.reason)
        return Prospect(old, None, "asked", cautions, erase)
    assert local is not None
    cautions = change.check_release(local, allowed)
    return Prospect(old, None, "asked", cautions, lambda: _release(local, actor, task.reason))


def _release(local: Instance, actor: str, reason: str | None) -> Cautions:
    change.release(local, actor=actor, reason=reason)
    return ()


def _realign(site: Site, subject: Subject, task: Task, actor: str) -> Prospect | None:
    local = _here(site, subject)
    pin = local.pin
    if pin is None or pin.machine is None:
        return None
    try:
        planned = change.prepare(local, pin, snapshots=Refusal.SAVED in task.allowed)
    except ConversionError as error:
        raise Refused(f"{local}: {error}", Refusal.UNCONVERTIBLE) from error
    if planned is None:
        return None

    def act() -> Cautions:
        with uninterrupted():
            change.realign(local, pin, planned, actor)
        return ()

    return Prospect(planned.old, planned.new, "drift", (), act)


def _here(site: Site, subject: Subject) -> Instance:
    """Return a guest as this host knows it, which alone tells what it runs."""
    if subject.local is None:
        raise Error(f"{subject.cloud}: it isn't on this host, which is {site.here}")
    return subject.local


_ACTIONS: dict[str, Callable[[Site, Subject, Task, str], Prospect | None]] = {
    "set": _set,
    "accept": _accept,
    "freeze": _freeze,
    "unset": _unset,
    "realign": _realign,
}
