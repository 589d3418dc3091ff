# SPDX-License-Identifier: Apache-2.0
"""A report in words, as the text and the page have them in common. Names in them are still as strangers wrote them."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mthook.operations.report.aggregates import Drifter, HostFigures
from mthook.operations.report.judged import (
    ATTENTION,
    GONE,
    LATER,
    LONG,
    PROTECTED,
    SOON,
    STANDINGS,
    UNKNOWN,
    UNPROTECTED,
    UNRULED,
    Ending,
    HostVerdict,
    Report,
    Step,
    Type,
)
from mthook.releases import Release, month
from mthook.text import counted, printable
from mthook.tools.findings import Count

#: How many of each a report lists; JSON has all.
HOSTS, TYPES, FAMILIES = 60, 20, 12
#: How many names a line has.
_NAMED = 3

STANDING = {
    PROTECTED: "protected",
    ATTENTION: "protected, look into it",
    UNKNOWN: "not known",
    UNPROTECTED: "not protected",
}
#: What stands in place of a machine type that a guest hasn't got.
NOT_KNOWN = "not known"
LEFT = {
    GONE: "upstream's QEMU has dropped it",
    SOON: "ends within a year",
    LATER: "ends within 3 years",
    LONG: "ends later",
    UNRULED: "end not known",
}
DRIFT = {
    "running": "running with another machine type",
    "defined": "defined with another machine type",
    "nova": "recorded by Nova with another machine type",
    "stopped": "start stopped, to be repaired",
    "elsewhere": "pinned or running with another machine type on another host as well",
}
#: What to do, and the commands for it; in braces how many it is about, and the release of QEMU.
_STEPS: Mapping[str, tuple[str, Sequence[str]]] = {
    "set_up": ("Set mthook up", ["mthook-admin setup"]),
    "never_synced": ("Run the first sync", ["mthook-sync -v"]),
    "stale": ("Find out why no sync has ended lately", ["mthook-admin doctor"]),
    "unproven": (
        "Make sure that libvirt calls the hook: nothing proves it",
        ["mthook-admin hook status", "mthook-admin hook install"],
    ),
    "errors": ("Look into {number:error} of the last sync", ["mthook-admin doctor"]),
    "unpinned": ("Pin {number:guest}", ["mthook-admin list --unset", "mthook-sync -v"]),
    "unstartable": (
        "Replace machine types that the host's QEMU doesn't offer: {number:guest} can't start",
        ["mthook-admin list --unsupported"],
    ),
    "drift": ("Look into the drift of {number:guest}", ["mthook-admin list --drift"]),
    "audit": (
        "Turn protection on: the hook only watches",
        ["mthook-sync --dry-run", "mthook-admin setup --mode enforce"],
    ),
    "off": (
        "Turn protection on: the hook is switched off",
        ["mthook-sync --dry-run", "mthook-admin setup --mode enforce"],
    ),
    "ending": (
        "Plan the replacement of machine types that QEMU {release} no longer has: {number:pin}",
        ["mthook-admin forecast --qemu {release}"],
    ),
}


@dataclass(frozen=True)
class Figure:
    """A number that comes first.

    :ivar tone: how it stands, one of :data:`STANDINGS`.
    """

    label: str
    value: str
    note: str
    tone: str


def number(value: int) -> str:
    """Return a number as people read it: ``12,345``."""
    return f"{value:,}"


def version(release: Release) -> str:
    """Return a release as QEMU has it: ``11.2``."""
    return f"{release[0]}.{release[1]}"


def minute(at: str) -> str:
    """Return a moment: ``2026-11-29 12:55``."""
    return f"{at[:10]} {at[11:16]}"


def moment(at: str) -> str:
    """Return a moment where nothing else tells that it is in UTC: ``2026-11-29 12:55 UTC``."""
    return f"{minute(at)} UTC"


def month_of(text: str) -> str:
    """Return a month in words: ``December 2026``."""
    return f"{calendar.month_name[int(text[5:7])]} {text[:4]}"


def headline(report: Report) -> str:
    """Return the answer in one line."""
    hosts, standing = len(report.hosts), report.standing
    some = f"{number(report.standings[standing])} of {counted(hosts, 'host')}"
    if not report.known:
        return "Nothing is known yet"
    if hosts == 1:
        return f"{printable(report.hosts[0].host.name)}: {STANDING[standing]}"
    if standing == PROTECTED:
        return f"All {number(hosts)} hosts are protected"
    if standing == ATTENTION:
        return f"Protected, but look into {some}"
    return f"{STANDING[standing].capitalize()}: {some}"


def explanation(report: Report) -> str:
    """Return what the headline means."""
    if not report.known:
        return "No run of mthook-sync has ended yet, so nothing tells whether every guest is known."
    where = "On those hosts, a" if len(report.hosts) > 1 else "A"
    return {
        PROTECTED: "The hook stops every start that would change a guest's virtual hardware.",
        ATTENTION: "The hook stops every start that would change a guest's virtual hardware."
        " Some of what it found needs a look.",
        UNKNOWN: "No sync has ended there lately, so nothing tells what protects the guests now.",
        UNPROTECTED: f"{where} guest can start with virtual hardware other than it had.",
    }[report.standing]


def extent(report: Report) -> str:
    """Return what was looked at, and when."""
    times = sorted(one.host.as_of for one in report.hosts)
    qemus = [
        f"QEMU {printable(name, 40)}" + (f" on {counted(many, 'host')}" if len(times) > 1 else "")
        for name, many in sorted(report.qemus.items(), key=lambda one: -one[1])
        if name
    ]
    what = [counted(len(report.hosts), "host"), counted(report.total("guests"), "guest")]
    seen = f"as of {moment(times[0])}" if times else ""
    return ", ".join(filter(None, [*what, *few(qemus), seen]))


def figures(report: Report) -> Iterator[Figure]:
    """Yield the numbers that come first."""
    guests, unpinned = report.total("guests"), report.total("unpinned")
    well = PROTECTED if report.known else UNKNOWN
    safe = report.standings.get(PROTECTED, 0) + report.standings.get(ATTENTION, 0)
    whole = f"of {number(len(report.hosts))}"
    yield Figure("Hosts protected", number(safe), whole, report.standing)
    pinned = f"of {number(guests)}"
    tone = UNPROTECTED if unpinned else well
    yield Figure("Guests pinned", number(guests - unpinned), pinned, tone)
    drifting = report.total("drifting")
    yield Figure("Drift", number(drifting), "unlike their pin", ATTENTION if drifting else well)
    yield _unstartable(report, well)
    soon = [one for one in report.endings if one.left in (GONE, SOON)]
    pins = sum(one.pins for one in soon)
    yield Figure(
        "Ending", number(pins), "pins, ended or within a year", ATTENTION if pins else well
    )


def _unstartable(report: Report, well: str) -> Figure:
    if all(one.host.unstartable is None for one in report.hosts):
        return Figure("Can't start", "?", "what QEMU offers isn't known", UNKNOWN)
    found = report.total("unstartable")
    return Figure(
        "Can't start", number(found), "with their host's QEMU", ATTENTION if found else well
    )


def few(names: Sequence[str], most: int = _NAMED) -> list[str]:
    """Return the first few, and how many more there are."""
    more = len(names) - most
    return [*names[:most], f"{number(more)} more"] if more > 0 else list(names)


def qemu(host: HostFigures) -> str:
    """Return the version of a host's QEMU, as far as a column has room for it."""
    return printable(host.qemu_version or "?", 20)


def problems(verdict: HostVerdict, at: str) -> list[str]:
    """Return what is wrong with a host."""
    return [_problem(one, verdict.host, at) for one in verdict.problems]


def _problem(kind: str, host: HostFigures, at: str) -> str:
    return {
        "never_synced": "no sync has run yet",
        "stale": f"last sync {moment(host.ran_at or at)}",
        "unproven": "nothing proves that libvirt calls the hook",
        "errors": f"{counted(host.errors, 'error')} in the last sync",
        "unpinned": f"{counted(host.unpinned, 'guest')} without a pin",
        "unstartable": f"{counted(host.unstartable or 0, 'guest')} can't start",
        "drift": f"drift of {counted(host.drifting, 'guest')}",
        "audit": "the hook only watches (mode audit)",
        "off": "the hook is switched off",
    }[kind]


def end_of(one: Type) -> str:
    """Return when a machine type ends."""
    if one.end is None:
        return LEFT[UNRULED]
    word = "dropped by" if one.left == GONE else "until"
    return f"{word} QEMU {version(one.end)}, {month(one.end)}"


def ending_types(one: Ending, most: int = 6) -> list[str]:
    """Return the machine types that a release ends, with the number of pins."""
    return few([f"{printable(kind.name, 60)} ({number(kind.pins)})" for kind in one.types], most)


def drifter(one: Drifter, hosts: int) -> str:
    """Return an instance that is unlike its pin."""
    where = f"{printable(one.host, 60)}: " if hosts > 1 else ""
    name, machine, pin = (
        printable(text, 60) for text in (one.name or one.uuid, one.machine, one.pin)
    )
    return f"{where}{name} has {machine}, {f'pinned to {pin}' if pin else 'without a pin'}"


def step(one: Step, hosts: int) -> tuple[str, list[str]]:
    """Return something to do, and the commands for it.

    :param hosts: how many the report is about: of one, nobody needs its name.
    """
    release = version(one.release) if one.release else ""
    text, commands = _STEPS[one.kind]
    text = text.format(number=Count(one.number), release=release)
    if hosts > 1 and one.hosts:
        text = f"{text} (on {listed([printable(name, 60) for name in one.hosts])})"
    return text, [command.format(release=release) for command in commands]


def listed(names: Sequence[str]) -> str:
    """Return names as a text: ``a, b, c and 12 more``."""
    *most, last = few(names)
    return f"{', '.join(most)} and {last}" if most else last


def worst_first(hosts: Iterable[HostVerdict]) -> tuple[list[HostVerdict], dict[str, int]]:
    """Return the hosts that are listed, and how many others stand how."""
    everyone = list(hosts)
    others = [one.standing for one in everyone[HOSTS:]]
    counts = {standing: others.count(standing) for standing in STANDINGS[::-1]}
    return everyone[:HOSTS], {standing: many for standing, many in counts.items() if many}
