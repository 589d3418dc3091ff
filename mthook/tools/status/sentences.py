# SPDX-License-Identifier: Apache-2.0
"""What mthook-status says of findings."""

from __future__ import annotations

from typing import Any

from mthook.operations.readiness.findings import Finding, Result, Severity, Subject
from mthook.text import printable
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
    "stopped_starts": "Stopped starts of Nova instances",
    "request_specs": "Request specs",
    "default_machine_types": "Nova's default machine types",
}

_CAVEAT = (
    "Mind that Nova then unshelves an image-backed instance as the default machine type, for its"
    " shelved image hasn't got it either."
)
#: Sentences by check and kind. In braces are facts, ``{subjects}`` and how many these are,
#: ``{number:instance}``.
SUCCESSES = {
    "machine_types_recorded": {
        "instances_ok": "In {cells:cell} of Nova's every instance has one.",
        "instances_of_host_ok": "Every instance that Nova has on {host} has one.",
        "not_counted": "Without one, and not counted, for they are no guests of libvirt's:"
        " {ironic:instance} of ironic's and {failed:failed build} that no host has.",
        "guests_ok": "Of {guests:guest} on this host none is without a pin.",
    },
    "request_specs": {
        "ok": "In {cells:cell} of Nova's they have the machine types that are recorded.",
        "of_host_ok": "Those of the instances that Nova has on {host} have the machine types that are"
        " recorded.",
        "no_api_database": "They are in Nova's API database, which isn't configured here: a controller"
        " can look at them.",
    },
    "default_machine_types": {
        "ok": "Nova takes each entry of [libvirt] hw_machine_type here: {entries}.",
        "built_in": "[libvirt] hw_machine_type isn't set here: Nova takes its own.",
    },
    "hook": {"ok": "{path} is installed, up to date and known to libvirt, in mode enforce."},
    "last_sync": {"ok": "The last mthook-sync ended at {ended_at}, without errors."},
    "drift": {"ok": "Of {guests:guest} none is unlike its pin."},
    "pins_supported": {
        "ok": "Of {pins:pin} this host's QEMU can run all.",
    },
    "next_qemu": {
        "ok": "QEMU {release}, due {due}, drops no machine type of this host's guests.",
        "unknown": "This host's version of QEMU isn't known yet.",
    },
    "definitions_and_saved_state": {
        "ok": "Of {guests:guest} none has another machine type than its pin in its definition, saved"
        " image or snapshots.",
    },
    "machine_types_in_snapshots": {
        "no_database": "No database of Nova's is configured: no machine type gets into images by"
        " mthook.",
        "not_written_back": "[sync] write_back = false: no machine type gets into images by mthook.",
        "not_versioned": "[pin] style = {pin_style}: no machine type gets into images by mthook.",
        "ok": "{option} has {property}: snapshots don't pass it on. " + _CAVEAT,
    },
    "stopped_starts": {
        "no_nova_guests": "This host has no guests of Nova's.",
        "not_enforcing": "[hook] mode = {mode}: the hook stops no start.",
        "written_back": "mthook-sync writes the pins to Nova's database: Nova defines its guests by"
        " them.",
        "gated": "What passes the gate of {subjects} gets its pin on the way.",
        "gate_configured": "The gate is in use: {config_file} has its socket in [libvirt]"
        " connection_uri.",
        "gate_rewrote": "The gate is in use: it rewrote a domain at {last_rewrite_at}.",
        "gate_idle": "{socket} is listened on, but no configuration file given here names it in"
        " [libvirt] connection_uri. The gate isn't in use.",
        "gate_unused": "The gate isn't in use.",
    },
}
PROBLEMS = {
    "request_specs": {
        "host_unknown": "Nova has no compute host {host}.",
        "unlike_record": "The next cold migration or resize changes {number:instance}: the request spec"
        " lacks the machine type that is recorded, or has another one. mthook-sync --cloud, on a"
        " controller, writes it there.",
    },
    "default_machine_types": {
        "not_taken": "Nova doesn't take these entries of [libvirt] hw_machine_type as they are meant:"
        " {entries}. It reads them literally: ARCH=TYPE, without spaces around the =, each"
        " architecture once.",
    },
    "machine_types_recorded": {
        "instances_unset": "Without a recorded machine type: {number:instance} of Nova's."
        " They get the new default. 'mthook-admin list --unset --guests-only' lists them, mthook-sync"
        " on their hosts records it.",
        "host_unknown": "Nova has no compute host {host}.",
        "libvirt_unavailable": "{reason}: this is how the last sync saw the guests.",
        "guests_unpinned": "Without a pin: {subjects} of this host. '{listed_by}' lists them;"
        " mthook-sync pins them, or their next start where a pin was released.",
        "deleted_in_nova": "Nova has deleted the instances of {subjects}, which are still here. When"
        " nobody needs them any more, stop them and remove each with '{command} NAME'.",
    },
    "hook": {
        "not_installed": "{path}: {problem}.",
        "not_loaded": "{path}: {problem}.",
        "outdated": "{path} isn't what this mthook would install for these configuration files:"
        " run 'mthook-admin hook install', with the same --config-file.",
        "no_daemon": "No libvirt daemon runs that could call it.",
        "not_enforcing": "[hook] mode = {mode}: it stops no start and no definition is changed;"
        " only mode = enforce protects.",
        "restores_let_in": "[hook] migrate_mismatch = refuse holds for migrations alone: libvirt {libvirt}"
        " would take a guest whose restore is refused for started, and delete its managed-save image."
        " Restores are let in and recorded as drift.",
    },
    "last_sync": {
        "never_ended": "No mthook-sync has run to its end on this host: run 'mthook-sync -v', then"
        " let cron or systemd run it every few minutes.",
        "too_old": "The last mthook-sync ended at {ended_at}, more than an hour ago: look after its"
        " cron job or systemd timer.",
        "had_errors": "The last mthook-sync ended at {ended_at} with errors: 'mthook-sync -v' tells"
        " them.",
    },
    "drift": {
        "unlike_pin": "Unlike their pin: {subjects}. 'mthook-admin list --drift' lists them; what"
        " runs stays as it is until its next cold start.",
    },
    "pins_supported": {
        "offers_unknown": "What this host's QEMU offers isn't known yet: run 'mthook-sync -v'.",
        "unsupported": "This host's QEMU can't run the pins of {subjects}: it has to offer them"
        " before their next start, or 'mthook-admin set' changes them. 'mthook-admin list --unsupported'"
        " lists them all.",
        "unsupported_saved": "Nor can it restore the managed-save images of {subjects}: a host whose QEMU"
        " offers their pins can, or 'virsh managedsave-remove NAME' discards the memory, as a power cut"
        " does; only then 'mthook-admin set' can change the pin.",
        "deprecated": "This host's QEMU deprecates the pins of {subjects}: 'mthook-admin list"
        " --deprecated' lists them.",
    },
    "next_qemu": {
        "libvirt_unavailable": "{reason}: what guests are defined as can't be looked at.",
        "ends": "QEMU {release}, due {due}, drops machine types of {subjects}: 'mthook-admin forecast"
        " --qemu {release}' tells what to do before it is installed.",
    },
    "definitions_and_saved_state": {
        "libvirt_unavailable": "{reason}: what guests are defined as can't be looked at.",
        "unreadable": "Can't be looked at: {subjects}.",
        "defined_unlike_pin": "Defined unlike their pin: {subjects}. 'mthook-sync --only realign'"
        " mends definitions, with -v it tells which it leaves alone.",
        "saved_unlike_pin": "With another machine type in a saved image or in snapshots: {subjects}."
        " A restore or revert brings it back.",
    },
    "machine_types_in_snapshots": {
        "inherited": "Snapshots pass the machine types that mthook-sync writes to Nova's database on"
        " to new instances; {property} in [DEFAULT] {option} of nova-api's nova.conf prevents it. "
        + _CAVEAT,
        "option_not_set": "No configuration file sets it: if nova.conf does, give that with"
        " --config-file.",
    },
    "stopped_starts": {
        "no_database": "Nova defines {subjects} anew at each start and doesn't know their pins: a"
        " start that the hook stops leaves the instance in ERROR. Configure [database] connection,"
        " use the gate, or stay in [hook] mode = audit.",
        "not_written_back": "Nova doesn't get the pins of {subjects}: a start that the hook stops"
        " leaves the instance in ERROR. Set [sync] write_back = true, use the gate, or stay in"
        " [hook] mode = audit.",
    },
}
_UNAVAILABLE = "{reason}."

#: What is said of each guest, by kind, where that is more than its name.
_GUESTS = {
    "unlike_pin": "{name}: {drift}",
    "ends": "{name}: {machines}",
    "unsupported": "{name}: {pin}, nearest {nearest}",
    "unsupported_saved": "{name}",
    "deprecated": "{name}: {pin}",
    "unreadable": "{problem}",
    "defined_unlike_pin": "{name}: {defined} instead of {pin}",
    "saved_unlike_pin": "{name}: {saved}",
}
#: How many guests a sentence names.
_FEW = 3


def details(result: Result) -> str:
    """Return what a check has found for people to read."""
    return " ".join(_sentence(result.check, finding) for finding in result.findings)


def _sentence(check: str, finding: Finding) -> str:
    sentences = SUCCESSES if finding.severity is Severity.SUCCESS else PROBLEMS
    template = sentences[check].get(finding.kind, _UNAVAILABLE)
    number = _Count(len(finding.subjects))
    return template.format(number=number, subjects=_few(finding), **_words(finding.facts))


class _Count(int):
    """A number that is formatted with what it counts: ``1 guest``, ``3 guests``."""

    def __format__(self, thing: str) -> str:
        return f"{int(self)} {thing}" if self == 1 else f"{int(self)} {thing}s"


def _few(finding: Finding) -> str:
    """Return how many guests there are, and a few of them: ``5 guests (db-1; db-2; web-1; ...)``."""
    few = [_guest(finding.kind, subject) for subject in finding.subjects[:_FEW]]
    rest = ["..."] if len(finding.subjects) > _FEW else []
    return f"{_Count(len(finding.subjects)):guest} ({'; '.join([*few, *rest])})"


def _guest(kind: str, subject: Subject) -> str:
    name = printable(subject.name or subject.uuid)
    return printable(_GUESTS.get(kind, "{name}").format(name=name, **_words(subject.facts)))


def _words(facts: dict[str, Any]) -> dict[str, object]:
    return {key: _word(key, value) for key, value in facts.items()}


def _word(key: str, value: Any) -> object:
    if key in ("reason", "problem"):  # as an error has it
        return value
    if key == "drift":
        return drift_of(value)
    if key.endswith("_at"):
        return f"{value.partition('.')[0]}Z"
    if isinstance(value, int):
        return _Count(value)
    return ", ".join(value) or "none" if isinstance(value, list) else printable(value)
