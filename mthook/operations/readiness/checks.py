# SPDX-License-Identifier: Apache-2.0
"""All checks, and which of them answer which question, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mthook.errors import Error
from mthook.operations.readiness import (
    clouds,
    coming,
    configured,
    gate,
    installed,
    pins,
    recorded,
    rights,
    schedule,
    stopped,
)
from mthook.operations.readiness.context import Context
from mthook.operations.readiness.findings import Result, unavailable

#: By stable names, as programs read them.
CHECKS = {
    "machine_types_recorded": recorded.check_recorded,
    "hook": installed.check_hook,
    "last_sync": installed.check_last_sync,
    "drift": pins.check_drift,
    "pins_supported": pins.check_supported,
    "next_qemu": coming.check,
    "definitions_and_saved_state": pins.check_definitions,
    "machine_types_in_snapshots": recorded.check_inherited,
    "stopped_starts": stopped.check,
    "request_specs": clouds.check_request_specs,
    "default_machine_types": clouds.check_defaults,
    "configuration_files": configured.check,
    "hook_called": installed.check_called,
    "gate": gate.check,
    "schedule": schedule.check,
    "database_rights": rights.check,
    "guests_pinned": recorded.check_guests,
}
#: May the default be changed?
UPGRADE = (
    "machine_types_recorded",
    "hook",
    "hook_called",
    "gate",
    "last_sync",
    "drift",
    "pins_supported",
    "next_qemu",
    "definitions_and_saved_state",
    "machine_types_in_snapshots",
    "stopped_starts",
    "request_specs",
    "default_machine_types",
    "configuration_files",
)
#: The same for a controller, which has no catalog, libvirt or hook.
CLOUD = (
    "machine_types_recorded",
    "machine_types_in_snapshots",
    "request_specs",
    "default_machine_types",
    "configuration_files",
)
#: Is mthook at work on this host?
DOCTOR = (
    "hook",
    "hook_called",
    "gate",
    "schedule",
    "last_sync",
    "configuration_files",
    "database_rights",
    "guests_pinned",
    "drift",
    "pins_supported",
    "next_qemu",
    "definitions_and_saved_state",
)


def run(context: Context, names: Sequence[str]) -> Iterator[Result]:
    """Yield what each of these checks finds; a check that can't get what it needs fails."""
    for name in names:
        try:
            findings = CHECKS[name](context)
        except (Error, OSError) as error:
            findings = [unavailable(error)]
        yield Result(name, findings)
