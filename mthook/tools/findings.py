# SPDX-License-Identifier: Apache-2.0
"""What mthook-status and mthook-admin doctor say of findings: an answer in a line, sentences, a document."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mthook.hook.install import Problem, ProblemKind
from mthook.operations.readiness.findings import Finding, Result, Severity, Subject, verdict
from mthook.text import counted, label, printable
from mthook.tools.options import drift_of

TITLES = {
    "machine_types_recorded": "Machine types recorded",
    "hook": "Hook",
    "last_sync": "Last sync",
    "drift": "Drift",
    "pins_supported": "Pins supported by QEMU",
    "next_qemu": "Next release of QEMU",
    "definitions_and_saved_state": "Definitions and saved state",
    "machine_types_in_snapshots": "Machine types in snapshots",
    "stopped_starts": "Pins known to Nova",
    "request_specs": "Request specs",
    "default_machine_types": "Nova's default machine types",
    "configuration_files": "Configuration files",
    "hook_called": "Hook called",
    "gate": "Gate",
    "schedule": "Schedule",
    "database_rights": "Database rights",
    "guests_pinned": "Guests pinned",
}

_CAVEAT = (
    "First read about shelved instances: Nova unshelves an image-backed instance as the default machine type if"
    " its shelved image hasn't got one."
)
_NOTHING_PINNED = "No pin of the {guests:guest} on this host is known: run 'mthook-sync' first."
_GUESTS_OK = (
    "There are no guests on this host.",
    "The only guest on this host is pinned.",
    "{guests:All guest} on this host are pinned.",
)
_LIBVIRT_UNAVAILABLE = "{reason}: this is how the last sync saw the guests."
_UNPINNED = (
    "Without a pin: {subjects} of this host. They get the new default. '{listed_by}' lists them; 'mthook-sync'"
    " pins them, or their next start does where a pin was released."
)
_DELETED = (
    "Nova has deleted the instances of {subjects}, which are still here. When nobody needs them any more, stop"
    " them and remove each with '{command} NAME'."
)
_NO_HOST = "Nova has no compute host {host}."
_NO_CELLS = "Nova's API database names no cell that could have instances."
#: Sentences by check and kind. In braces are facts, ``{subjects}`` and how many these are,
#: ``{number:instance}``. Of three the number of guests or pins chooses: none, one, more.
SUCCESSES: dict[str, dict[str, str | tuple[str, str, str]]] = {
    "machine_types_recorded": {
        "instances_ok": "Every instance in {cells:cell} of Nova has a recorded machine type.",
        "instances_of_host_ok": "Every instance that Nova has on {host} has a recorded machine type.",
        "not_counted": "Not counted, because they aren't libvirt guests: {ironic:Ironic instance} and"
        " {failed:failed build} without a host.",
        "guests_ok": _GUESTS_OK,
    },
    "guests_pinned": {"guests_ok": _GUESTS_OK},
    "request_specs": {
        "ok": "Request specs in {cells:cell} of Nova match what is recorded.",
        "of_host_ok": "Request specs of the instances that Nova has on {host} match what is recorded.",
        "no_nova": "This host has no guests of Nova.",
        "gated": "Not looked at: that takes [api_database] connection. The gate gives every instance that arrives"
        " here its pin all the same.",
    },
    "default_machine_types": {
        "ok": "Nova takes each entry of [libvirt] hw_machine_type here: {entries}.",
        "built_in": "[libvirt] hw_machine_type isn't set here: Nova takes its built-in default.",
    },
    "configuration_files": {"ok": "Nobody but root can change them or read a password in them."},
    "hook": {"ok": "{path} is installed, up to date and known to libvirt, in mode enforce."},
    "hook_called": {
        "ok": "Since it was installed, the hook has missed no start of a guest that runs; the last one was at"
        " {called_at}.",
        "called_again": "The hook is called again: it last saw a guest start at {called_at}. Guests started unguarded"
        " before that: {subjects}.",
        "not_seen": "Not known yet: no guest has started since the hook was installed or the host booted.",
    },
    "schedule": {
        "timer": "systemd runs mthook-sync: {unit} is enabled and active.",
        "cron": "cron runs mthook-sync: {path}.",
    },
    "last_sync": {"ok": "The last mthook-sync ended at {ended_at}, without errors."},
    "database_rights": {
        "no_database": "No Nova database is configured.",
        "ok": "The database user has every right that mthook needs.",
    },
    "drift": {
        "ok": (
            "No drift: there are no guests.",
            "No drift: the only pinned guest matches its pin.",
            "No drift: {guests:all pinned guest} match their pins.",
        )
    },
    "pins_supported": {
        "ok": (
            "There are no pins.",
            "This host's QEMU can run the only pinned machine type.",
            "This host's QEMU can run {pins:all pinned machine type}.",
        )
    },
    "next_qemu": {
        "ok": "QEMU {release}, due {due}, drops no machine type of this host's guests.",
        "unknown": "This host's version of QEMU isn't known yet.",
    },
    "definitions_and_saved_state": {
        "ok": (
            "There are no guests.",
            "Definition, saved image and snapshots of the only pinned guest match its pin.",
            "Definitions, saved images and snapshots of {guests:all pinned guest} match their pins.",
        )
    },
    "machine_types_in_snapshots": {
        "no_database": "No Nova database is configured, so mthook puts no machine type into images.",
        "not_written_back": "[sync] write_back = false, so mthook puts no machine type into images.",
        "not_versioned": "[pin] style = {pin_style}, so mthook puts no machine type into images.",
        "ok": "{option} has {property}: new instances made from a snapshot don't inherit it. "
        + _CAVEAT,
    },
    "stopped_starts": {
        "no_nova_guests": "This host has no guests of Nova.",
        "written_back": "Nova has the pins: mthook-sync writes them to its database.",
        "in_definitions": "Nova has the pins recorded: its definitions say so.",
        "gated": "The gate gives the definitions of {subjects} their pins on the way to libvirt.",
        "gate_configured": "The gate is in use: {config_file} has its socket in [libvirt]"
        " connection_uri.",
        "gate_rewrote": "The gate is in use: it rewrote a domain at {last_rewrite_at}.",
        "gate_idle": "The gate isn't in use: it listens on {socket}, but no configuration file given here names"
        " it in [libvirt] connection_uri.",
        "gate_unused": "The gate isn't in use.",
        "gate_bypassed": "The gate is of no use: {reason}.",
        "gate_unjudged": "The gate is of no use: {reason}.",
    },
    "gate": {
        "ok": "mthook-gate listens on {socket}.",
        "unused": "mthook-gate isn't in use.",
    },
}
PROBLEMS: dict[str, dict[str, str]] = {
    "request_specs": {
        "host_unknown": _NO_HOST,
        "no_cells": _NO_CELLS,
        "unlike_record": "The next cold migration or resize changes {number:instance}: the request spec"
        " lacks the recorded machine type, or has another one. 'mthook-sync --cloud' on a controller"
        " writes it there; with -v it names those that it leaves alone, and why.",
        "no_api_database": "Not looked at: they are in Nova's API database, and [api_database] connection isn't set"
        " here. They decide what a cold migration or resize brings. Ask on a controller:"
        " 'mthook-status upgrade check --cloud'.",
    },
    "default_machine_types": {
        "not_taken": "Nova doesn't take these entries of [libvirt] hw_machine_type as they are meant:"
        " {entries}. It reads them literally: ARCH=TYPE, without spaces around the =, each"
        " architecture once.",
    },
    "configuration_files": {
        "readable": "{path} holds a password, and every user of this host can read it (mode {mode}). Run"
        " '{remedy}'.",
        "writable": "Every user of this host can change {path} (mode {mode}), which mthook reads as root. Run"
        " '{remedy}'.",
    },
    "machine_types_recorded": {
        "instances_unset": "Nova has no machine type recorded for {number:instance}."
        " They get the new default. 'mthook-admin list --unset --guests-only' lists them; 'mthook-sync'"
        " on their hosts records it, and 'mthook-sync --cloud' on a controller for those on no host.",
        "host_unknown": _NO_HOST,
        "no_cells": _NO_CELLS,
        "libvirt_unavailable": _LIBVIRT_UNAVAILABLE,
        "guests_unpinned": _UNPINNED,
        "deleted_in_nova": _DELETED,
    },
    "guests_pinned": {
        "libvirt_unavailable": _LIBVIRT_UNAVAILABLE,
        "guests_unpinned": _UNPINNED,
        "deleted_in_nova": _DELETED,
    },
    "hook": {
        "not_installed": "{path}: {problem}.",
        "not_loaded": "{path}: {problem}.",
        "outdated": "{path} isn't what this mthook would install for these configuration files:"
        " run 'mthook-admin hook install', with the same --config-file.",
        "outdated_rendered": "{path} isn't what 'mthook-admin hook render' prints now for these configuration files:"
        " put that in its place.",
        "out_of_reach": "{daemon} (pid {pid}) runs in a container and reads the hooks directory there: no hook that"
        " is installed on this host is called. Put the one that 'mthook-admin hook render' prints there, or lead"
        " its clients through mthook-gate in mode enforce: the guide's pages on kolla-ansible and openstack-helm"
        " show both.",
        "gated": "{daemon} (pid {pid}) runs in a container and calls no hook of this host. The gate gives the"
        " definitions their pins, but a start that comes another way isn't stopped.",
        "no_daemon": "No libvirt daemon runs that could call it.",
        "not_enforcing": "[hook] mode = {mode}: it stops no start, and no definition is changed. Only"
        " mode = enforce protects.",
        "restores_let_in": "[hook] migrate_mismatch = refuse holds for migrations alone: libvirt {libvirt}"
        " would believe that a guest whose restore is refused has started, and delete its managed-save"
        " image. Restores are let in and recorded as drift.",
    },
    "hook_called": {
        "switched_off": "[hook] mode = off: every guest starts unguarded.",
        "in_container": "libvirt's daemon runs in a container and has no hook of mthook there.",
        "not_installed": "No start is judged: the hook isn't installed, or it can't run.",
        "not_loaded": "Guests start unguarded: libvirt doesn't know of the hook.",
        "not_called": "Guests started unguarded: {subjects}. libvirt started them without the hook, or the hook failed."
        " 'mthook-admin hook status' says what is wrong with it, and the system log what it failed with.",
    },
    "gate": dict.fromkeys(("bypassed", "unjudged", "down"), "{reason}. Run '{remedy}'."),
    "schedule": {
        "timer_off": "systemd's timer doesn't run mthook-sync, or not after the next boot: {unit} is {enabled}"
        " and {active}. Run '{remedy}'.",
        "not_scheduled": "Neither systemd's timer nor a cron job runs mthook-sync. 'mthook-admin setup' installs"
        " one.",
    },
    "last_sync": {
        "never_ended": "No mthook-sync has run to its end on this host: run 'mthook-sync -v', then"
        " let cron or systemd run it every few minutes.",
        "too_old": "The last mthook-sync ended at {ended_at}, more than an hour ago: check its"
        " cron job or systemd timer; 'mthook-admin doctor' looks for them.",
        "had_errors": "The mthook-sync at {failed_at} met {number:error}, which 'mthook-sync -v' tells in full:"
        " {messages}.",
    },
    "database_rights": {
        "lacking": "{user} lacks rights to {table}: {rights}. Have them granted as the guide's page on database"
        " rights shows.",
    },
    "drift": {
        "unlike_pin": "Unlike their pins: {subjects}. 'mthook-admin list --drift' lists them. What"
        " runs stays as it is until its next cold start.",
        "nothing_pinned": _NOTHING_PINNED,
    },
    "pins_supported": {
        "offers_unknown": "What this host's QEMU offers isn't known yet: run 'mthook-sync -v'.",
        "nothing_pinned": _NOTHING_PINNED,
        "unsupported": "This host's QEMU can't run the pins of {subjects}. It has to offer them"
        " before their next start, or 'mthook-admin set' changes them. 'mthook-admin list --unsupported'"
        " lists them all.",
        "unsupported_saved": "Nor can it restore the managed-save images of {subjects}. A host whose QEMU"
        " offers their pins can, or 'virsh managedsave-remove NAME' discards the memory, as a power cut"
        " does; only then can 'mthook-admin set' change the pin.",
        "aliases": "Pinned to an alias: {subjects}. They keep its family, but not their version: a new QEMU gives"
        " the alias another one. 'mthook-admin freeze' pins the version that they run.",
        "deprecated": "This host's QEMU deprecates the pins of {subjects}. 'mthook-admin list"
        " --deprecated' lists them.",
    },
    "next_qemu": {
        "libvirt_unavailable": "{reason}: what guests are defined as can't be looked at.",
        "ends": "QEMU {release}, due {due}, drops machine types of {subjects}: 'mthook-admin forecast"
        " --qemu {release}' tells what to do before it is installed.",
    },
    "definitions_and_saved_state": {
        "libvirt_unavailable": "{reason}: what guests are defined as can't be looked at.",
        "nothing_pinned": _NOTHING_PINNED,
        "unreadable": "Can't be looked at: {subjects}.",
        "defined_unlike_pin": "Defined unlike their pins: {subjects}. 'mthook-sync --only realign'"
        " mends definitions; with -v it tells which it leaves alone.",
        "saved_unlike_pin": "With another machine type in a saved image or in snapshots: {subjects}."
        " A restore or revert brings it back.",
    },
    "machine_types_in_snapshots": {
        "inherited": "New instances made from a snapshot inherit its machine type. To prevent that, add {property}"
        " to [DEFAULT] {option} in nova-api's nova.conf. " + _CAVEAT,
        "option_not_set": "The option isn't set in the files given here: if nova.conf sets it, name that with"
        " --config-file.",
    },
    "stopped_starts": {
        "no_database": "Nova redefines {subjects} at each start, and nothing here shows that it knows their pins:"
        " they may get the new default, and in mode enforce such a start is stopped and the instance ends in"
        " ERROR. Configure [database] connection, or use the gate in mode enforce.",
        "not_compared": "No mthook-sync has compared the pins of {subjects} with Nova's record yet:"
        " 'mthook-sync -v' does, or says why it can't.",
        "not_written_back": "Nova has no machine type recorded for {subjects}, and [sync] write_back = false: they"
        " get the new default. Set [sync] write_back = true, or use the gate in mode enforce.",
        "record_unguarded": "[sync] write_back = false: if Nova loses or overwrites the machine types of {subjects},"
        " nothing puts them back.",
    },
}
_UNAVAILABLE = "{reason}."

#: What is wrong with the hook's installation, by :class:`.install.Problem`, and what to do.
_HOOK: dict[ProblemKind, str] = {
    "not_installed": "not installed: run 'mthook-admin hook install'",
    "not_executable": "not executable: run 'mthook-admin hook install'",
    "writable": "others than root may write it: run 'mthook-admin hook install'",
    "not_executable_rendered": "not executable: give it mode 0755",
    "writable_rendered": "others than root may write it: give it to root, with mode 0755",
    "refused": "nobody may run it where it is: guests don't start, or start unguarded: mount its file system without"
    " noexec",
    "fails": "guests start unguarded, because {python} fails: {reason}: run 'mthook-admin hook install'",
    "unanswered": "guests start unguarded, because nobody answers at {socket}: {reason}:"
    " run 'systemctl enable --now mthook-hookd.socket'",
    "stale": "stale: not what this mthook would install: run 'mthook-admin hook install'",
    "stale_rendered": "stale: not what 'mthook-admin hook render' prints now: put that in its place",
    "elsewhere": "not in the directory that {daemon} (pid {pid}) reads, which is {reads}: mount {directory} there",
    "not_loaded": "not loaded: {daemon} (pid {pid}) was started before the hook was installed:"
    " run 'mthook-admin hook install'",
    "not_restarted": "not loaded: {daemon} (pid {pid}) was started before the hook was installed: restart it",
}
#: What is said of each guest, by kind, where that is more than its name.
_GUESTS = {
    "not_called": "{name}: {started_at}",
    "called_again": "{name}: {started_at}",
    "unlike_pin": "{name}: {drift}",
    "ends": "{name}: {machines}",
    "unsupported": "{name}: {pin}, nearest {nearest}",
    "unsupported_saved": "{name}",
    "aliases": "{name}: {pin}",
    "deprecated": "{name}: {pin}",
    "unreadable": "{problem}",
    "defined_unlike_pin": "{name}: {defined} instead of {pin}",
    "saved_unlike_pin": "{name}: {saved}",
}
_QUOTED = re.compile("'(?:mthook-|chmod |systemctl |virsh )[^']*'")
#: Holds the words of a quoted command together.
_NO_BREAK = "\N{NO-BREAK SPACE}"
#: The longest command that a sentence holds; a path may be long.
_COMMAND = 5000
#: How many guests or messages a sentence names.
_FEW = 3


def answer(results: Sequence[Result]) -> str:
    """Return in one line whether the default may be changed: ``NO: 5 instances would change: web-1, web-2, ...``."""
    found = verdict(results)
    if found.severity is not Severity.FAILURE:
        kept = "every instance looked at keeps its machine type"
        if not found.warned:
            return f"YES: {kept}{_looked_at(results)}"
        return f"YES, with {_checks(found.warned, 'warning')}{_looked_at(results)}"
    parts = []
    if found.changing:
        number = Count(len(found.changing))
        names = [printable(one.display_name or one.name or one.uuid) for one in found.changing]
        parts.append(f"{number:instance} would change: {_listed(names)}")
    if found.failed:
        parts.append(f"mend {_checks(found.failed, 'failure')} first")
    return f"NO: {'; '.join(parts)}"


def health(results: Sequence[Result]) -> str:
    """Return in one line whether mthook is at work on this host."""
    failed = [one.check for one in results if one.severity is Severity.FAILURE]
    warned = [one.check for one in results if one.severity is Severity.WARNING]
    if failed:
        return f"NOT OK: {_checks(failed, 'failure')}"
    if warned:
        return f"OK, with {_checks(warned, 'warning')}"
    return f"OK: {Count(len(results)):check} found nothing wrong"


def document(results: Sequence[Result], line: str) -> dict[str, Any]:
    """Return results as JSON has them: what nova-status prints of each check, and the same as data.

    :param line: the answer to what was asked.
    """
    counts = Counter(result.severity for result in results)
    return {
        "answer": line,
        "severity": max(counts).name.lower(),
        "counts": {severity.name.lower(): counts[severity] for severity in Severity},
        "checks": [
            {
                "check": TITLES[result.check],
                "result": int(result.severity),
                "details": details(result),
                "id": result.check,
                "severity": result.severity.name.lower(),
                "findings": [
                    {**asdict(one), "severity": one.severity.name.lower()}
                    for one in result.findings
                ],
            }
            for result in results
        ],
    }


def details(result: Result) -> str:
    """Return what a check has found for people to read."""
    return " ".join(sentence(result.check, finding) for finding in result.findings)


def sentence(check: str, finding: Finding) -> str:
    """Return one finding for people to read."""
    words = {
        "number": Count(len(finding.subjects)),
        "subjects": _few(finding),
        "remedy": printable(finding.remedy, limit=_COMMAND),
        **_words(finding.facts),
    }
    if check == "hook" and "problem" in finding.facts:
        words["problem"] = hook_problem(Problem(finding.facts["problem"], finding.facts))
    sentences = SUCCESSES if finding.severity is Severity.SUCCESS else PROBLEMS
    found = sentences[check].get(finding.kind, _UNAVAILABLE)
    if isinstance(found, tuple):
        number = int(finding.facts["pins" if "pins" in finding.facts else "guests"])
        found = found[min(number, 2)]
    return found.format(**words)


def hook_problem(problem: Problem) -> str:
    """Return what is wrong with the hook, and what to do."""
    return _HOOK[problem.kind].format(**_words(problem.facts))


def wrapped(text: str, width: int, first: str, rest: str) -> list[str]:
    """Return a text as lines of at most so many columns, where no command in quotes, path or name is broken.

    :param first: what the first line begins with.
    :param rest: what the others begin with.
    """
    whole = _QUOTED.sub(lambda found: found[0].replace(" ", _NO_BREAK), text)
    lines = textwrap.wrap(
        whole,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]


def _looked_at(results: Iterable[Result]) -> str:
    """Return how much was looked at, for the answer: `` (12 guests here, 2 cells of Nova)``."""
    facts = [one.facts for result in results for one in result.findings]
    numbers = {
        key: next((one[key] for one in facts if isinstance(one.get(key), int)), None)
        for key in ("guests", "cells")
    }
    texts = []
    if numbers["guests"] is not None:
        texts.append(f"{Count(numbers['guests']):guest} here")
    if numbers["cells"] is not None:
        texts.append(f"{Count(numbers['cells']):cell} of Nova")
    return f" ({', '.join(texts)})" if texts else ""


def _checks(names: Sequence[str], kind: str) -> str:
    """Return how many checks found something, and which: ``2 failures (Hook, Last sync)``."""
    return f"{Count(len(names)):{kind}} ({_listed([TITLES[name] for name in names])})"


def _listed(names: Sequence[str]) -> str:
    rest = ["..."] if len(names) > _FEW else []
    return ", ".join([*names[:_FEW], *rest])


class Count(int):
    """A number that is formatted with what it counts: ``1 guest``, ``3 guests``; ``both guests``, ``all 3 guests``."""

    def __format__(self, thing: str) -> str:
        if thing[:4].lower() == "all ":
            number = (
                {"all": "both", "All": "Both"}[thing[:3]]
                if self == 2
                else f"{thing[:3]} {int(self):,}"
            )
            return f"{number} {thing[4:]}s"
        return counted(int(self), thing)


def _few(finding: Finding) -> str:
    """Return how many guests there are, and a few of them: ``5 guests (db-1; db-2; web-1; ...)``."""
    few = [_guest(finding.kind, subject) for subject in finding.subjects[:_FEW]]
    rest = ["..."] if len(finding.subjects) > _FEW else []
    return f"{Count(len(finding.subjects)):guest} ({'; '.join([*few, *rest])})"


def _guest(kind: str, subject: Subject) -> str:
    name = label(subject.uuid, subject.name, subject.display_name)
    return printable(_GUESTS.get(kind, "{name}").format(name=name, **_words(subject.facts)))


def _words(facts: Mapping[str, Any]) -> dict[str, object]:
    return {key: _word(key, value) for key, value in facts.items()}


def _word(key: str, value: Any) -> object:
    if key in ("reason", "problem"):  # as an error has it
        return value
    if key == "messages":
        return "; ".join(value[:_FEW]) + ("; and more" if len(value) > _FEW else "")
    if key == "drift":
        return drift_of(value)
    if key.endswith("_at"):
        return f"{value.partition('.')[0]}Z"
    if isinstance(value, int):
        return Count(value)
    return ", ".join(value) or "none" if isinstance(value, list) else printable(value)
