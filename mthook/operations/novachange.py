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
from dataclasses import replace
from typing import TYPE_CHECKING

from mthook import machinetype, policy
from mthook.catalog.records import Compared
from mthook.errors import CatalogError, CatalogMissing, Error, MachineTypeError, Refused
from mthook.locks import uninterrupted
from mthook.nova.instance import NovaInstance, PropertyChange
from mthook.operations import change
from mthook.policy import Refusal
from mthook.text import printable
from mthook.tools.admin.nova import Here, Recorded

if TYPE_CHECKING:
    from mthook.host.connection import Host
    from mthook.host.realign import Realignment

#: The board that has IDE, and what takes its place on the others.
_IDE_FAMILY, _IDE, _IN_PLACE_OF_IDE = "i440fx", "ide", "sata"


def check(recorded: Recorded, wish: change.Wish) -> list[str]:
    """Check a change against policy, by what Nova says of the instance.

    :return: warnings.
    :raises Refused: see :func:`mthook.policy.may_update`.
    """
    nova, here, arch = recorded.nova, recorded.here, recorded.arch
    names = change.offers(here.catalog).like(arch).names if here else []
    try:
        warnings = policy.may_update(
            nova.machine,
            wish.machine,
            stopped=nova.stopped,
            # Elsewhere other machine types may be supported than here.
            supported=wish.machine in names if names else machinetype.is_known(wish.machine),
            force=wish.force,
            windows=nova.windows,
            nearest=change.nearest(wish.machine, names),
        )
    except MachineTypeError as error:
        raise Refused(str(error), Refusal.UNSUPPORTED) from error
    except Refused as error:
        raise _named(recorded, error) from error
    if not nova.stopped and nova.machine != wish.machine:
        warnings.append(
            f"a cold start (hard reboot, stop and start, cold migration) makes it {wish.machine}"
        )
    if nova.vm_state.startswith("shelved"):
        warnings.append(
            "unless its root is on a volume, unshelving takes the machine type of its shelved image:"
            " give that the property hw_machine_type as well"
        )
    return warnings + (change.about_age(here.catalog, arch, wish.machine) if here else [])


def check_release(recorded: Recorded, here: str, *, force: bool) -> list[str]:
    """Check that an instance's machine type may be erased.

    :param here: this host's name.
    :return: warnings.
    :raises Refused: it isn't stopped.
    :raises Error: another host has it.
    """
    host = recorded.nova.host
    warnings: list[str] = []
    if host not in (None, here):
        what = f"it is on {printable(host)}, whose mthook-sync would write its pin back"
        if not force:
            raise Error(f"{recorded}: {what}: unset it there (--force overrides)")
        warnings.append(what)
    try:
        # Only the state counts, whatever the name.
        return warnings + policy.may_update(
            None, "pc", stopped=recorded.nova.stopped, supported=True, force=force
        )
    except Refused as error:
        raise _named(recorded, error) from error


def _named(recorded: Recorded, error: Refused) -> Refused:
    state = f"{printable(recorded.nova.vm_state)}: " if error.reason == Refusal.RUNNING else ""
    return Refused(f"{recorded}: {state}{error}", error.reason)


def buses(instance: NovaInstance, machine: str) -> list[PropertyChange]:
    """Return what must change of the device buses that Nova keeps beside an instance's machine type.

    No board but the i440fx has IDE; Nova would still ask for it, and every start would fail.

    :param machine: the machine type to be.
    """
    if machinetype.MachineType.parse(machine).family == _IDE_FAMILY:
        return []
    found = sorted(key for key, value in instance.buses.items() if value == _IDE)
    return [PropertyChange(key, _IDE, _IN_PLACE_OF_IDE) for key in found]


def about(changes: Sequence[PropertyChange], machine: str) -> list[str]:
    """Return a warning if device buses must change, and aren't going to."""
    if not changes:
        return []
    rows = ", ".join(f"{one.key} = {one.old}" for one in changes)
    return [
        f"{rows}: {machine} has no IDE, so every later start fails; --with-buses makes"
        f" {_IN_PLACE_OF_IDE} of it"
    ]


def foresee(
    here: Here | None, wish: change.Wish
) -> tuple[Host | None, Realignment | None, list[str]]:
    """Find out whether an instance's definition can follow at once; else Nova makes it anew, at the next start.

    :return: libvirt, or ``None`` where the definition is to stay as it is; what is to become of it; and
        warnings.
    """
    problem = here.problem if here else ""
    if here is not None and here.host is not None and here.instance.domain is not None:
        from mthook.host import realign

        pin, offers = change.pin_of(here.instance, wish), change.offers(here.catalog)
        try:
            return here.host, realign.prepare(here.host, pin, offers, here.catalog), []
        except Error as error:
            problem = str(error)
    stays = f"{problem}: the definition stays until Nova makes it anew"
    return None, None, [stays] if problem else []


def record(
    recorded: Recorded,
    wish: change.Wish,
    changes: Sequence[PropertyChange],
    host: Host | None,
    realignment: Realignment | None,
    warn: Callable[[str], None],
) -> Sequence[str]:
    """Change an instance's machine type in Nova, then here, or nowhere.

    :param changes: of device buses, in the same transaction of Nova's database.
    :param host: libvirt; ``None``: the definition stays as it is.
    :param realignment: of the definition, as :func:`foresee` returned it.
    :return: what a change of family changed in the definition, a line each.
    :raises NovaConflict: somebody else has changed it.
    :raises Error: nothing is changed.
    """
    nova, here = recorded.nova, recorded.here
    where = nova.host if here else None
    with uninterrupted():
        row = recorded.cell.record(
            nova.uuid, wish.machine, expect=nova.machine, host=where, changes=changes
        )
        if here is None:
            _note(recorded, wish.machine, wish.actor, wish.reason, warn)
            return ()
        with _undone_by(functools.partial(_put_back, recorded, wish.machine, changes)):
            report = change.apply(here.catalog, host, here.instance, wish, realignment)
        here.catalog.set_compared(Compared(nova.uuid, wish.machine, row, nova.rebuild))
        return report


def erase(recorded: Recorded, actor: str, reason: str | None, warn: Callable[[str], None]) -> None:
    """Erase an instance's machine type in Nova and release its pin here, or neither.

    :raises NovaConflict: somebody else has changed it.
    :raises Error: nothing is changed.
    """
    nova, here = recorded.nova, recorded.here
    with uninterrupted():
        if nova.machine is not None:
            recorded.cell.erase(nova.uuid, expect=nova.machine)
        if here is None:
            _note(recorded, None, actor, reason, warn)
            return
        with _undone_by(functools.partial(_write_again, recorded)):
            here.catalog.unset_pin(nova.uuid, actor=actor, reason=reason)
        here.catalog.set_compared(Compared(nova.uuid, None, None, nova.rebuild))


@contextlib.contextmanager
def _undone_by(undo: Callable[[], None]) -> Iterator[None]:
    """Undo what was done in Nova's database where the block, this host's part of it, fails."""
    try:
        yield
    except Error as error:
        try:
            undo()
        except Error as second:
            raise Error(f"{error}; and Nova's database keeps the change: {second}") from error
        raise Error(f"{error}: Nova's database has its old value again") from error


def _put_back(recorded: Recorded, machine: str, changes: Sequence[PropertyChange]) -> None:
    nova = recorded.nova
    back = [replace(one, old=one.new, new=one.old) for one in changes if one.old is not None]
    recorded.cell.record(nova.uuid, nova.machine or machine, expect=machine, changes=back)
    if nova.machine is None:
        recorded.cell.erase(nova.uuid, expect=machine)


def _write_again(recorded: Recorded) -> None:
    if recorded.nova.machine is not None:
        recorded.cell.record(recorded.nova.uuid, recorded.nova.machine, expect=None)


def _note(
    recorded: Recorded,
    machine: str | None,
    actor: str,
    reason: str | None,
    warn: Callable[[str], None],
) -> None:
    """Keep in this host's catalog, if there is one, what was changed of another host's instance."""
    catalog, old = recorded.catalog, recorded.nova.machine
    if machine == old:
        return
    event = "unset" if machine is None else "changed" if old else "pinned"
    try:
        if isinstance(catalog, CatalogError):
            raise catalog
        catalog.add_history(
            recorded.nova.uuid,
            event,
            actor=actor,
            old=old,
            new=machine,
            source=change.SOURCE,
            reason=reason,
        )
    except CatalogMissing:
        warn("history isn't kept: there is no catalog here")
    except CatalogError as error:
        warn(f"history isn't kept: {error}")
