# SPDX-License-Identifier: Apache-2.0
"""What mthook-sync says of a run: sentences for people, a document for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mthook.operations.acts import (
    KINDS,
    STARTED,
    Act,
    Event,
    Failure,
    Foreseen,
    Kind,
    LeftAlone,
    Result,
    StartedUnguarded,
    SyncResult,
)
from mthook.text import label, printable

#: How a dry run and the system log begin.
_VERBS: dict[Kind, tuple[str, str]] = {
    "compiled": ("update", "updated"),
    "pinned": ("pin", "pinned"),
    "released": ("release", "released"),
    "written": ("write", "wrote"),
    "specified": ("write", "wrote"),
    "imaged": ("write", "wrote"),
    "realigned": ("realign", "realigned"),
    "repaired": ("repair", "repaired"),
    "forgotten": ("forget", "forgot"),
    "drifting": ("note", "noted"),
}


def planned(act: Act) -> Iterator[str]:
    """Yield the lines of an act that a dry run would do."""
    yield f"would {_VERBS[act.kind][0]} {_what(act)}"
    for change in act.changes:
        yield f"  {_who(act)}: {change}"


def done(act: Act) -> Iterator[str]:
    """Yield the lines of an act that was done."""
    yield f"{_VERBS[act.kind][1]} {_what(act)}"
    for change in act.changes:
        yield f"{_who(act)}: {change}"


def told(act: Act) -> tuple[str, str]:
    """Return of whom a terminal is told an act, and what was done: ``web-1``, ``definition mended``."""
    new, reason = printable(act.new), printable(act.reason)
    what = {
        "compiled": f"settings updated, mode {new}",
        "pinned": f"pinned to {new}{_aside(_evidence(act))}",
        "released": f"pin released ({reason})",
        "written": f"{new} written to Nova{_aside(_replaced(act) + _origin(act) + _reason(act))}",
        "specified": f"{new} written to its request spec{_aside(_replaced(act))}",
        "imaged": f"{new} written to its shelved image{_aside(_replaced(act))}",
        "realigned": f"definition mended ({printable(act.old or 'none')} → {new})",
        "repaired": "started" if act.reason == STARTED else _ended(act),
        "forgotten": f"pin forgotten ({reason})",
        "drifting": f"runs {new}, unlike its pin {act.old}",
    }[act.kind]
    return printable(act.display_name or act.name or act.uuid or "hook"), what


def foreseen(one: Foreseen) -> Iterator[str]:
    """Yield the lines of what mode enforce would do."""
    who, old, new = _who(one), printable(one.old), printable(one.new)
    if one.effect == "realign":
        yield f"in mode enforce would realign {who} from {old} to {new}"
    else:
        why = f"defined as {old}, pinned to {new}, and not realigned: {one.reason}"
        yield f"in mode enforce would stop the next start of {who}: {why}"
    for change in one.changes:
        yield f"  {who}: {change}"


def left_alone(one: LeftAlone) -> str:
    """Return why a guest is left alone."""
    who, detail = _who(one), one.detail
    return {
        "changed_meanwhile": f"{who}: {detail}",
        "unconvertible": f"{who}: {detail}; Nova makes a new definition at its next start",
        "saved_state": f"{detail}",  # it names the guest
        "being_rebuilt": f"{who}: Nova is rebuilding it",
        "wish_refused": f"the fleet's record asks for another pin: {detail}",  # it names the guest
        "unknown_author": f"{who}: Nova has {detail} recorded, and nothing shows who wrote it: its pin stays",
        "not_found_here": f"{who}: it runs, but wasn't found here",
        "nova_at_work": f"{who}: Nova is at work on it",
        "unconfirmed": f"{who}: Nova has {detail} recorded by itself, and the instance's host hasn't confirmed it",
        "image_unseen": f"{who}: mthook changes its shelved image only with [glance] auth_type; by hand: {detail}",
        "image_missing": f"{who}: its shelved image is left alone: {detail}",
        "no_default": f"{who}: no domain here, and no default machine type for {detail}",
    }.get(one.reason) or about_spec(who, detail)


def about_spec(who: object, why: object) -> str:
    """Return why a request spec is left alone."""
    return f"{who}: its request spec is left alone: {why}"


def unguarded(one: StartedUnguarded) -> str:
    """Return that a guest was started without the hook, and what tells why."""
    at = f"{one.at.partition('.')[0]}Z"
    return f"{_who(one)}: started unguarded at {at}: 'mthook-admin hook status' tells what is wrong with the hook"


def summary(result: Result) -> str:
    """Return the run's figures in a line: of acts those that there were."""
    counts = {kind: number for kind, number in _counts(result).items() if number}
    figures = {"guests": result.guests, **counts}
    for kind in ("compiled", "drifting"):
        figures.pop(kind, None)
    if isinstance(result, SyncResult):
        figures["drift"] = result.drift
        if result.unguarded:
            figures["started unguarded"] = len(result.unguarded)
    figures.update({"left alone": result.left, "errors": result.failed})
    mode = "dry run: " if result.dry_run else ""
    return mode + ", ".join(f"{name}: {number}" for name, number in figures.items())


def document(result: SyncResult) -> dict[str, Any]:
    """Return a run as JSON has it."""
    return {
        "dry_run": result.dry_run,
        "guests": result.guests,
        "acts": [item(act) for act in result.acts],
        "in_enforce": [item(one) for one in result.foreseen],
        "left_alone": [item(one) for one in result.left_alone],
        "errors": [item(one) for one in result.errors],
        "unguarded": [item(one) for one in result.unguarded],
        "counts": _counts(result),
        "drift": result.drift,
    }


def item(event: Event) -> dict[str, Any]:
    """Return one thing that happened as JSON has it."""
    if isinstance(event, Failure):
        who = {"uuid": event.uuid, "name": event.name, "display_name": event.display_name}
        return {**who, "message": str(event)}
    return vars(event)


def figures(result: Result) -> dict[str, Any]:
    """Return what a document has beside what happened."""
    return {"dry_run": result.dry_run, "guests": result.guests, "counts": _counts(result)}


def _counts(result: Result) -> dict[str, int]:
    return {kind: result.counts[kind] for kind in KINDS}


def _who(one: Act | Foreseen | LeftAlone | Failure | StartedUnguarded) -> str:
    return label(one.uuid or "", one.name, one.display_name)


def _what(act: Act) -> str:
    """Return an act without its verb."""
    who, new = _who(act), printable(act.new)
    return {
        "compiled": f"the hook's settings: mode {new}",
        "pinned": f"{who} to {new}{_evidence(act)}",
        "released": f"{who}: {act.reason}",
        "written": f"{new} of {who} to Nova{_replaced(act)}{_origin(act)}{_reason(act)}",
        "specified": f"{new} of {who} to its request spec{_replaced(act)}",
        "imaged": f"{new} of {who} to its shelved image{_replaced(act)}",
        "realigned": f"{who} from {printable(act.old or '')} to {new}",
        "repaired": f"{who}: {_ended(act)}",
        "forgotten": f"the pin of {who}: {act.reason}",
        "drifting": f"that {who} runs {new}, unlike its pin {act.old}",
    }[act.kind]


def _ended(act: Act) -> str:
    """Return how a repair ended."""
    if act.reason == STARTED:
        return STARTED
    return f"nothing left to mend ({printable(act.reason)})"


def _aside(text: str) -> str:
    return f" ({text.lstrip(', ')})" if text else ""


def _evidence(act: Act) -> str:
    if act.source == "Nova":
        return f"{_replaced(act)}, as Nova has it{_reason(act)}"
    if act.source == "guest metadata":
        return ", from its own metadata"
    if act.source == "fleet":
        return f"{_replaced(act)}, {act.reason or 'as another host had it'}"
    return _reason(act) or _origin(act)


def _origin(act: Act) -> str:
    return f", from the {act.source}" if act.source else ""


def _replaced(act: Act) -> str:
    return f" in place of {printable(act.old)}" if act.old not in (None, act.new) else ""


def _reason(act: Act) -> str:
    return f", {act.reason}" if act.reason else ""
