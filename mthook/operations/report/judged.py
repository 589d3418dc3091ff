# SPDX-License-Identifier: Apache-2.0
"""What follows from the figures of hosts: who is protected, what ends when, what to do next. Pure.

Times are text as :func:`mthook.text.now` makes it.
"""

from __future__ import annotations

import calendar
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mthook import releases
from mthook.errors import MachineTypeError
from mthook.machinetype import MachineType
from mthook.operations.report.aggregates import Aggregates, Drifter, HostFigures, MachineFigures
from mthook.text import SKEW, is_time

PROTECTED, ATTENTION, UNKNOWN, UNPROTECTED = "protected", "attention", "unknown", "unprotected"
#: From best to worst.
STANDINGS = (PROTECTED, ATTENTION, UNKNOWN, UNPROTECTED)
#: What can be wrong with a host, in the order in which it is mended, and how it stands then.
PROBLEMS = {
    "never_synced": UNKNOWN,
    "stale": UNKNOWN,
    "unproven": UNPROTECTED,
    "errors": ATTENTION,
    "unpinned": UNPROTECTED,
    "unstartable": ATTENTION,
    "drift": ATTENTION,
    "audit": UNPROTECTED,
    "off": UNPROTECTED,
}
#: The hook's modes; only the first one protects.
_MODES = ("enforce", "audit", "off")
#: Seconds: a sync runs every few minutes; and figures that are carried by hand are believed for a day.
_FRESH, _CARRIED = 3600, 86400

#: How long upstream's QEMU still has a machine type.
GONE, SOON, LATER, LONG, UNRULED = "gone", "soon", "later", "long", "unruled"
LEFT = (GONE, SOON, LATER, LONG, UNRULED)
#: The years within which it ends.
_WITHIN = ((GONE, 0), (SOON, 1), (LATER, 3))


@dataclass(frozen=True)
class HostVerdict:
    """How a host stands.

    :ivar problems: of :data:`PROBLEMS`.
    """

    host: HostFigures
    problems: Sequence[str]

    @property
    def standing(self) -> str:
        """One of :data:`STANDINGS`, the worst of its problems."""
        return max((PROBLEMS[one] for one in self.problems), key=STANDINGS.index, default=PROTECTED)


@dataclass(frozen=True)
class Type:
    """A machine type.

    :ivar end: the first release of upstream's QEMU that lacks it; None: no rule tells.
    :ivar left: how long that has it yet, one of :data:`LEFT`.
    """

    figures: MachineFigures
    end: releases.Release | None
    left: str


@dataclass(frozen=True)
class Family:
    """Guests on the same board.

    :ivar types: by age, the oldest first; those whose age isn't known last.
    """

    name: str
    guests: int
    types: Sequence[Type]


@dataclass(frozen=True)
class Ending:
    """Pins that one release of QEMU ends.

    :ivar release: None: no rule tells.
    :ivar month: when it is due, or came: ``2026-12``; '' without a release.
    :ivar types: those with most pins first.
    """

    release: releases.Release | None
    month: str
    left: str
    pins: int
    types: Sequence[MachineFigures]


@dataclass(frozen=True)
class Step:
    """Something to do; tools/ has the commands.

    :ivar kind: ``set_up``, ``ending``, or one of :data:`PROBLEMS`.
    :ivar hosts: where.
    :ivar number: how many guests, pins or errors it is about; 0: it is about hosts.
    :ivar release: of QEMU, for ``ending``.
    """

    kind: str
    hosts: Sequence[str]
    number: int = 0
    release: releases.Release | None = None


@dataclass(frozen=True)
class Report:
    """All of it.

    :ivar at: when it was made.
    :ivar known: whether a sync has seen any host.
    :ivar hosts: the worst first.
    :ivar families: those with most guests first.
    :ivar endings: in the order of time; the one of no known release last.
    :ivar drift: how many instances are unlike their pin, by where that is so.
    :ivar steps: in the order in which to take them.
    """

    at: str
    known: bool
    hosts: Sequence[HostVerdict]
    families: Sequence[Family]
    endings: Sequence[Ending]
    drift: Mapping[str, int]
    drifters: Sequence[Drifter]
    steps: Sequence[Step]

    @property
    def standing(self) -> str:
        """One of :data:`STANDINGS`: that of the host that stands worst."""
        return self.hosts[0].standing if self.known else UNKNOWN

    @property
    def standings(self) -> Mapping[str, int]:
        """How many hosts stand how."""
        return Counter(one.standing for one in self.hosts)

    def total(self, name: str) -> int:
        """Return the sum of a figure of all hosts, as far as it is known."""
        return sum(getattr(one.host, name) or 0 for one in self.hosts)

    @property
    def qemus(self) -> Mapping[str | None, int]:
        """How many hosts have which version of QEMU."""
        return Counter(one.host.qemu_version for one in self.hosts)


def judge(found: Aggregates, at: str) -> Report:
    """Return what follows from figures.

    :param at: the present.
    """
    hosts = [HostVerdict(one, tuple(_problems(one, at))) for one in found.hosts]
    hosts.sort(key=lambda one: (-STANDINGS.index(one.standing), one.host.name))
    types = [_type(one, at) for one in found.machines]
    endings = list(_endings(types))
    return Report(
        at=at,
        known=any(one.ran_at is not None for one in found.hosts),
        hosts=hosts,
        families=list(_families(types)),
        endings=endings,
        drift=found.drift,
        drifters=found.drifters,
        steps=[*_steps(hosts), *_before_the_end(endings)],
    )


def _problems(host: HostFigures, at: str) -> Iterator[str]:
    if host.ran_at is None:
        yield "never_synced"
    elif not (_is_within(_FRESH, host.ran_at, host.as_of) and _is_within(_CARRIED, host.as_of, at)):
        yield "stale"
    if not host.proven or host.mode not in _MODES:
        yield "unproven"
    for kind, number in _counted(host).items():
        if number:
            yield kind
    if host.mode in _MODES[1:]:
        yield host.mode


def _counted(host: HostFigures) -> dict[str, int]:
    """Return how many of what is wrong with a host there are."""
    return {
        "errors": host.errors,
        "unpinned": host.unpinned,
        "unstartable": host.unstartable or 0,
        "drift": host.drifting,
    }


def _is_within(seconds: int, then: str, at: str) -> bool:
    """Tell whether one moment is at most so long before another; what is no time, or is yet to come, isn't.

    Hosts write these times themselves, by clocks of their own.
    """
    if not (is_time(then) and is_time(at)):
        return False
    moments = (calendar.timegm(time.strptime(one[:19], "%Y-%m-%dT%H:%M:%S")) for one in (at, then))
    return -SKEW <= next(moments) - next(moments) <= seconds


def _type(figures: MachineFigures, at: str) -> Type:
    parsed = _parsed(figures.name)
    end = releases.end(parsed) if parsed else None
    return Type(figures, end, left_until(end, at))


def _parsed(name: str) -> MachineType | None:
    try:
        return MachineType.parse(name)
    except MachineTypeError:
        return None


def left_until(end: releases.Release | None, at: str) -> str:
    """Return how long there is until a release, one of :data:`LEFT`."""
    if end is None:
        return UNRULED
    for left, years in _WITHIN:
        if releases.month(end) < f"{int(at[:4]) + years}{at[4:7]}":
            return left
    return LONG


def _families(types: Sequence[Type]) -> Iterator[Family]:
    found: dict[str, list[Type]] = {}
    for one in types:
        if one.figures.guests > 0:
            parsed = _parsed(one.figures.name)
            found.setdefault(parsed.family if parsed else "", []).append(one)
    families = [
        Family(name, sum(one.figures.guests for one in some), sorted(some, key=_by_age))
        for name, some in found.items()
    ]
    yield from sorted(families, key=lambda one: (-one.guests, one.name))


def _by_age(one: Type) -> tuple[object, ...]:
    parsed = _parsed(one.figures.name)
    version = parsed.version if parsed else None
    return one.end is None, parsed.vendor if parsed else "", version or (), one.figures.name


def _endings(types: Sequence[Type]) -> Iterator[Ending]:
    found: dict[releases.Release | None, list[Type]] = {}
    for one in types:
        if one.figures.pins > 0:
            found.setdefault(one.end, []).append(one)
    for release in sorted(found, key=lambda one: (one is None, one or (0, 0))):
        some = sorted(
            (one.figures for one in found[release]), key=lambda one: (-one.pins, one.name)
        )
        month = releases.month(release) if release else ""
        pins = sum(one.pins for one in some)
        yield Ending(release, month, found[release][0].left, pins, some)


def _steps(hosts: Sequence[HostVerdict]) -> Iterator[Step]:
    new = [one for one in hosts if {"never_synced", "unproven"} <= {*one.problems}]
    yield from _step("set_up", new)
    for kind in PROBLEMS:
        yield from _step(kind, [one for one in hosts if kind in one.problems and one not in new])


def _step(kind: str, hosts: Sequence[HostVerdict]) -> Iterator[Step]:
    if hosts:
        number = sum(_counted(one.host).get(kind, 0) for one in hosts)
        yield Step(kind, [one.host.name for one in hosts], number)


def _before_the_end(endings: Sequence[Ending]) -> Iterator[Step]:
    """Yield what to do about machine types that have ended, or end within a year."""
    some = [one for one in endings if one.left in (GONE, SOON)]
    if some:
        yield Step("ending", (), sum(one.pins for one in some), some[-1].release)
