# SPDX-License-Identifier: Apache-2.0
"""What would become of each guest at its next start, restore, revert and migration, and the cure."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from mthook import machinetype, policy, releases
from mthook.errors import MachineTypeError, Refused
from mthook.machinetype import MachineType
from mthook.operations.forecast.guests import Guest, Refusal
from mthook.operations.forecast.prospects import Prospect

WORKS, UNKNOWN, CHANGES, FAILS = "works", "unknown", "changes", "fails"
#: From best to worst.
_OUTCOMES = (WORKS, UNKNOWN, CHANGES, FAILS)
START, RESTORE, REVERT, MIGRATION = "start", "restore", "revert", "migration"


@dataclass(frozen=True)
class Event:
    """What would happen to a guest.

    :ivar kind: ``start``, ``restore`` (of the managed-save image), ``revert`` (to a snapshot) or ``migration``.
    :ivar machine: the machine type that would be requested for it; None: unknown.
    :ivar outcome: ``works``, ``changes`` (the guest's hardware), ``fails`` or ``unknown``.
    :ivar becomes: what the guest would run as, where that changes.
    :ivar snapshot: the one reverted to.
    :ivar refusal: why it fails although QEMU has the machine type.
    """

    kind: str
    machine: str | None
    outcome: str
    becomes: str | None = None
    snapshot: str | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Cure:
    """A command that mends something; tools/ has the words.

    :ivar kind: ``set``, ``resume``, ``shut_down``, ``delete_snapshot``, ``freeze``, ``pin``, ``record``, ``specify`` or
        ``edit``.
    :ivar what: the machine type to set, or the snapshot.
    :ivar allowances: what ``set`` has to be allowed.
    """

    kind: str
    what: str | None = None
    allowances: Sequence[str] = ()


@dataclass(frozen=True)
class Outlook:
    """One guest's future.

    :ivar events: at most one of each kind, and of reverts one for each snapshot.
    :ivar end: the first release of upstream QEMU that lacks one of its machine types.
    """

    guest: Guest
    events: Sequence[Event]
    cures: Sequence[Cure]
    end: releases.Release | None

    @property
    def outcome(self) -> str:
        """The worst of its outcomes."""
        return max((event.outcome for event in self.events), key=_OUTCOMES.index, default=UNKNOWN)

    @property
    def breaks(self) -> bool:
        """Whether something fails, or changes the guest's hardware."""
        return self.outcome in (CHANGES, FAILS)

    def worst(self, kind: str) -> Event | None:
        """Return the event of a kind that comes out worst; None: nothing of the kind can happen."""
        found = [event for event in self.events if event.kind == kind]
        return max(found, key=lambda one: _OUTCOMES.index(one.outcome), default=None)


def forecast(guests: Iterable[Guest], prospect: Prospect) -> Iterator[Outlook]:
    """Yield what would become of guests, wherever they are from."""
    for guest in guests:
        events = [*_events(guest, prospect)]
        yield Outlook(guest, events, [*_cures(guest, events, prospect)], _end(guest))


def _events(guest: Guest, prospect: Prospect) -> Iterator[Event]:
    if guest.problem is not None:
        yield Event(START, None, UNKNOWN)
        return
    yield _start(guest, prospect)
    if guest.saved:
        yield _event(RESTORE, guest, guest.saved, prospect)
    for snapshot, machines in guest.snapshots.items():
        for machine in machines:
            yield _event(REVERT, guest, machine, prospect, snapshot)
    migrations: list[str | None] = [guest.running] if guest.running else []
    if guest.has_spec:
        # A cold migration and a resize take the request spec's word (nova/conductor/tasks/migrate.py).
        migrations.append(guest.spec or prospect.default(guest.arch))
    for asked in dict.fromkeys(migrations):
        yield _event(MIGRATION, guest, asked, prospect)


def _start(guest: Guest, prospect: Prospect) -> Event:
    event = _event(START, guest, _at_start(guest, prospect), prospect)
    refusal, libvirt = guest.refusal, prospect.qemu.libvirt
    if event.outcome == FAILS or refusal is None or libvirt is None or libvirt < refusal.since:
        return event
    return replace(event, outcome=FAILS, becomes=None, refusal=refusal)


def _at_start(guest: Guest, prospect: Prospect) -> str | None:
    """Return what the next cold start asks for."""
    if guest.pin and prospect.enforcing:
        return guest.pin
    if guest.in_nova:  # Nova defines it anew at each start
        return guest.recorded or prospect.default(guest.arch)
    if guest.nova and guest.pin is None and prospect.new_defaults:
        return None  # only its database tells whether it gets the default
    return guest.defined or guest.running or guest.pin


def _event(
    kind: str, guest: Guest, machine: str | None, prospect: Prospect, snapshot: str | None = None
) -> Event:
    if machine is None:
        return Event(kind, None, UNKNOWN, None, snapshot)
    found, becomes = prospect.qemu.answer(guest, machine)
    if found is None:
        return Event(kind, machine, UNKNOWN, None, snapshot)
    if not found:
        return Event(kind, machine, FAILS, None, snapshot)
    if _changes(guest, machine, becomes, prospect):
        return Event(kind, machine, CHANGES, becomes, snapshot)
    return Event(kind, machine, WORKS, None, snapshot)


def _changes(guest: Guest, machine: str, becomes: str, prospect: Prospect) -> bool:
    """Tell whether a guest requested by an alias or a default would get hardware other than it has."""
    before = guest.running or guest.seen or guest.defined
    if before is None or before == becomes:
        return False
    return machine != becomes or machine == prospect.new_defaults.get(guest.arch)


def _end(guest: Guest) -> releases.Release | None:
    ends = [_end_of(machine) for machine in guest.machines]
    return min((one for one in ends if one is not None), default=None)


def _end_of(machine: str) -> releases.Release | None:
    try:
        return releases.end(MachineType.parse(machine))
    except MachineTypeError:
        return None


def _cures(guest: Guest, events: Sequence[Event], prospect: Prospect) -> Iterator[Cure]:
    """Yield what has to be done before the change, in that order."""
    failing = {event.kind: event for event in events if event.outcome == FAILS}
    if RESTORE in failing:
        yield Cure("resume")
        yield Cure("shut_down")
    for snapshot in dict.fromkeys(
        e.snapshot for e in events if e.kind == REVERT and e.outcome == FAILS
    ):
        yield Cure("delete_snapshot", snapshot)
    if START in failing and failing[START].refusal:
        yield Cure("edit")
        del failing[START]
    cold = failing.get(START) or failing.get(MIGRATION)
    if cold is not None and cold.machine:
        yield from _replacement(guest, cold.machine, prospect)
    changing = {event.kind: event for event in events if event.outcome == CHANGES}
    if START in changing:
        yield _hold(guest, changing[START])
    if MIGRATION in changing and guest.has_spec:
        yield Cure("specify")


def _hold(guest: Guest, event: Event) -> Cure:
    """Return what makes a guest keep the hardware that it has."""
    if guest.pin is None:
        return Cure("pin")
    # Its pin is an alias; or Nova lacks its pin, and has its default.
    return Cure("freeze" if event.machine == guest.pin else "record")


def _replacement(guest: Guest, machine: str, prospect: Prospect) -> Iterator[Cure]:
    """Yield the change to a machine type that is there before and after, a newer one if there is one.

    That is the nearest that won't be deprecated; else the newest, which lasts longest.
    """
    old = MachineType.parse(machine)
    common = [MachineType.parse(name) for name in _common(guest, prospect)]
    newer = [one for one in common if one.is_versioned and (machinetype.compare(one, old) or 0) > 0]
    lasting = [one for one in newer if not prospect.qemu.deprecates(guest, one.name)]
    found = sorted(lasting or newer, key=functools.cmp_to_key(_by_age))
    names = [one.name for one in (found if lasting else found[::-1])]
    names = names or machinetype.nearest(machine, [one.name for one in common])
    if names:
        yield Cure("set", names[0], tuple(_allowances(guest, names[0])))


def _common(guest: Guest, prospect: Prospect) -> Iterator[str]:
    """Yield the machine types, no aliases, that a guest could have before and after the change."""
    names = prospect.qemu.names(guest)
    for name in names if names is not None else prospect.current.names(guest) or []:
        if all(q.answer(guest, name) == (True, name) for q in (prospect.qemu, prospect.current)):
            yield name


def _by_age(a: MachineType, b: MachineType) -> int:
    return machinetype.compare(a, b) or 0


def _allowances(guest: Guest, machine: str) -> list[str]:
    """Return what ``set`` has to be allowed, in the words of its option."""
    words: list[str] = []
    allowed: set[str] = set()
    while True:
        try:
            policy.may_update(
                guest.pin,
                machine,
                stopped=not guest.active,
                supported=True,
                allowed=allowed,
                windows=guest.windows,
            )
            return words
        except Refused as error:
            word = policy.allowance(error.reason)
            assert word is not None
            words.append(word)
            allowed.update(policy.ALLOWANCES[word])
